import { spawnSync } from 'node:child_process';
import { root } from '../bootstrap.mjs';

/** Where commands run: the environment that leads docker to the engine of the check. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Writes a line for whoever waits for the check. */
export const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Runs a command to its end; throws with its last output when it fails. */
export function run(
  command: string,
  args: readonly string[],
  env: Environment = process.env,
  input?: string,
): string {
  const result = spawnSync(command, args, {
    cwd: root,
    env,
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (result.status === 0) return result.stdout;
  const output = `${result.stdout}${result.stderr}`.split('\n').slice(-40).join('\n');
  throw new Error(
    `${command} ${args.join(' ')} failed (${String(result.status ?? result.error)}):\n${output}`,
  );
}
