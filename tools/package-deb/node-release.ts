import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import release from './node-release.json';

/** Processors as Debian and as Node.js call them. */
export const architectures = { amd64: 'x64', arm64: 'arm64' } as const;
export type Architecture = keyof typeof architectures;

/** Version of Node.js in the packages. */
export const nodeVersion: string = release.version;

const cacheDir = path.resolve(__dirname, '../../node_modules/.cache/stowage-node');

/**
 * The tarball of npm's package `node-linux-<processor>` (some 50 MB), which holds Node.js itself.
 * It is fetched once and kept below `node_modules/.cache`. Throws when it cannot be fetched, with
 * npm's words, and when it is not what `node-release.json` pins.
 */
export function nodeTarball(architecture: Architecture): string {
  const processor = architectures[architecture];
  const name = `node-linux-${processor}`;
  const file = path.join(cacheDir, `${name}-${nodeVersion}.tgz`);
  const integrity = release.integrity[processor];
  if (!existsSync(file)) {
    mkdirSync(cacheDir, { recursive: true });
    const fresh = mkdtempSync(path.join(cacheDir, 'fetching-'));
    try {
      const args = ['pack', '--silent', '--pack-destination', fresh, `${name}@${nodeVersion}`];
      const fetched = execFileSync('npm', args, { encoding: 'utf8', timeout: 300_000 }).trim();
      renameSync(path.join(fresh, fetched), file);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  }
  checkIntegrity(file, integrity);
  return file;
}

/** {@link nodeTarball} of every processor. */
export const nodeTarballs = (): string[] =>
  (Object.keys(architectures) as Architecture[]).map(nodeTarball);

/** @throws when the file's hash is another one. */
export function checkIntegrity(file: string, integrity: string): void {
  const found = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
  if (found === integrity) return;
  throw new Error(`${file} is not what is pinned: it has ${found}, wanted is ${integrity}`);
}

/** Takes the program and its licence out of the tarball. */
export function extractNode(tarball: string, program: string, licence: string): void {
  const folder = mkdtempSync(`${program}-`);
  try {
    execFileSync('tar', ['-xzf', tarball, '-C', folder]);
    renameSync(path.join(folder, 'package/bin/node'), program);
    renameSync(path.join(folder, 'package/LICENSE'), licence);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
