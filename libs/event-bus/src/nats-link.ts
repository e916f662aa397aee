import { inTime, pause } from '@stowage/async';
import { InvalidArgumentError } from '@stowage/errors';
import { parseNatsServer, withoutNatsLogin, type NatsServer } from '@stowage/events';
import {
  connect,
  credsAuthenticator,
  Events,
  nkeyAuthenticator,
  type Authenticator,
  type ConnectionOptions,
  type NatsConnection,
  type TlsOptions,
} from 'nats';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { errorText } from './error-text';
import type { BusLog, NatsOptions } from './types';

/** Servers, login and TLS in the form that the NATS client takes. */
export interface NatsConnectSettings {
  options: ConnectionOptions;
  /** The servers without user, password or token, for messages. */
  serversText: string;
}

const maxPauseMs = 2000;

/** Names of the client's status events that matter here. */
const [disconnected, reconnected, serverError]: string[] = [
  Events.Disconnect,
  Events.Reconnect,
  Events.Error,
];

function parsed(server: string): NatsServer {
  const found = parseNatsServer(server);
  if (found !== undefined) return found;
  const allowed = 'nats://host:port, tls://host:port or host:port';
  throw new InvalidArgumentError('nats.servers', withoutNatsLogin(server, '***'), allowed);
}

/** As in a URL. */
const addressOf = ({ host, port }: NatsServer) =>
  `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;

/** Translates the options. Throws InvalidArgumentError, never with a secret in it. */
export function natsConnectSettings(nats: NatsOptions, name: string): NatsConnectSettings {
  if (nats.servers.length === 0) {
    throw new InvalidArgumentError('nats.servers', [], 'at least one server');
  }
  const servers = nats.servers.map(parsed);
  const inUrl = servers.find(({ user }) => user !== undefined);
  const user = nats.user ?? (inUrl?.password ? inUrl.user : undefined);
  const password = nats.password ?? inUrl?.password;
  const token = nats.token ?? (inUrl && inUrl.password === undefined ? inUrl.user : undefined);
  const logins = { credsFile: nats.credsFile, nkeySeedFile: nats.nkeySeedFile, user, token };
  const given = Object.entries(logins).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    const keys = given.map(([key]) => key);
    throw new InvalidArgumentError('nats', keys, 'one of credsFile, nkeySeedFile, user and token');
  }
  const { caFile, certFile, keyFile } = nats.tls ?? {};
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const value = certFile ?? keyFile;
    throw new InvalidArgumentError('nats.tls', value, 'certFile and keyFile together');
  }
  const useTls = nats.tls !== undefined || servers.some(({ isTls }) => isTls);
  const waitMs = nats.reconnectWaitMs ?? 500;
  const authenticator = authenticatorOf(nats, user, password);
  return {
    serversText: servers
      .map((server) => `${server.isTls ? 'tls' : 'nats'}://${addressOf(server)}`)
      .join(', '),
    options: {
      name,
      servers: servers.map(addressOf),
      ...(authenticator && { authenticator }),
      ...(token !== undefined && { token }),
      ...(useTls && {
        tls: {
          ...(caFile && { caFile }),
          ...(certFile && { certFile, keyFile: keyFile ?? '' }),
          ...identityCheck(servers.map(({ host }) => host)),
        },
      }),
      ...(nats.inboxPrefix !== undefined && { inboxPrefix: nats.inboxPrefix }),
      timeout: nats.connectTimeoutMs ?? 5000,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: waitMs,
      reconnectJitter: waitMs,
      reconnectJitterTLS: waitMs,
      pingInterval: 20_000,
      noAsyncTraces: true,
    },
  };
}

/**
 * For a server given by IP address the client passes no name to Node's TLS, which then expects a
 * certificate for `localhost`. For such servers the certificate must name one of the configured
 * addresses instead.
 */
function identityCheck(hosts: readonly string[]): TlsOptions {
  const addresses = hosts.filter((host) => isIP(host) !== 0);
  if (addresses.length === 0) return {};
  const check: typeof checkServerIdentity = (host, certificate) => {
    const error = checkServerIdentity(host, certificate);
    if (error === undefined || host !== 'localhost') return error;
    const errors = addresses.map((address) => checkServerIdentity(address, certificate));
    return errors.includes(undefined) ? undefined : errors[0];
  };
  return { checkServerIdentity: check } as TlsOptions;
}

function authenticatorOf(
  { credsFile, nkeySeedFile }: NatsOptions,
  user: string | undefined,
  password: string | undefined,
): Authenticator | undefined {
  if (credsFile !== undefined) return credsAuthenticator(() => readFileSync(credsFile));
  if (nkeySeedFile !== undefined) {
    return nkeyAuthenticator(() => Buffer.from(readFileSync(nkeySeedFile, 'utf8').trim()));
  }
  if (user !== undefined)
    return () => ({ user, ...(password !== undefined && { pass: password }) });
  return undefined;
}

/** The state of the connection. */
export interface LinkState {
  connected: boolean;
  /** Why not. */
  reason?: string;
}

/**
 * A permanent connection to NATS: retried until the servers are there, kept by the client's own
 * reconnects, and opened again if the client gives up.
 */
export class NatsLink {
  #connection: NatsConnection | undefined;
  #state: LinkState = { connected: false, reason: 'not connected to NATS yet' };
  readonly #closed = new AbortController();
  #loop: Promise<void> | undefined;
  readonly #disconnectListeners = new Set<() => void>();

  constructor(
    private readonly settings: NatsConnectSettings,
    private readonly log: BusLog,
    private readonly on: {
      connection(connection: NatsConnection): void;
      state(state: LinkState): void;
    },
  ) {}

  /** Starts to connect. Call it once. */
  start(): void {
    this.#loop = this.#run();
  }

  get connection(): NatsConnection | undefined {
    return this.#connection;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Resolves when the connection is lost or the link closed. */
  disconnected(): { promise: Promise<void>; cancel: () => void } {
    if (!this.#state.connected) return { promise: Promise.resolve(), cancel: () => undefined };
    let cancel: () => void = () => undefined;
    const promise = new Promise<void>((resolve) => {
      this.#disconnectListeners.add(resolve);
      cancel = () => this.#disconnectListeners.delete(resolve);
    });
    return { promise, cancel };
  }

  /** Ends the connection: subscriptions get `drainMs` to finish their messages. */
  async close(drainMs: number): Promise<void> {
    this.#closed.abort();
    const connection = this.#connection;
    if (connection !== undefined && !connection.isClosed()) {
      if (this.#state.connected) {
        await inTime(
          connection.drain().catch(() => undefined),
          drainMs,
        );
      }
      await connection.close().catch(() => undefined);
      await this.#loop;
    }
    this.#set({ connected: false, reason: 'closed' });
  }

  async #run(): Promise<void> {
    let pauseMs = 100;
    const { signal } = this.#closed;
    while (!this.#isClosed()) {
      try {
        const connection = await connect(this.settings.options);
        if (this.#isClosed()) {
          await connection.close();
          return;
        }
        pauseMs = 100;
        this.#connection = connection;
        this.log.info({ server: connection.getServer() }, 'connected to NATS');
        this.#set({ connected: true });
        this.on.connection(connection);
        // The client leaves its status iterator open when it is closed, so nobody waits for this.
        void this.#watch(connection);
        const why = await connection.closed();
        this.#connection = undefined;
        this.#set({ connected: false, reason: this.#unreachable(why ?? 'connection closed') });
      } catch (error) {
        this.#set({ connected: false, reason: this.#unreachable(error) });
      }
      await pause(pauseMs + Math.random() * pauseMs, { signal });
      pauseMs = Math.min(pauseMs * 2, maxPauseMs);
    }
  }

  /** Follows the client's own reconnects until it is closed. */
  async #watch(connection: NatsConnection): Promise<void> {
    for await (const { type, data } of connection.status()) {
      const kind: string = type;
      if (kind === disconnected) {
        this.#set({ connected: false, reason: this.#unreachable('connection lost') });
      } else if (kind === reconnected) this.#set({ connected: true });
      else if (kind === serverError) {
        this.log.warn({ reason: errorText(data) }, 'NATS server reports an error');
      } else this.log.debug({ type }, 'NATS connection status');
    }
  }

  #isClosed(): boolean {
    return this.#closed.signal.aborted;
  }

  #unreachable(why: unknown): string {
    return `NATS at ${this.settings.serversText} is not available: ${errorText(why)}`;
  }

  #set(state: LinkState): void {
    const { connected, reason } = this.#state;
    if (connected === state.connected && reason === state.reason) return;
    this.#state = state;
    if (connected !== state.connected) {
      if (state.connected) this.log.info({}, 'events flow to NATS');
      else if (!this.#isClosed())
        this.log.warn({ reason: state.reason }, 'connection to NATS lost');
    }
    if (!state.connected) {
      for (const resolve of this.#disconnectListeners) resolve();
      this.#disconnectListeners.clear();
    }
    this.on.state(state);
  }
}
