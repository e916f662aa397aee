import { build } from 'esbuild';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { blocksOf, isShell, shownCommands } from '../doc-blocks/markdown';
import { markOf } from '../doc-blocks/marks';
import { runContained } from '../matrix/enter';
import { buildDeb, type DebOptions } from './build-deb';
import { extractNode, nodeTarball, type Architecture } from './node-release';

const project = path.resolve(__dirname, '../..');

/** The processor of this machine, as Debian calls it. */
export const architectureHere: Architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

/**
 * Makes a root of which everything that is written is gone with it, and runs a command in it, with
 * a network of its own. Arguments: the folder that is its base, an empty folder, the folder that is
 * seen as /mnt/trial, command.
 */
const throwaway = `
set -eu
base=$1 place=$2 input=$3; shift 3
mount -t tmpfs -o size=2g,mode=755 tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=$base,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
# What is a mount of its own in the base is none of the overlay's.
for part in etc usr var/lib/dpkg; do
  mountpoint -q "$base/$part" || continue
  part_of="$place/$(echo "$part" | tr / -)"
  mkdir -p "$part_of/upper" "$part_of/work"
  mount -t overlay -o "lowerdir=$base/$part,upperdir=$part_of/upper,workdir=$part_of/work" overlay "$place/root/$part"
done
cd "$place/root"
mkdir -p proc sys dev run tmp var/lib/containerd mnt/trial .machine
chmod 1777 tmp
mount --bind "$input" mnt/trial
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs var/lib/containerd
mkdir run/lock
ip link set lo up
busybox pivot_root . .machine
cd /
umount -l /.machine
rmdir /.machine
mount --make-rshared /
exec "$@"
`;

/** A result of {@link runTrial}. */
export interface Trial {
  /** 0 when all is well. */
  readonly code: number;
  /** One line for each thing that was found to hold, and what went wrong. */
  readonly output: string;
}

/**
 * Installs, runs, upgrades and purges the package on the system whose root folder is given (`/`:
 * this machine's own), on a copy that is gone afterwards. Needs root, and in that system
 * containerd, systemd and groff.
 */
export async function runTrial(
  base: string,
  options: Pick<DebOptions, 'version' | 'epoch'>,
  { stop }: { readonly stop?: AbortSignal } = {},
): Promise<Trial> {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-trial-'));
  const input = path.join(folder, 'input');
  const place = path.join(folder, 'place');
  try {
    mkdirSync(input);
    mkdirSync(place);
    await placeInput(input, options);
    const log = path.join(folder, 'log');
    const command = ['/mnt/trial/node', '/mnt/trial/main.js', '/mnt/trial'];
    const entered = runContained(
      ['unshare', '--net', 'sh', '-c', throwaway, 'trial', base, place, input, ...command],
      { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' }, log },
    );
    const end = () => void entered.stop();
    stop?.addEventListener('abort', end);
    const code = await entered.ended;
    stop?.removeEventListener('abort', end);
    return { code, output: existsSync(log) ? readFileSync(log, 'utf8') : '' };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Both packages, what the page has somebody type, the program of the trial, and a Node.js for it.
 */
async function placeInput(
  input: string,
  options: Pick<DebOptions, 'version' | 'epoch'>,
): Promise<void> {
  for (const revision of [1, 2]) {
    await buildDeb({
      ...options,
      revision,
      architecture: architectureHere,
      maintainer: 'Trial <trial@stowage.invalid>',
      compression: 'none',
      out: path.join(input, 'built'),
    });
  }
  const commands = blocksOf('docs/install-debian.md')
    .filter((block) => isShell(block) && markOf(block) === undefined)
    .flatMap((block) =>
      block.language === 'console'
        ? shownCommands(block)
        : block.text
            .trimEnd()
            .split('\n')
            .map((command) => ({ command, output: [] })),
    );
  writeFileSync(path.join(input, 'page.json'), JSON.stringify(commands));
  const tarball = await nodeTarball(architectureHere);
  extractNode(tarball, path.join(input, 'node'), path.join(input, 'node-licence'));
  await build({
    entryPoints: [path.join(project, 'tools/package-deb/trial/main.ts')],
    outfile: path.join(input, 'main.js'),
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    tsconfig: path.join(project, 'tsconfig.json'),
    logLevel: 'warning',
  });
}
