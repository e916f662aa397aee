import { pause } from '@stowage/async';
import { DeadlineExceededError } from '@stowage/errors';
import type { EngineClient } from './engine-client';
import { isConflict, isNotFound } from './engine-errors';

/** How long a removal that the engine has begun already may take, milliseconds. */
const goneWithinMs = 120_000;
const lookEveryMs = 50;

/**
 * Removes a container, running or not, with its anonymous volumes. One that is gone is fine; one
 * that the engine is removing already is waited for.
 */
export async function ensureRemoved(
  client: Pick<EngineClient, 'removeContainer' | 'inspectContainer'>,
  id: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  try {
    await client.removeContainer(id, { signal });
  } catch (error) {
    if (isNotFound(error)) return;
    if (!isConflict(error)) throw error;
    await gone(client, id, signal);
  }
}

async function gone(
  client: Pick<EngineClient, 'inspectContainer'>,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + goneWithinMs;
  while (performance.now() < until) {
    try {
      await client.inspectContainer(id, { signal });
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    await pause(lookEveryMs, { signal });
    signal.throwIfAborted();
  }
  throw new DeadlineExceededError(`the removal of container ${id.slice(0, 12)}`, goneWithinMs);
}
