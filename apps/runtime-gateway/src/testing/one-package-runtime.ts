import { createTerminatingEndpoint } from '@stowage/cri-endpoint';
import type { Endpoint } from '@stowage/cri-endpoint';
import { UnimplementedError } from '@stowage/errors';

/** containerd behind a filter: a runtime that speaks one of the two packages and says UNIMPLEMENTED to the other. */
export function onePackageRuntime(
  socketPath: string,
  runtimeSocket: string,
  spoken: 'v1' | 'v1alpha2',
): Promise<Endpoint & { readonly asked: readonly string[] }> {
  const asked: string[] = [];
  return createTerminatingEndpoint({
    socketPath,
    handlers: {},
    upstream: { address: () => runtimeSocket },
    admit: (path) => {
      asked.push(path);
      if (path.startsWith(`/runtime.${spoken}.`)) return undefined;
      throw new UnimplementedError(path);
    },
    unavailableReason: () => undefined,
  }).then((endpoint) => ({ ...endpoint, asked }));
}
