import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { checkIntegrity, fetchTarball } from '../npm-tarball';
import release from './node-release.json';

/** Processors as Debian and as Node.js call them. */
export const architectures = { amd64: 'x64', arm64: 'arm64' } as const;
export type Architecture = keyof typeof architectures;

/** Version of Node.js in the packages. */
export const nodeVersion: string = release.version;

const cacheDir = path.resolve(__dirname, '../../node_modules/.cache/stowage-node');

/**
 * The tarball of npm's package `node-linux-<processor>` (some 50 MB), which holds Node.js itself.
 * It is fetched once and kept below `node_modules/.cache`.
 *
 * @throws Error when it cannot be fetched, with npm's words, and when it is not what
 *   `node-release.json` pins.
 */
export async function nodeTarball(architecture: Architecture): Promise<string> {
  const processor = architectures[architecture];
  const name = `node-linux-${processor}`;
  const file = path.join(cacheDir, `${name}-${nodeVersion}.tgz`);
  const pinned = { name, version: nodeVersion, integrity: release.integrity[processor] };
  if (existsSync(file)) checkIntegrity(file, pinned);
  else await fetchTarball(pinned, file);
  return file;
}

/** {@link nodeTarball} of every processor. */
export const nodeTarballs = (): Promise<string[]> =>
  Promise.all((Object.keys(architectures) as Architecture[]).map(nodeTarball));

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
