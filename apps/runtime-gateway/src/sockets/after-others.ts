import { pause } from '@stowage/async';
import { makeSocketFolder } from '@stowage/cri-endpoint';
import { errorMessage } from '@stowage/errors';
import { lockFile } from '@stowage/sqlite';

/** Pause between two looks for the lock, and the longest wait for it, milliseconds. */
const lookMs = 10;
const waitMs = 10_000;

/**
 * Takes sockets over while no other instance does: several that start at the same moment would
 * leave the main socket to one of them and the read-only one to another, which removes it when it
 * ends. The lock is a file beside the socket `listen`, and ends with the process; one that is held
 * for long, by a process that stands still, is not waited for, nor one that cannot be made.
 */
export async function afterOthers(
  listen: string,
  log: { warn(fields: object, message: string): void },
  takeOver: () => Promise<void>,
): Promise<void> {
  await makeSocketFolder(listen);
  const unlock = await lockOf(`${listen}.lock`, log);
  try {
    await takeOver();
  } finally {
    unlock?.();
  }
}

async function lockOf(
  file: string,
  log: { warn(fields: object, message: string): void },
): Promise<(() => void) | undefined> {
  const since = performance.now();
  try {
    for (;;) {
      const unlock = lockFile(file);
      if (unlock !== undefined) return unlock;
      if (performance.now() - since > waitMs) throw new Error('another process holds it');
      await pause(lookMs);
    }
  } catch (error) {
    const reason = errorMessage(error);
    log.warn({ file, reason }, 'sockets are taken over without the lock beside them');
    return undefined;
  }
}
