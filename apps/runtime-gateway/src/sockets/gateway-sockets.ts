import { parseEndpoint, type RuntimeServiceClient } from '@stowage/cri-client';
import {
  activatedOr,
  checkListening,
  type CallListener,
  type Endpoint,
  type EndpointStats,
  type ListenOptions,
} from '@stowage/cri-endpoint';
import { CallsBeforeObserver, type ObserverOfCalls } from './calls-before-observer';
import { afterOthers } from './after-others';
import { openGatewayEndpoint } from './gateway-endpoint';
import { openReadonlyEndpoint } from './readonly-endpoint';
import type { CriVersions } from './cri-versions';

/** Names of activated sockets (FileDescriptorName in the socket unit). */
const activatedNames = { main: 'runtime', readonly: 'runtime-ro' } as const;
type SocketName = keyof typeof activatedNames;

/** The keys that decide what is served where; see `config.ts`. */
export interface SocketsConfig {
  readonly listen: string;
  readonly listenMode: number;
  readonly listenGroup: string;
  /** Empty: there is no read-only socket. */
  readonly listenReadonly: string;
  readonly listenReadonlyMode: number;
  readonly listenReadonlyGroup: string;
  readonly readonlyVerbose: boolean;
  readonly readonlyEvents: 'auto' | 'always';
  readonly takeOver: boolean;
  readonly runtimeEndpoint: string;
  readonly imageEndpoint: string;
  readonly imageRouting: boolean;
  readonly imageServiceEndpoint: string;
}

export interface GatewaySocketsOptions {
  readonly config: SocketsConfig;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  readonly runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint' | 'version'>;
  readonly criVersions: Pick<CriVersions, 'path' | 'servesBoth' | 'changedPrefix'>;
  /** Notified of the calls on both sockets. */
  readonly calls: CallListener;
  /** Another process has taken over the main socket. */
  readonly onReplaced: () => void;
  /** A connection over which calls are forwarded did not move any more. */
  readonly onGivenUp: (address: string, reason: string) => void;
}

/** The sockets of the gateway, which can be served before there is an observer. */
export class GatewaySockets {
  #main: Endpoint | undefined;
  #readonly: Endpoint | undefined;
  readonly #observer = new CallsBeforeObserver();

  constructor(private readonly options: GatewaySocketsOptions) {}

  stats(socket: SocketName): EndpointStats | undefined {
    return (socket === 'main' ? this.#main : this.#readonly)?.stats();
  }

  get isOpen(): boolean {
    return this.#main !== undefined;
  }

  /** Hands every call that was seen so far, and those to come, to the observer. */
  observeWith(observer: ObserverOfCalls): void {
    this.#observer.handTo(observer);
  }

  /** Ends the observing of calls, which themselves go on. */
  stopObserving(): void {
    this.#main?.stopObserving();
  }

  async open(): Promise<void> {
    const { config, log } = this.options;
    if (!config.takeOver || config.listenReadonly === '') return this.#open();
    await afterOthers(config.listen, log, async () => {
      // What keeps the main socket from being taken must show before the read-only one is.
      await checkListening(this.#listenOptions('main'));
      await this.#open();
    });
  }

  async #open(): Promise<void> {
    const { config, log, runtime, criVersions, calls, onReplaced, onGivenUp } = this.options;
    const runtimeSocket = parseEndpoint(config.runtimeEndpoint).address;
    const imageServiceSocket = config.imageRouting
      ? parseEndpoint(config.imageServiceEndpoint).address
      : undefined;
    // The main socket last: an instance that is replaced ends when it sees that one taken over, and
    // by then the read-only path is not its own any more either, so that it removes neither.
    if (config.listenReadonly !== '') {
      this.#readonly = await openReadonlyEndpoint(runtime, criVersions, {
        listen: this.#listenOptions('readonly'),
        runtimeSocket,
        imageSocket: imageServiceSocket ?? parseEndpoint(config.imageEndpoint).address,
        imageSocketServesBoth: config.imageRouting,
        rules: { verboseAllowed: config.readonlyVerbose, events: config.readonlyEvents },
        calls,
        onGivenUp,
      });
      log.info({ socket: this.#readonly.socketPath }, 'serving CRI, read-only');
    }
    this.#main = await openGatewayEndpoint(runtime, criVersions, this.#observer, {
      listen: this.#listenOptions('main', onReplaced),
      runtimeSocket,
      imageServiceSocket,
      calls,
      onGivenUp,
      onDetached: (reason, detail) =>
        log.warn({ reason, detail }, 'a connection is not followed any more; its bytes flow on'),
    });
    log.info({ socket: this.#main.socketPath }, 'serving CRI');
  }

  async close(options: { drainMs: number }): Promise<void> {
    await Promise.all([this.#main?.close(options), this.#readonly?.close(options)]);
  }

  #listenOptions(socket: SocketName, onReplaced?: () => void): ListenOptions {
    const { config } = this.options;
    const { takeOver } = config;
    const [socketPath, mode, group] =
      socket === 'main'
        ? [config.listen, config.listenMode, config.listenGroup]
        : [config.listenReadonly, config.listenReadonlyMode, config.listenReadonlyGroup];
    return activatedOr(
      { socketPath, mode, takeOver, onReplaced, group: group === '' ? undefined : group },
      [activatedNames[socket]],
    );
  }
}
