import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

/** Where programs are looked for: PATH plus the sbin folders that a plain user's PATH may lack. */
export function searchPath(): string[] {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return [...new Set(folders.filter((folder) => folder !== ''))];
}

/** Absolute path of a program, or undefined when no folder of the search path holds it. */
export function findProgram(name: string): string | undefined {
  if (name.startsWith('/')) return existsSync(name) ? name : undefined;
  return searchPath()
    .map((folder) => path.join(folder, name))
    .find((file) => existsSync(file));
}

/** The environment for programs of the stack: this process's, with the sbin folders in PATH. */
export function programEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: searchPath().join(':') };
}

/** A program that ended with something other than exit code 0. */
export class ProgramFailedError extends Error {
  override readonly name = 'ProgramFailedError';
  constructor(
    readonly command: string,
    readonly exitCode: number | null,
    readonly stderr: string,
  ) {
    super(`${command} ended with ${exitCode ?? 'a signal'}: ${stderr.trim() || 'no message'}`);
  }
}

/**
 * Runs a program to its end and returns what it printed. `env` comes on top of this process's
 * environment.
 *
 * @throws {ProgramFailedError} with its stderr when the exit code is not 0.
 */
export function runProgram(
  command: string,
  args: readonly string[],
  { input, env }: { input?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...programEnvironment(), ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.on('error', () => undefined); // the program may end before it has read its input
    child.stdin.end(input ?? '');
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new ProgramFailedError([command, ...args].join(' '), code, stderr));
    });
  });
}
