import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { eventually } from '@stowage/testing';
import { root } from './markdown';

/** A folder that is seen under another path. */
export interface Seen {
  readonly from: string;
  /** Absolute. */
  readonly as: string;
}

export interface ThrowawayOptions {
  /** Where the shell begins. */
  readonly folder: string;
  readonly seen?: readonly Seen[];
  readonly env?: Readonly<Record<string, string>>;
  /** What whoever sits there answers to questions. */
  readonly input?: string;
}

/** How a shell ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Files that it wrote to the system, which are gone now. */
  readonly written: readonly string[];
}

/**
 * This machine's files, with everything that is written to them gone in the end, also where a
 * folder is a mount of its own; `/tmp` and the workspace are those of the machine, `/run` is empty.
 * Arguments: an empty folder, the workspace, pairs of folders up to `--`, command.
 */
const script = `
set -eu
place=$1 workspace=$2; shift 2
mount -t tmpfs -o mode=755 tmpfs "$place"
mkdir "$place/root" "$place/mounted" "$place/empty"
overlay() {
  mkdir -p "$2" "$3"
  mount -t overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" overlay "$place/root$1"
}
overlay / "$place/upper" "$place/work"
for folder in bin etc lib lib32 lib64 libx32 opt sbin usr var/lib/dpkg; do
  mountpoint -q "/$folder" || continue
  overlay "/$folder" "$place/mounted/$folder" "$place/work-of/$folder"
done
cd "$place/root"
for folder in proc sys dev tmp; do mount --rbind "/$folder" "./$folder"; done
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p ".$workspace"
mount --rbind "$workspace" ".$workspace"
while [ "$1" != -- ]; do
  mkdir -p ".$2"
  mount --rbind "$1" ".$2"
  shift 2
done
shift
code=0
chroot . "$@" || code=$?
for upper in upper mounted; do
  cd "$place/$upper"
  find . -type f -newer "$place/empty" | sed s/.// >&3
done
exit "$code"
`;

/** A shell that runs in a throwaway copy of the machine's files. */
export class ThrowawayShell {
  readonly #child: ChildProcess;
  readonly #place = mkdtempSync('/var/tmp/stowage-page-');
  readonly #ended: Promise<Ended>;
  stdout = '';
  stderr = '';

  /** Starts it. Needs root. */
  constructor(text: string, { folder, seen = [], env = {}, input = '' }: ThrowawayOptions) {
    const pairs = seen.flatMap(({ from, as }) => [from, as]);
    const inside = ['sh', '-c', `cd "$1" || exit\n${text}`, 'page', folder];
    const namespaces = ['--mount', '--propagation', 'private'];
    const args = ['unshare', ...namespaces, 'sh', '-c', script, 'throwaway', this.#place, root];
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STOWAGE_'));
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', ...args, ...pairs, '--', ...inside], {
      detached: true, // what it starts is ended with it
      env: { ...Object.fromEntries(inherited), ...env },
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    const child = this.#child;
    child.stdout?.setEncoding('utf8').on('data', (part: string) => (this.stdout += part));
    child.stderr?.setEncoding('utf8').on('data', (part: string) => (this.stderr += part));
    let written = '';
    child.stdio[3]?.on('data', (part: Buffer) => (written += part.toString()));
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
    this.#ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      // What it left in the background has its output open, too.
      child.once('exit', () => this.#signal('SIGTERM'));
      child.once('close', (code) => {
        rmSync(this.#place, { recursive: true, force: true });
        const { stdout, stderr } = this;
        resolve({
          code,
          stdout,
          stderr,
          written: written.split('\n').filter((file) => file !== ''),
        });
      });
    });
  }

  /** Waits for its end; what it left in the background is ended then. */
  end(): Promise<Ended> {
    return this.#ended;
  }

  /** Waits until it has printed a text. */
  async prints(text: RegExp, { timeoutMs = 60_000 } = {}): Promise<void> {
    await eventually(() => text.test(this.stdout), { what: `${text} printed`, timeoutMs }).catch(
      async (error: unknown) => {
        await this.interrupt('SIGKILL');
        throw new Error(`${String(error)}\n${this.stdout}\n${this.stderr}`, { cause: error });
      },
    );
  }

  /** Ctrl-C, to all that runs in it. */
  interrupt(signal: NodeJS.Signals = 'SIGINT'): Promise<Ended> {
    this.#signal(signal);
    return this.#ended;
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-(this.#child.pid ?? 0), signal);
    } catch {
      // All have ended.
    }
  }
}

/** Runs a text to its end. */
export const runThrowaway = (text: string, options: ThrowawayOptions): Promise<Ended> =>
  new ThrowawayShell(text, options).end();

/** What a command printed to stdout, and its exit code. */
export interface Printed {
  readonly command: string;
  readonly code: number;
  readonly output: readonly string[];
}

/** Runs commands one after the other in one shell, also after one that failed. */
export async function runCommands(
  commands: readonly string[],
  options: ThrowawayOptions,
): Promise<{ readonly printed: readonly Printed[] } & Ended> {
  const mark = '\u001e';
  const text = commands.map((command) => `${command}\nprintf '${mark}%s${mark}' "$?"\n`).join('');
  const ended = await runThrowaway(text, options);
  const parts = ended.stdout.split(mark);
  const printed = commands.map((command, index) => ({
    command,
    code: Number(parts[2 * index + 1] ?? NaN),
    output: (parts[2 * index] ?? '').replace(/\n$/, '').split('\n'),
  }));
  return { ...ended, printed };
}
