import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { runProgram } from './run-program';

/**
 * Makes an ext4 file system of `sizeMb` MiB in a file and mounts it. No journal and no reserved
 * blocks, so that the percentages of a small file system are those of its files. `inodes` is their
 * number, by default one for some kilobytes. `env` marks the programs that do it.
 */
export async function mountFilesystem(
  imageFile: string,
  mountPoint: string,
  sizeMb: number,
  env: Readonly<Record<string, string>>,
  inodes?: number,
): Promise<void> {
  const file = await open(imageFile, 'wx', 0o600);
  try {
    await file.truncate(sizeMb * 1024 * 1024);
  } finally {
    await file.close();
  }
  const features = ['-O', '^has_journal', '-m', '0', '-E', 'nodiscard'];
  if (inodes !== undefined) features.push('-N', String(inodes));
  await runProgram('mkfs.ext4', ['-q', '-F', ...features, imageFile], { env });
  await runProgram('mount', ['-t', 'ext4', '-o', 'loop,noatime', imageFile, mountPoint], { env });
}

/** Mount points at or below a folder, in the order they were mounted. */
export function mountsUnder(dir: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => unescapeOctal(line.split(' ')[4] ?? ''))
    .filter((mountPoint) => mountPoint === dir || mountPoint.startsWith(`${dir}/`));
}

const unescapeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));

/** Unmounts everything at or below a folder, busy file systems lazily. */
export async function unmountUnder(dir: string): Promise<void> {
  for (const flags of [[], ['-l']]) {
    const mountPoints = mountsUnder(dir).reverse();
    if (mountPoints.length === 0) return;
    await runProgram('umount', [...flags, ...mountPoints]).catch(() => undefined);
  }
  const left = mountsUnder(dir);
  if (left.length > 0) throw new Error(`cannot unmount ${left.join(', ')}`);
}

/** Detaches loop devices whose file lies below a folder: normally the last unmount has done so. */
export async function detachLoopDevices(dir: string): Promise<void> {
  const { loopdevices = [] } = JSON.parse(
    (await runProgram('losetup', ['--json', '--list', '--output', 'NAME,BACK-FILE'])) || '{}',
  ) as { loopdevices?: { name: string; 'back-file'?: string | null }[] };
  for (const device of loopdevices) {
    if (device['back-file']?.startsWith(`${dir}/`) !== true) continue;
    await runProgram('losetup', ['--detach', device.name]).catch(() => undefined); // gone meanwhile
  }
}
