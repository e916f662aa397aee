import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ContainerLogs } from '../log/container-logs';

const workspace = path.resolve(__dirname, '../../../..');

/** A process in which {@link ContainerLogs} runs. */
export interface LogProcess {
  readonly pid: number;
  readonly stderr: string;
  /** One call; rejects with what it rejects with, as text. */
  call<K extends 'follow' | 'prepare' | 'ended' | 'reopen' | 'removed' | 'close'>(
    method: K,
    ...args: Parameters<ContainerLogs[K]>
  ): Promise<void>;
  /** Ends it with SIGKILL, as a crash would. */
  kill(): Promise<void>;
}

/**
 * Starts what docker-shim ships: the bundle of a small program around the class, beside the bundle
 * of the thread that `npm run build` made.
 *
 * @param folder for the bundle and the state.
 */
export function spawnLogProcess(folder: string): LogProcess {
  const program = path.join(folder, 'log-process.js');
  if (!existsSync(program)) bundle(program);
  const child = spawn(process.execPath, [program, path.join(folder, 'state')], {
    env: { ...process.env, NODE_PATH: path.join(workspace, 'node_modules') },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  let last: Promise<unknown> = Promise.resolve();
  return {
    pid: child.pid!,
    get stderr() {
      return stderr;
    },
    call: (method, ...args) => {
      child.stdin.write(`${JSON.stringify([method, ...args])}\n`);
      const answered = last.then(async () => {
        const { value } = (await answers.next()) as { value: string | undefined };
        if (value === undefined) throw new Error(`${method}: the process has ended\n${stderr}`);
        const { error } = JSON.parse(value) as { error?: string };
        if (error !== undefined) throw new Error(error);
      });
      last = answered.catch(() => undefined);
      return answered;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

function bundle(program: string): void {
  const thread = 'copy-logs.thread.js';
  const built = path.join(workspace, 'dist/apps/docker-shim', thread);
  if (!existsSync(built)) throw new Error(`${built} is absent: run \`npm run build\` first`);
  copyFileSync(built, path.join(path.dirname(program), thread));
  const { status, stderr } = spawnSync(
    path.join(workspace, 'node_modules/.bin/esbuild'),
    [
      path.join(__dirname, 'log-process.ts'),
      ...['--bundle', '--platform=node', '--external:better-sqlite3*'],
      `--tsconfig=${path.join(workspace, 'tsconfig.json')}`,
      `--outfile=${program}`,
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
}
