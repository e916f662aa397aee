import type { RuntimeServiceClient } from '@stowage/cri-client';
import { RuntimeUnavailableError } from '@stowage/errors';

/**
 * Text of the status that callers get while the runtime is away; undefined as long as it seems to
 * be there.
 */
export function unavailableText(
  runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint'>,
): string | undefined {
  const { available, since, reason } = runtime.availability();
  if (available || reason === undefined) return undefined;
  return new RuntimeUnavailableError(runtime.endpoint, since, reason).message;
}
