import { parseEndpoint } from '@stowage/cri-client';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { activatedOr } from '@stowage/cri-endpoint';
import type { CallObserver, Endpoint, EndpointStats, ListenOptions } from '@stowage/cri-endpoint';
import type { ServiceContext } from '@stowage/service-kit';
import { CallsBeforeObserver } from './calls-before-observer';
import type { CallsOf } from './calls-before-observer';
import type { GatewayConfig } from './config';
import { openGatewayEndpoint } from './gateway-endpoint';
import { openReadonlyEndpoint } from './readonly-endpoint';
import type { RuntimePackages } from './runtime-packages';

/** Names of activated sockets (FileDescriptorName in the socket unit). */
const activatedNames = { main: 'runtime', readonly: 'runtime-ro' } as const;
type SocketName = keyof typeof activatedNames;

/** The sockets of the gateway, which can be served before there is an observer. */
export class GatewaySockets {
  #main: Endpoint | undefined;
  #readonly: Endpoint | undefined;
  readonly #observer = new CallsBeforeObserver();

  constructor(
    private readonly context: Pick<ServiceContext<GatewayConfig>, 'config' | 'log'>,
    private readonly runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint' | 'version'>,
    private readonly packages: Pick<RuntimePackages, 'path' | 'bothSpoken' | 'changedPrefix'>,
    private readonly calls: CallObserver,
    /** Another process has taken over the main socket. */
    private readonly onReplaced: () => void,
    /** A connection over which calls are forwarded did not move any more. */
    private readonly onGivenUp: (address: string, reason: string) => void,
  ) {}

  stats(socket: SocketName): EndpointStats | undefined {
    return (socket === 'main' ? this.#main : this.#readonly)?.stats();
  }

  get isOpen(): boolean {
    return this.#main !== undefined;
  }

  /** Hands every call that was seen so far, and those to come, to the observer. */
  observeWith(observer: CallsOf): void {
    this.#observer.handTo(observer);
  }

  /** Ends the observing of calls, which themselves go on. */
  stopObserving(): void {
    this.#main?.stopObserving();
  }

  async open(): Promise<void> {
    const { config, log } = this.context;
    const runtimeSocket = parseEndpoint(config.runtimeEndpoint).address;
    const imageServiceSocket = config.imageRouting
      ? parseEndpoint(config.imageServiceEndpoint).address
      : undefined;
    // The main socket last: an instance that is replaced ends when it sees that one taken over, and by then the
    // read-only path is not its own any more either, so that it removes neither.
    if (config.listenReadonly !== '') {
      this.#readonly = await openReadonlyEndpoint(this.runtime, this.packages, {
        listen: this.#listenOptions('readonly'),
        runtimeSocket,
        imageSocket: imageServiceSocket ?? parseEndpoint(config.imageEndpoint).address,
        imageSocketSpeaksBoth: config.imageRouting,
        rules: { verboseAllowed: config.readonlyVerbose, events: config.readonlyEvents },
        calls: this.calls,
        onGivenUp: this.onGivenUp,
      });
      log.info({ socket: this.#readonly.socketPath }, 'serving CRI, read-only');
    }
    this.#main = await openGatewayEndpoint(this.runtime, this.packages, this.#observer, {
      listen: this.#listenOptions('main', this.onReplaced),
      runtimeSocket,
      imageServiceSocket,
      calls: this.calls,
      onGivenUp: this.onGivenUp,
      onLetGo: (reason, detail) =>
        log.warn({ reason, detail }, 'a connection is not followed any more; its bytes flow on'),
    });
    log.info({ socket: this.#main.socketPath }, 'serving CRI');
  }

  async close(options: { drainMs: number }): Promise<void> {
    await Promise.all([this.#main?.close(options), this.#readonly?.close(options)]);
  }

  #listenOptions(socket: SocketName, onReplaced?: () => void): ListenOptions {
    const { config } = this.context;
    const { takeOver } = config;
    const [socketPath, mode, group] =
      socket === 'main'
        ? [config.listen, config.listenMode, config.listenGroup]
        : [config.listenReadonly, config.listenReadonlyMode, config.listenReadonlyGroup];
    return activatedOr(
      { socketPath, mode, takeOver, onReplaced, ...(group === '' ? {} : { group }) },
      [activatedNames[socket]],
    );
  }
}
