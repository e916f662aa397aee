import { execFileSync } from 'node:child_process';
import path from 'node:path';

/** The folder of the repository. */
export const project = path.resolve(__dirname, '../..');

/** What git prints, without the last line break. Throws with git's words. */
export const git = (...args: string[]): string =>
  execFileSync('git', ['-c', `safe.directory=${project}`, ...args], {
    cwd: project,
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  }).trimEnd();

/** Runs a program in the repository, with its output shown. Throws where it fails. */
export function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  execFileSync(program, args, {
    cwd: project,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
}

/** When the sources were last changed, in seconds since 1970. */
export const timeOfCommit = (): string => git('log', '-1', '--format=%ct');
