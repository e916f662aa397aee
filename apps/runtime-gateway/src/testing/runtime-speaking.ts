import { createTerminatingEndpoint } from '@stowage/cri-endpoint';
import type { Endpoint } from '@stowage/cri-endpoint';
import { inVersion } from '@stowage/cri-proto/paths';
import type { CriVersion } from '@stowage/cri-proto/paths';
import { UnimplementedError } from '@stowage/errors';

/**
 * containerd behind a filter: a runtime that speaks the packages of `spoken` and says UNIMPLEMENTED
 * to the other. containerd itself, which has had v1 alone since 2.0, is always asked in v1. `asked`
 * holds the path of every call, those refused too.
 */
export function runtimeSpeaking(
  spoken: readonly CriVersion[],
  socketPath: string,
  runtimeSocket: string,
): Promise<Endpoint & { readonly asked: readonly string[] }> {
  const asked: string[] = [];
  return createTerminatingEndpoint({
    socketPath,
    handlers: {},
    upstream: {
      address: () => runtimeSocket,
      path: (method) => inVersion(method, 'v1'),
    },
    admit: (path) => {
      asked.push(path);
      if (spoken.some((name) => path.startsWith(`/runtime.${name}.`))) return undefined;
      throw new UnimplementedError(path);
    },
    unavailableReason: () => undefined,
  }).then((endpoint) => ({ ...endpoint, asked }));
}
