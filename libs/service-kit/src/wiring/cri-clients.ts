import type { FactoryProvider } from '@nestjs/common';
import {
  connectImageService,
  connectRuntimeService,
  criInstrumentation,
  type CriCallObserver,
  type CriClientOptions,
  type CriConnectionView,
  type ImageServiceClient,
  type RuntimeServiceClient,
} from '@stowage/cri-client';
import type { Registry } from 'prom-client';
import type { ServiceContext } from '../service-context';
import { observeRuntime } from './observe';
import { provider, type ProviderOptions } from './provider';
import { token, type Token } from './token';

/** Client of the runtime's RuntimeService. */
export const RUNTIME = token<RuntimeServiceClient>('RuntimeServiceClient');
/** Client of the runtime's ImageService. */
export const IMAGE_RUNTIME = token<ImageServiceClient>('ImageServiceClient');

/** The keys that say how the service calls the runtime itself. */
export interface RuntimeConfig {
  readonly runtimeEndpoint: string;
  readonly imageEndpoint: string;
  /** Time limit of ordinary calls, milliseconds. */
  readonly runtimeRequestTimeoutMs: number;
}

type Context = ServiceContext<RuntimeConfig>;

/** What must be made before a client, and the health component that says whether the runtime answers. */
export interface RuntimeProviderOptions extends Pick<ProviderOptions<unknown>, 'after'> {
  readonly component?: string;
}

/** {@link RUNTIME}: connects in the background, with metrics, log and spans, and health component `runtime`. */
export function runtimeProvider(
  context: Token<Context>,
  { after, component = 'runtime' }: RuntimeProviderOptions = {},
): FactoryProvider<RuntimeServiceClient> {
  return clientProvider(RUNTIME, context, after, (of) =>
    observed(of, component, connectRuntimeService(options(of, of.config.runtimeEndpoint))),
  );
}

/**
 * {@link IMAGE_RUNTIME}, as {@link runtimeProvider}; its health component is `image-runtime`, beside that of the runtime. A service
 * that has no other client calls it `runtime`.
 */
export function imageRuntimeProvider(
  context: Token<Context>,
  { after, component = 'image-runtime' }: RuntimeProviderOptions = {},
): FactoryProvider<ImageServiceClient> {
  return clientProvider(IMAGE_RUNTIME, context, after, (of) =>
    observed(of, component, connectImageService(options(of, of.config.imageEndpoint))),
  );
}

function clientProvider<C extends { close(): void }>(
  of: Token<C>,
  context: Token<Context>,
  after: RuntimeProviderOptions['after'],
  connect: (context: Context) => C,
): FactoryProvider<C> {
  return provider<C, readonly [Token<Context>]>(of, [context], connect, {
    after,
    close: (client) => client.close(),
  });
}

function observed<C extends CriConnectionView>(context: Context, name: string, client: C): C {
  observeRuntime(context, client, name);
  return client;
}

const options = ({ config, metrics, log }: Context, endpoint: string): CriClientOptions => ({
  endpoint,
  timeoutMs: config.runtimeRequestTimeoutMs,
  observer: instrumentation(metrics, log),
});

/** One for each registry, whose metrics have one name each: the clients of a service share it. */
const instrumentations = new WeakMap<Registry, CriCallObserver>();

function instrumentation(metrics: Registry, log: Context['log']): CriCallObserver {
  const known = instrumentations.get(metrics) ?? criInstrumentation(metrics, log);
  instrumentations.set(metrics, known);
  return known;
}
