import { isLocked } from '@stowage/sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { outboxFile } from './outbox-file';
import type { BusLog } from './types';

const pollMs = 20;
/** How long to wait before the waiting is logged. */
const longMs = 5000;

/**
 * Resolves when no other process has the outbox of this folder. A process holds its lock while it
 * uses the outbox, and loses it when it ends, however it ends. Rejects with the signal's reason
 * when that aborts. This check is fast, unlike an attempt to open the bus.
 */
export async function outboxFree(
  stateDir: string,
  { signal, log }: { signal: AbortSignal; log: BusLog },
): Promise<void> {
  const file = outboxFile(stateDir);
  const since = performance.now();
  let isLogged = false;
  while (isLocked(file)) {
    if (!isLogged && performance.now() - since > longMs) {
      isLogged = true;
      log.warn({ stateDir }, 'another process still has the state directory: waiting for it');
    }
    await delay(pollMs, undefined, { signal });
  }
  signal.throwIfAborted();
}
