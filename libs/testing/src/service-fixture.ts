import path from 'node:path';
import { commandSubject } from '@stowage/events';
import { connect, type NatsConnection } from 'nats';
import { spawnApp, type AppProcess, type SpawnAppOptions } from './spawn-app';
import { startStack } from './start-stack';
import { subscribeEvents, type EventCollection } from './subscribe-events';
import type { Stack, StackOptions } from './types';

/** What {@link ServiceFixture.start} starts: a stack, always with NATS. */
export interface ServiceFixtureOptions extends Omit<StackOptions, 'nats'> {
  /** Name of the node that the services are on. Default `node-1.example`. */
  node?: string;
}

/** Variables of every service on a stack. */
// A type, not an interface: only that is a Record<string, string> too.
type ServiceEnvironment = {
  STOWAGE_NODE_NAME: string;
  STOWAGE_RUNTIME_ENDPOINT: string;
  STOWAGE_NATS_SERVERS: string;
  STOWAGE_STATE_DIR: string;
  STOWAGE_COMMAND_SOCKET: string;
};

/**
 * What tests of services have in common: a stack, the events that arrive there, a connection for
 * commands, and services of one node. All of it ends with `down()`.
 */
export class ServiceFixture {
  readonly #services: AppProcess[] = [];

  private constructor(
    /** Name of the node. */
    readonly node: string,
    readonly stack: Stack,
    /** Every event of the stream, from its first one on. */
    readonly events: EventCollection,
    /** For commands; it waits as long as NATS is away. */
    readonly nats: NatsConnection,
  ) {}

  static async start({
    node = 'node-1.example',
    ...options
  }: ServiceFixtureOptions = {}): Promise<ServiceFixture> {
    const stack = await startStack(options);
    try {
      const nats = await connect({
        servers: stack.nats.url,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 50,
        reconnectJitter: 0,
      });
      return new ServiceFixture(node, stack, await subscribeEvents(stack.nats.url), nats);
    } catch (error) {
      await stack.down();
      throw error;
    }
  }

  /**
   * The environment of a service on the stack: node, runtime, NATS, no command socket, and a state
   * directory named after the service, unless `values` has others.
   */
  environment<V extends Readonly<Record<string, string>>>(
    app: string,
    values: V,
  ): ServiceEnvironment & V {
    return {
      STOWAGE_NODE_NAME: this.node,
      STOWAGE_RUNTIME_ENDPOINT: values.STOWAGE_RUNTIME_ENDPOINT ?? this.stack.runtime.endpoint,
      STOWAGE_NATS_SERVERS: this.stack.nats.url,
      STOWAGE_STATE_DIR: path.join(this.stack.dir, app),
      STOWAGE_COMMAND_SOCKET: '',
      ...values,
    };
  }

  /** Starts a service with its {@link environment}, and waits until it is ready. */
  async start(
    app: string,
    values: Readonly<Record<string, string>> = {},
    options: Omit<SpawnAppOptions, 'env'> = {},
  ): Promise<AppProcess> {
    const service = await spawnApp(app, { ...options, env: this.environment(app, values) });
    this.#services.push(service);
    return service;
  }

  /** The reply to a command as it is on the wire, whatever the input. Default limit 30 000 ms. */
  async request(
    app: string,
    verb: string,
    input: object | string = {},
    { timeoutMs = 30_000 }: { timeoutMs?: number } = {},
  ): Promise<unknown> {
    const subject = commandSubject(this.node, app, verb);
    const payload = typeof input === 'string' ? input : JSON.stringify(input);
    return (await this.nats.request(subject, payload, { timeout: timeoutMs })).json();
  }

  /** Ends the services that are running. One that does not end is killed, and is an error. */
  async stopServices(): Promise<void> {
    const stopOrKill = (service: AppProcess) =>
      service.stop().catch(async (error: unknown) => {
        await service.kill();
        throw error;
      });
    const ends = await Promise.allSettled(this.#services.splice(0).map(stopOrKill));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  async down(): Promise<void> {
    try {
      await this.stopServices();
    } finally {
      await this.events.close();
      await this.nats.close();
      await this.stack.down();
    }
  }
}
