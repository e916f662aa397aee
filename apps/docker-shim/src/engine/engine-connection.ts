import { errorMessage, RuntimeUnavailableError } from '@stowage/errors';
import { setTimeout as pause } from 'node:timers/promises';
import { negotiateApi, type NotReadyReason } from './api-version';
import { EngineClient, type EndedEngineCall, type EngineInfo } from './engine-client';

/** An engine that answers, and what is known of it. */
export interface Engine {
  readonly client: EngineClient;
  /** Version of the API in use. */
  readonly api: string;
  readonly version: KnownVersion;
  readonly info: EngineInfo;
  /** Aborted with a `RuntimeUnavailableError` when this is no longer the connection in use. */
  readonly lost: AbortSignal;
}

/** What an engine says of itself. */
export interface KnownVersion {
  /** Of the engine, as it names it. */
  readonly engine: string;
  /** Newest and oldest version of the API that it speaks. */
  readonly highestApi: string;
  readonly lowestApi: string;
}

/** Whether calls can be made, since when, and why not. */
export interface EngineAvailability {
  readonly available: boolean;
  readonly since: Date;
  /** Absent while it is available. */
  readonly reason?: string;
  /** As the condition RuntimeReady names it; absent while it is available. */
  readonly code?: NotReadyReason;
  /** Connections so far; more than one means that the engine was away in between. */
  readonly connections: number;
}

export interface EngineConnectionOptions {
  /** Path of the engine's unix socket. */
  readonly socketPath: string;
  /** Limit of ordinary calls, milliseconds. */
  readonly timeoutMs: number;
  readonly now?: () => number;
  readonly random?: () => number;
  readonly onEnded?: (call: EndedEngineCall) => void;
}

/**
 * How long the engine has for what is asked of it while a connection is made, and for each sign of
 * life; milliseconds.
 */
const answerWithinMs = 10_000;
/** How often it is asked for a sign of life, milliseconds. */
const pingIntervalMs = 5000;

/**
 * Pause after so many failed attempts in a row, milliseconds: 100 ms, growing to 5 s, with a fifth
 * more or less.
 */
export function retryDelayMs(failures: number, random: () => number): number {
  return Math.min(5000, 100 * 1.6 ** Math.min(failures - 1, 16)) * (0.8 + 0.4 * random());
}

/** Why calls cannot be made before the first attempt to connect has ended. */
export const connectingReason = (endpoint: string): string => `connecting to ${endpoint}`;

/** The engine cannot be used though it answers. */
class ApiRefusedError extends Error {
  constructor(
    readonly code: NotReadyReason,
    message: string,
  ) {
    super(message);
  }
}

/**
 * The connection to a Docker Engine: made in the background, watched, and made again when it is
 * lost, with everything about the engine asked anew, which may be another version by then. Calls
 * while there is none fail at once.
 */
export class EngineConnection {
  readonly endpoint: string;
  readonly #options: EngineConnectionOptions;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(availability: EngineAvailability) => void>();
  readonly #now: () => number;
  #engine: Engine | undefined;
  #known: Pick<Engine, 'api' | 'version' | 'info'> | undefined;
  #availability: EngineAvailability;
  #connections = 0;
  readonly #running: Promise<void>;

  constructor(options: EngineConnectionOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.endpoint = `unix://${options.socketPath}`;
    this.#availability = {
      available: false,
      since: new Date(this.#now()),
      reason: connectingReason(this.endpoint),
      code: 'DockerDaemonNotReady',
      connections: 0,
    };
    this.#running = this.#run();
  }

  availability(): EngineAvailability {
    return this.#availability;
  }

  /** Calls the listener at each change, until the returned function is called. */
  onAvailability(listener: (availability: EngineAvailability) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The engine to make calls on.
   *
   * @throws {RuntimeUnavailableError} at once, when there is none.
   */
  engine(): Engine {
    if (this.#engine !== undefined) return this.#engine;
    const { since, reason = 'not connected' } = this.#availability;
    throw new RuntimeUnavailableError(this.endpoint, since, reason);
  }

  /** What is known of the engine, also while it is away; undefined before the first contact. */
  lastKnown(): Pick<Engine, 'api' | 'version' | 'info'> | undefined {
    return this.#known;
  }

  /** Ends it; calls in flight fail. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const isStopped = () => signal.aborted;
    let failures = 0;
    while (!isStopped()) {
      try {
        const over = new AbortController();
        const end = () => over.abort();
        signal.addEventListener('abort', end, { once: true });
        let engine: Engine | undefined;
        try {
          engine = await this.#connect(over);
          failures = 0;
          this.#ready(engine);
          await this.#watch(engine.client, over.signal);
        } finally {
          signal.removeEventListener('abort', end);
          over.abort(this.#lost());
          engine?.client.close();
        }
      } catch (error) {
        if (isStopped()) break;
        this.#away(error);
        failures += 1;
        const delayMs = retryDelayMs(failures, this.#options.random ?? Math.random);
        await pause(delayMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
    this.#away(new Error('docker-shim is shutting down'));
  }

  async #connect(over: AbortController): Promise<Engine> {
    const { socketPath, timeoutMs, onEnded } = this.#options;
    const call = { signal: over.signal, timeoutMs: answerWithinMs };
    const asking = new EngineClient({ socketPath, timeoutMs, onEnded });
    try {
      const pinged = await asking.ping(call);
      const { Version, ApiVersion, MinAPIVersion } = await asking.version(call);
      const version: KnownVersion = {
        engine: Version ?? '',
        highestApi: ApiVersion ?? pinged ?? '',
        lowestApi: MinAPIVersion ?? ApiVersion ?? pinged ?? '',
      };
      const { highestApi: highest, lowestApi: lowest } = version;
      const negotiated = negotiateApi({ lowest, highest });
      if ('reason' in negotiated) {
        throw new ApiRefusedError(negotiated.reason, negotiated.message);
      }
      const { api } = negotiated;
      const client = new EngineClient({ socketPath, api, timeoutMs, onEnded });
      return { client, api, version, info: await client.info(call), lost: over.signal };
    } finally {
      asking.close();
    }
  }

  /** Returns never; rejects when the engine is gone or says nothing any more. */
  async #watch(client: EngineClient, signal: AbortSignal): Promise<void> {
    const ended = new AbortController();
    const pings = client.openPings(() =>
      ended.abort(new Error('the engine has closed its connections')),
    );
    const either = AbortSignal.any([signal, ended.signal]);
    try {
      for (;;) {
        await pings.ping({ signal: either, timeoutMs: answerWithinMs });
        await pause(pingIntervalMs, undefined, { signal: either, ref: false }).catch(
          () => undefined,
        );
        either.throwIfAborted();
      }
    } finally {
      pings.close();
    }
  }

  #lost(): RuntimeUnavailableError {
    const reason = 'the connection to the engine has ended';
    return new RuntimeUnavailableError(this.endpoint, new Date(this.#now()), reason);
  }

  #ready(engine: Engine): void {
    this.#connections += 1;
    this.#engine = engine;
    this.#known = { api: engine.api, version: engine.version, info: engine.info };
    this.#enter({
      available: true,
      since: new Date(this.#now()),
      connections: this.#connections,
    });
  }

  #away(error: unknown): void {
    this.#engine = undefined;
    const { available, since } = this.#availability;
    this.#enter({
      available: false,
      since: available ? new Date(this.#now()) : since,
      reason: errorMessage(error),
      code: error instanceof ApiRefusedError ? error.code : 'DockerDaemonNotReady',
      connections: this.#connections,
    });
  }

  #enter(next: EngineAvailability): void {
    const before = this.#availability;
    this.#availability = next;
    if (before.available === next.available && before.reason === next.reason) return;
    for (const listener of [...this.#listeners]) {
      try {
        listener(next);
      } catch {
        // The listener's own affair: the connection and the other listeners go on.
      }
    }
  }
}
