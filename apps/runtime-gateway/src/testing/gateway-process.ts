import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { connectRuntimeService, type RuntimeServiceClient } from '@stowage/cri-client';
import {
  spawnApp,
  type AppProcess,
  type EventCollection,
  type ReceivedEvent,
  type Stack,
} from '@stowage/testing';

export interface GatewayOptions {
  readonly node: string;
  /** Default: the stack's runtime. */
  readonly runtimeEndpoint?: string;
  /** Default: the stack's NATS. */
  readonly natsUrl?: string;
}

/** For gateways whose events nobody reads. */
export const absentNats = 'nats://127.0.0.1:1';

/** A gateway as a process, with a folder of its own, and a typed client on its socket. */
export class GatewayProcess {
  readonly dir: string;
  #app: AppProcess | undefined;
  #client: RuntimeServiceClient | undefined;

  constructor(
    private readonly stack: Stack,
    readonly options: GatewayOptions,
  ) {
    this.dir = mkdtempSync(path.join(stack.dir, 'gw-'));
  }

  get socket(): string {
    return path.join(this.dir, 'r.sock');
  }

  get readonlySocket(): string {
    return path.join(this.dir, 'ro.sock');
  }

  /** What it needs to start; {@link start} adds what makes tests fast. */
  get environment() {
    return {
      STOWAGE_NODE_NAME: this.options.node,
      STOWAGE_LISTEN: this.socket,
      STOWAGE_LISTEN_READONLY: this.readonlySocket,
      STOWAGE_STATE_DIR: path.join(this.dir, 'state'),
      STOWAGE_RUNTIME_ENDPOINT: this.options.runtimeEndpoint ?? this.stack.runtime.endpoint,
      STOWAGE_NATS_SERVERS: this.options.natsUrl ?? this.stack.nats.url,
    };
  }

  get app(): AppProcess {
    if (this.#app === undefined) throw new Error('the gateway is not started');
    return this.#app;
  }

  get client(): RuntimeServiceClient {
    if (this.#client === undefined) throw new Error('the gateway is not started');
    return this.#client;
  }

  async start(
    options: { env?: Record<string, string>; ready?: 'readyz' | 'healthz' } = {},
  ): Promise<void> {
    this.#app = await spawnApp('runtime-gateway', {
      ready: options.ready,
      env: {
        ...this.environment,
        STOWAGE_RELIST_INTERVAL: '300ms',
        STOWAGE_LOG_LEVEL: 'debug',
        ...options.env,
      },
    });
    this.#client = connectRuntimeService({ endpoint: `unix://${this.socket}`, versions: 'v1' });
    if (options.ready === undefined) await this.#client.whenAvailable();
  }

  /** How often the runtime was listed so far. */
  listings(): Promise<number> {
    return this.app.metric('stowage_gateway_listings_total{result="success"}');
  }

  async stop(): Promise<number | null> {
    this.client.close();
    return this.app.stop();
  }

  async kill(): Promise<void> {
    this.client.close();
    await this.app.kill();
  }

  /** At the end of the tests, in whatever state it is. */
  async end(): Promise<void> {
    this.#client?.close();
    await this.#app?.kill();
  }
}

/** What distinguishes one event of a life from another: name, object, and how it became known. */
export const brief = (event: ReceivedEvent): string =>
  `${event.name} ${event.subject.slice(0, 8)} ${(event.data as { observedBy?: string }).observedBy ?? ''}`.trim();

/** The events of one node that are about one of the ids, in the order of its stream. */
export function eventsAbout(
  events: EventCollection,
  node: string,
  ...ids: readonly string[]
): ReceivedEvent[] {
  return events.all.filter((event) => event.node === node && ids.includes(event.subject));
}
