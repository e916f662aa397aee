import type { CommandAnswer, runtimeGateway } from '@stowage/commands';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { errorMessage } from '@stowage/errors';
import type { RuntimeObserver } from '../observe/runtime-observer';

/**
 * The runtime's conditions, as CRI Status gives them, and whether it answers at all. A runtime that
 * is away is an answer here, not an error.
 */
export async function runtimeStatus(
  runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint' | 'status'>,
  observer: Pick<RuntimeObserver, 'watching' | 'objects'>,
  options: { signal: AbortSignal },
): Promise<CommandAnswer<typeof runtimeGateway.status>> {
  const { available, since, reason, version } = runtime.availability();
  const answer = available
    ? await runtime.status({}, options).then(
        ({ status }) => ({
          conditions: (status?.conditions ?? []).map((condition) => ({
            type: condition.type,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
          })),
        }),
        (error: unknown) => ({ conditions: [], error: errorMessage(error) }),
      )
    : { conditions: [] };
  return {
    endpoint: runtime.endpoint,
    available,
    since: since.toISOString(),
    reason,
    criVersion: version,
    ...answer,
    observing: { ...observer.watching, known: observer.objects.counts },
  };
}
