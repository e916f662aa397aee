import { setTimeout as delay } from 'node:timers/promises';
import { isLocked } from '@stowage/sqlite';
import { StateDirInUseError } from './errors';
import { openEventBus } from './open-event-bus';
import { outboxFile } from './outbox-file';
import type { EventBus, EventBusOptions } from './types';

/** Pauses between two looks, and after an attempt that failed; milliseconds. */
const pollMs = 20;
const afterAttemptMs = 200;
/** How long to wait before the waiting is logged. */
const longMs = 5000;

/**
 * Opens the bus as soon as no other process has the outbox. A process holds its lock while it uses
 * the outbox, and loses it when it ends, however it ends. Several may wait: one of them gets the
 * outbox, and the others wait for that one. Throws as {@link openEventBus} except for
 * StateDirInUseError, and rejects when the signal aborts.
 */
export async function openEventBusWhenFree(
  options: EventBusOptions,
  { signal }: { signal: AbortSignal },
): Promise<EventBus> {
  const { stateDir, log } = options;
  const since = performance.now();
  let isLogged = false;
  for (;;) {
    signal.throwIfAborted();
    // Fast, unlike an attempt to open the bus, which waits for the lock and lets nothing else run.
    const isHeld = isLocked(outboxFile(stateDir));
    const bus = isHeld ? undefined : openUnlessInUse(options);
    if (bus !== undefined) return bus;
    if (!isLogged && performance.now() - since > longMs) {
      isLogged = true;
      log.warn({ stateDir }, 'another process still has the state directory: waiting for it');
    }
    await delay(isHeld ? pollMs : afterAttemptMs, undefined, { signal });
  }
}

/** Undefined when another process was faster. */
function openUnlessInUse(options: EventBusOptions): EventBus | undefined {
  try {
    return openEventBus(options);
  } catch (error) {
    if (error instanceof StateDirInUseError) return undefined;
    throw error;
  }
}
