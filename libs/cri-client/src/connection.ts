import { Client, connectivityState, credentials } from '@grpc/grpc-js';
import { errorMessage, RuntimeUnavailableError } from '@stowage/errors';
import { statSync } from 'node:fs';
import { connectTimeoutMs, reconnectDelayMs } from './reconnect-delay';
import type { CriConnectionView, CriVersion, RuntimeAvailability } from './types';

/** Kubelet's limit for one message from the runtime. */
const maxMessageBytes = 16 * 1024 * 1024;

/** How often to check whether another process has replaced the socket, milliseconds. */
const replacementCheckMs = 1000;

/** Timers with more milliseconds than this fire at once. */
const longestTimerMs = 2 ** 31 - 1;

const channelOptions = {
  'grpc.default_authority': 'localhost',
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': -1,
  // The runtime service and the image service have a connection each, as in kubelet.
  'grpc.use_local_subchannel_pool': 1,
  // Connections end when the runtime ends them; reconnecting is done here, so that each new one is
  // probed.
  'grpc.client_idle_timeout_ms': longestTimerMs,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  // A 64 KiB window would make a reply of 16 MiB take hundreds of round trips.
  'grpc-node.flow_control_window': 1024 * 1024,
};

/** A connection that is ready for calls. */
export interface LiveConnection {
  readonly client: Client;
  readonly version: CriVersion;
  /** Number of this connection, from 1. */
  readonly number: number;
  /**
   * Aborted when it is no longer the current connection; calls that end by themselves may still
   * finish on it.
   */
  readonly replaced: AbortSignal;
}

type State =
  /**
   * Connecting for the first time, or replacing a lost connection: calls wait for the result, at
   * most 5 s.
   */
  | { readonly name: 'connecting' }
  | { readonly name: 'live'; readonly connection: LiveConnection }
  /** Connecting has failed and is retried. Calls fail at once. */
  | { readonly name: 'away'; readonly since: Date; readonly reason: string }
  | { readonly name: 'closed'; readonly since: Date };

export interface RuntimeConnectionOptions {
  readonly endpoint: string;
  /** Path of the runtime's socket. */
  readonly address: string;
  now(): number;
  /** Finds the package to use on a new connection. Rejects when the runtime cannot be used. */
  negotiate(client: Client, signal: AbortSignal): Promise<CriVersion>;
}

/**
 * The connection of one client to its runtime: opened in the background, probed, watched, and
 * reopened when it is lost. No call is retried: while the runtime is away, calls fail at once.
 */
export class RuntimeConnection implements CriConnectionView {
  readonly endpoint: string;
  readonly #options: RuntimeConnectionOptions;
  readonly #target: string;
  readonly #listeners = new Set<(availability: RuntimeAvailability) => void>();
  readonly #stateChanges = new Set<() => void>();
  readonly #calls = new Set<() => void>();
  #state: State = { name: 'connecting' };
  #availability: RuntimeAvailability;
  #current: { readonly client: Client; readonly over: AbortController } | undefined;
  #lostAt: Date | undefined;
  #failures = 0;
  #connections = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: RuntimeConnectionOptions) {
    this.endpoint = options.endpoint;
    this.#options = options;
    this.#target = `unix://${options.address}`;
    this.#availability = {
      available: false,
      since: this.#date(),
      reason: `connecting to ${options.endpoint}`,
      connections: 0,
    };
    this.#connect();
  }

  availability(): RuntimeAvailability {
    return this.#availability;
  }

  onAvailability(listener: (availability: RuntimeAvailability) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async whenAvailable(options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    while (this.#state.name !== 'live') {
      signal?.throwIfAborted();
      if (this.#state.name === 'closed') throw this.unavailable();
      await this.#stateChange(signal);
    }
  }

  /**
   * The connection to make a call on. Waits while one is being opened for the first time or right
   * after a loss. Throws RuntimeUnavailableError when the runtime is away; the signal's reason, or
   * a TimeoutError after `timeoutMs` milliseconds, when that comes first.
   */
  async live(signal: AbortSignal | undefined, timeoutMs?: number): Promise<LiveConnection> {
    if (this.#isConnecting()) {
      const limits = [
        signal,
        timeoutMs === undefined
          ? undefined
          : AbortSignal.timeout(Math.min(timeoutMs, longestTimerMs)),
      ];
      const either = AbortSignal.any(limits.filter((limit) => limit !== undefined));
      while (this.#isConnecting()) {
        either.throwIfAborted();
        await this.#stateChange(either);
      }
    }
    if (this.#state.name === 'live') return this.#state.connection;
    throw this.unavailable();
  }

  /**
   * Registers a function that ends a call when the client is closed. Returns a function that
   * removes it.
   */
  endWithClient(cancel: () => void): () => void {
    this.#calls.add(cancel);
    return () => this.#calls.delete(cancel);
  }

  isClosed(): boolean {
    return this.#state.name === 'closed';
  }

  isLive(connection: LiveConnection): boolean {
    return this.#state.name === 'live' && this.#state.connection === connection;
  }

  /** The error that says since when and why the runtime cannot be called. */
  unavailable(cause?: unknown): RuntimeUnavailableError {
    const options = { cause };
    switch (this.#state.name) {
      case 'closed':
        return new RuntimeUnavailableError(
          this.endpoint,
          this.#state.since,
          'this client is closed',
          options,
        );
      case 'away':
        return new RuntimeUnavailableError(
          this.endpoint,
          this.#state.since,
          this.#state.reason,
          options,
        );
      case 'connecting':
      case 'live':
        return new RuntimeUnavailableError(
          this.endpoint,
          this.#lostAt ?? this.#availability.since,
          'the connection to the runtime was lost',
          options,
        );
    }
  }

  close(): void {
    if (this.#state.name === 'closed') return;
    clearTimeout(this.#retry);
    this.#enter({ name: 'closed', since: this.#date() });
    for (const cancel of [...this.#calls]) cancel();
    this.#giveUp();
  }

  /** One attempt: connect, probe, and either go live or try again later. */
  #connect(): void {
    // Before connecting, so that a socket that is replaced in between is noticed too.
    const socketFile = this.#socketFile();
    const client = new Client(this.#target, credentials.createInsecure(), channelOptions);
    const over = new AbortController();
    this.#current = { client, over };
    const fail = (reason: string) => {
      this.#giveUp();
      this.#away(reason);
      this.#failures += 1;
      const delayMs = reconnectDelayMs(this.#failures, Math.random);
      this.#retry = setTimeout(() => {
        this.#connect();
      }, delayMs).unref();
    };

    let isConnected = false;
    let connection: LiveConnection | undefined;
    const patience = setTimeout(() => {
      if (!isConnected) fail(`no HTTP/2 answer within ${connectTimeoutMs} ms of connecting`);
      // The attempt continues, but calls no longer wait for it.
      else this.#away(`connected, but no answer to the first call within ${connectTimeoutMs} ms`);
    }, connectTimeoutMs).unref();
    over.signal.addEventListener('abort', () => {
      clearTimeout(patience);
    });

    watchReadiness(client, over.signal, {
      ready: () => {
        isConnected = true;
      },
      lost: () => {
        if (connection !== undefined) this.#lose();
      },
    });

    this.#options.negotiate(client, over.signal).then(
      (version) => {
        if (over.signal.aborted) return;
        clearTimeout(patience);
        this.#failures = 0;
        this.#connections += 1;
        connection = { client, version, number: this.#connections, replaced: over.signal };
        this.#enter({ name: 'live', connection });
        if (client.getChannel().getConnectivityState(false) !== connectivityState.READY) {
          this.#lose();
          return;
        }
        this.#watchSocketFile(socketFile, over.signal);
      },
      (error: unknown) => {
        if (over.signal.aborted) return;
        fail(isConnected ? errorMessage(error) : connectFailure(errorMessage(error)));
      },
    );
  }

  /**
   * A process that hands over its socket, or ends only after its last call, keeps its connections.
   * Unless it sends GOAWAY, only the file shows that another process now serves everybody else.
   */
  #watchSocketFile(connected: string | undefined, replaced: AbortSignal): void {
    let before = connected;
    const timer = setInterval(() => {
      const present = this.#socketFile();
      // If the file is gone, there is nothing to connect to; a connection that still works is kept.
      if (present === undefined || present === before) return;
      if (before === undefined) before = present;
      else this.#lose();
    }, replacementCheckMs).unref();
    replaced.addEventListener('abort', () => {
      clearInterval(timer);
    });
  }

  /** Identifies the file at the socket's path; absent where there is none. */
  #socketFile(): string | undefined {
    try {
      const file = statSync(this.#options.address, { bigint: true });
      // Some file systems give the number of a removed file to the next one.
      return `${file.dev} ${file.ino} ${file.birthtimeNs}`;
    } catch {
      return undefined;
    }
  }

  /**
   * The current connection is lost, or another process has replaced it; the next one is tried at
   * once.
   */
  #lose(): void {
    if (this.#state.name !== 'live') return;
    this.#giveUp();
    this.#lostAt = this.#date();
    this.#enter({ name: 'connecting' });
    this.#connect();
  }

  /**
   * Closes the current connection or attempt. Calls that the runtime still finishes (after GOAWAY)
   * continue.
   */
  #giveUp(): void {
    const current = this.#current;
    this.#current = undefined;
    current?.over.abort();
    current?.client.close();
  }

  #away(reason: string): void {
    const since = this.#availability.available
      ? (this.#lostAt ?? this.#date())
      : this.#availability.since;
    this.#enter({ name: 'away', since, reason });
  }

  #enter(state: State): void {
    this.#state = state;
    const waiting = [...this.#stateChanges];
    this.#stateChanges.clear();
    for (const resume of waiting) resume();
    const next = this.#describe(state);
    if (next === undefined || isSame(this.#availability, next)) return;
    this.#availability = next;
    for (const listener of [...this.#listeners]) {
      try {
        listener(next);
      } catch {
        // A listener that throws affects neither the connection nor the other listeners.
      }
    }
  }

  /** The public form of a state; unchanged while a lost connection is being replaced. */
  #describe(state: State): RuntimeAvailability | undefined {
    const connections = this.#connections;
    switch (state.name) {
      case 'connecting':
        return undefined;
      case 'live':
        return {
          available: true,
          since: this.#availability.available ? this.#availability.since : this.#date(),
          version: state.connection.version,
          connections,
        };
      case 'away':
        return { available: false, since: state.since, reason: state.reason, connections };
      case 'closed':
        return {
          available: false,
          since: state.since,
          reason: 'this client is closed',
          connections,
        };
    }
  }

  /** Resolves at the next change of state. Rejects with the signal's reason. */
  #stateChange(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      // Reconnecting alone does not keep the process alive, but waiting for it does.
      const alive = setInterval(() => undefined, 2 ** 30);
      const resume = () => {
        clearInterval(alive);
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      const abort = () => {
        clearInterval(alive);
        this.#stateChanges.delete(resume);
        reject(signal?.reason as Error);
      };
      this.#stateChanges.add(resume);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  #isConnecting(): boolean {
    return this.#state.name === 'connecting';
  }

  #date(): Date {
    return new Date(this.#options.now());
  }
}

/**
 * Starts connecting and reports when the channel becomes ready and when it no longer is, until the
 * signal is aborted.
 */
function watchReadiness(
  client: Client,
  signal: AbortSignal,
  on: { ready(): void; lost(): void },
): void {
  const channel = client.getChannel();
  let wasReady = false;
  const look = () => {
    if (signal.aborted) return;
    const state = channel.getConnectivityState(!wasReady);
    const isReady = state === connectivityState.READY;
    if (isReady && !wasReady) on.ready();
    if (!isReady && wasReady) {
      on.lost();
      return;
    }
    wasReady = isReady;
    channel.watchConnectivityState(state, Infinity, look);
  };
  look();
}

function isSame(a: RuntimeAvailability, b: RuntimeAvailability): boolean {
  return (
    a.available === b.available &&
    a.reason === b.reason &&
    a.version === b.version &&
    a.connections === b.connections &&
    a.since.getTime() === b.since.getTime()
  );
}

/**
 * The system's own error text, `connect ENOENT /run/x.sock`, without what the gRPC library wraps
 * around it.
 */
function connectFailure(text: string): string {
  const [, last] = /Last error: (?:Error: )?(.*?)\. Resolution note:/s.exec(text) ?? [];
  return (last ?? text).replace(/ \(\d{4}-\d\d-\d\dT[^)]*\)$/, '');
}
