import { lstat, mkdir, readlink, rm, symlink, unlink } from 'node:fs/promises';
import path from 'node:path';

/** Makes a path lead to the engine's file, whatever stood there before but a folder. */
export async function linkLog(logPath: string, enginePath: string): Promise<void> {
  await mkdir(path.dirname(logPath), { recursive: true, mode: 0o755 });
  if ((await leadsTo(logPath)) === enginePath) return;
  if (await exists(logPath)) await unlink(logPath);
  await symlink(enginePath, logPath);
}

/** Removes the path if it leads into the folder of the engine's file; that may be gone already. */
export async function unlinkLog(logPath: string, enginePath: string): Promise<void> {
  const to = await leadsTo(logPath);
  if (to === undefined || path.dirname(to) !== path.dirname(enginePath)) return;
  await rm(logPath, { force: true });
}

/** Where a link leads to; undefined for what is none. */
async function leadsTo(file: string): Promise<string | undefined> {
  try {
    return path.resolve(path.dirname(file), await readlink(file));
  } catch (error) {
    if (['ENOENT', 'EINVAL', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      return undefined;
    }
    throw error;
  }
}

const exists = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  );
