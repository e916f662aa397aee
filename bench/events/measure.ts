import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';

const root = path.resolve(__dirname, '../..');

/** The value at a share of the sorted values. */
export function at(share: number, values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** Milliseconds of a clock that all processes of the machine share. */
export const sharedMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** A script of this bench as a process of its own, its stdout line by line. */
export interface BenchProcess {
  readonly child: ChildProcess;
  readonly lines: string[];
  readonly ended: Promise<void>;
}

/** Starts a script of this folder; on one core when `cpu` says which. */
export function startProcess(script: string, args: readonly string[], cpu?: number): BenchProcess {
  const node = [process.execPath, '--import', 'tsx', path.join(__dirname, script), ...args];
  const [program = '', ...rest] =
    cpu === undefined ? node : ['taskset', '-c', String(cpu), ...node];
  const child = spawn(program, rest, {
    cwd: root,
    env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0 || signal === 'SIGTERM') resolve();
      else reject(new Error(`${script} ended with ${String(code ?? signal)}`));
    });
  });
  ended.catch(() => undefined);
  return { child, lines, ended };
}
