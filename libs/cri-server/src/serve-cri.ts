import {
  createCheckedEndpoint,
  createTerminatingEndpoint,
  type CheckedEndpointOptions,
  type Endpoint,
  type LocalHandler,
} from '@stowage/cri-endpoint';
import { criHandlers } from './cri-handlers';
import type { CriServiceDefinition, Implementation } from './types';

/** Where a CRI service listens, and where calls go that its implementation leaves out. */
export interface ServeCriOptions extends Omit<CheckedEndpointOptions, 'handlers'> {
  /** More handlers on the same socket; for the other service of the CRI, its `criHandlers`. */
  readonly handlers?: Readonly<Record<string, LocalHandler>>;
}

/**
 * Serves a CRI service on a unix socket, in v1 and v1alpha2. What `implementation` leaves out is
 * forwarded to the upstream of the options; without an upstream it gets UNIMPLEMENTED. Rejects as
 * `listenUnix` does.
 */
export function serveCri<Definition extends CriServiceDefinition>(
  definition: Definition,
  implementation: Implementation<Definition>,
  { handlers, ...options }: ServeCriOptions,
): Promise<Endpoint> {
  const create = options.upstream === undefined ? createTerminatingEndpoint : createCheckedEndpoint;
  return create({
    ...options,
    handlers: { ...handlers, ...criHandlers(definition, implementation) },
  });
}
