import { methodPaths } from '@stowage/cri-proto/paths';

/**
 * Streams of the CRI that last as long as their client wants them. Nobody can wait for their end,
 * so an endpoint that closes ends them at once with UNAVAILABLE, and clients (such as kubelet's
 * evented PLEG) open them again on a new connection. All other streams of the CRI, including those
 * that list in parts, end by themselves.
 */
const endlessStreams: ReadonlySet<string> = new Set(
  methodPaths('RuntimeService', 'GetContainerEvents'),
);

/** Whether a call of `method` (its path) never ends by itself. */
export function isEndlessStream(method: string): boolean {
  return endlessStreams.has(method);
}
