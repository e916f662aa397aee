import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

/** A package of npm's registry in one version, with the hash of its tarball. */
export interface PinnedPackage {
  readonly name: string;
  readonly version: string;
  /** As package-lock.json has it: `sha512-` and base64. */
  readonly integrity: string;
}

/** Longest time for one tarball, milliseconds; some have 50 MB and more. */
const fetchMs = 300_000;

/**
 * Fetches the tarball of a package to a path, whose folder is made. The file is there only when it
 * is what is pinned; another process may fetch the same one meanwhile.
 *
 * @throws Error in npm's own words when it cannot be fetched, and with both hashes when it is
 *   another one than is pinned.
 */
export async function fetchTarball(wanted: PinnedPackage, file: string): Promise<void> {
  const spec = `${wanted.name}@${wanted.version}`;
  await mkdir(path.dirname(file), { recursive: true });
  const fresh = await mkdtemp(path.join(path.dirname(file), 'fetching-'));
  try {
    const args = ['pack', spec, '--pack-destination', fresh, '--silent', '--ignore-scripts'];
    const { stdout } = await promisify(execFile)('npm', args, {
      cwd: fresh,
      env: process.env,
      timeout: fetchMs,
    }).catch((error: unknown) => {
      const reason = (error as { stderr?: string }).stderr?.trim() ?? '';
      throw new Error(
        `${spec} cannot be fetched (npm ${args.join(' ')}): ${reason || 'is there a way to the registry of npm?'}`,
        { cause: error },
      );
    });
    const tarball = path.join(fresh, stdout.trim());
    checkIntegrity(tarball, wanted);
    await rename(tarball, file);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** @throws Error when the file is not the tarball that is pinned. */
export function checkIntegrity(file: string, { name, version, integrity }: PinnedPackage): void {
  const found = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
  if (found === integrity) return;
  throw new Error(
    `${file} is not ${name}@${version} as it is pinned: it has ${found}, wanted is ${integrity}`,
  );
}
