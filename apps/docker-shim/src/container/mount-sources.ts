import type { Mount } from '@stowage/cri-proto';
import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import { execFile } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { hasFeature } from '../engine/api-version';

/** Makes folders of the paths that are missing, where the engine does not. */
export async function makeSources(mounts: readonly Mount[], api: string): Promise<void> {
  if (hasFeature(api, 'createMountpoint')) return;
  for (const { hostPath, image } of mounts) {
    if (image !== undefined) continue;
    try {
      await stat(hostPath).catch(() => mkdir(hostPath, { recursive: true, mode: 0o755 }));
    } catch (error) {
      throw new FailedPreconditionError(
        `the mount source ${hostPath} cannot be made: ${errorMessage(error)}`,
        { cause: error },
      );
    }
  }
}

const run = promisify(execFile);

/**
 * Gives the files of mounts that ask for it the SELinux label of a container.
 *
 * @param label empty where the engine does not use SELinux.
 */
export async function relabelSources(
  mounts: readonly Mount[],
  label: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  if (label === '') return;
  for (const { hostPath } of mounts.filter((mount) => mount.selinuxRelabel)) {
    try {
      await run('chcon', ['--recursive', '--no-dereference', label, '--', hostPath], { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw new FailedPreconditionError(
        `the SELinux label of ${hostPath} cannot be set: ${errorMessage(error)}`,
        { cause: error },
      );
    }
  }
}
