import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import type { DynamicModule } from '@nestjs/common';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { errorMessage } from '@stowage/errors';
import { Counter, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import { collectStartupGarbage } from './collect-startup-garbage';
import { CommandErrorFilter } from './commands/command-filter';
import { NatsCommandServer } from './commands/nats-command-server';
import type { CommandConnections } from './commands/types';
import type { ConfigDefinition, ConfigKeys, ConfigOf } from './config/define-config';
import { parseListenAddress } from './config/listen-address';
import type { ListenAddress } from './config/listen-address';
import { loadConfig } from './config/load-config';
import { Health, renderReadiness } from './health';
import type { HealthRegistry } from './health';
import { AddressInUseError, askPage, plain, serveHttp } from './http-server';
import type { HttpServer } from './http-server';
import { createLogger } from './log';
import type { Logger, LogLevel } from './log';
import { createMetrics } from './metrics';
import { nestLogger } from './nest-logger';
import { startTracing } from './tracing/start-tracing';
import type { Tracing } from './tracing/start-tracing';
import { serviceVersion } from './version';

/** What ends at a stop, or when another instance takes over, once its calls have ended; see {@link TakeOver.drain}. */
export type Drain = (options: { drainMs: number }) => Promise<void>;

/** For apps whose sockets another instance can take over. */
export interface TakeOver {
  /**
   * To be called when another process serves the app's socket. This one then gives up at once what the other waits for (the address
   * of metrics and health, the commands, and what {@link TakeOver.onLost} names), ends once its calls have ended, and exits with 0.
   */
  lost(socket: string): void;
  /** Names what gives up the state directory; called once, after `signal` was aborted. */
  onLost(release: () => Promise<void>): void;
  /**
   * Begins to end what serves calls, and waits for it. `close` gets the time that calls in flight have: at a stop half of
   * `stopTimeout`, after a take-over `takeOverDrain`; it is called again, with less, when a stop comes in the middle of that.
   */
  drain(close: Drain): Promise<void>;
}

/** What the kit gives an app's module. */
export interface ServiceContext<C> {
  readonly app: string;
  readonly version: string;
  readonly config: C;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly health: HealthRegistry;
  /** Aborted when the stop begins, or a take-over by another instance; loops and waits end on it. Calls being answered may finish. */
  readonly signal: AbortSignal;
  readonly takeOver: TakeOver;
  readonly commands: {
    /** Hands over where NATS connections come from (the event bus); commands are answered on them. */
    use(connections: CommandConnections): void;
  };
}

/** Keys of `commonKeys` and `takeOverKeys` that runService itself reads. */
interface KitConfig {
  readonly nodeName: string;
  readonly httpAddr: string;
  readonly logLevel: LogLevel;
  readonly commands: readonly string[];
  readonly stopTimeoutMs: number;
  readonly takeOver?: boolean;
  readonly takeOverDrainMs?: number;
}

/** Options of {@link runService}. */
export interface RunServiceOptions<K extends ConfigKeys> {
  readonly config: ConfigDefinition<K>;
  /** The app's root module. What it starts, it ends in Nest's shutdown hooks. */
  readonly module: (context: ServiceContext<ConfigOf<K>>) => DynamicModule | Promise<DynamicModule>;
  /** What the configuration's switches do instead, by flag: the text is printed and the process ends, with 1 when it fails. */
  readonly instead?: Readonly<Record<string, (config: ConfigOf<K>) => Promise<string>>>;
}

/**
 * Runs an app from start to exit: configuration, log, traces, metrics and health over HTTP, the NestJS application with
 * NATS commands, and the stop. It ends the process itself: 0 after SIGTERM, SIGINT or a take-over by another instance, 1 when the start fails,
 * the stop takes too long or a fault is not handled, 64 and 78 as `loadConfig` says, 128 + signal number at a
 * second signal.
 */
export async function runService<K extends ConfigKeys>(
  options: RunServiceOptions<K>,
): Promise<void> {
  const { app } = options.config;
  const version = serviceVersion();
  const outcome = await loadConfig(options.config, {
    argv: process.argv.slice(2),
    env: process.env,
    version,
  });
  if (outcome.action === 'exit') {
    printLine(outcome.stream, outcome.output, outcome.code);
    return;
  }
  const { switch: flag = '' } = outcome;
  const instead = options.instead?.[flag];
  if (instead !== undefined) {
    await instead(outcome.config).then(
      (text) => printLine('stdout', text, 0),
      (error: unknown) => printLine('stderr', `${app}: ${flag}: ${oneLine(error)}`, 1),
    );
    return;
  }
  const kit = outcome.config as unknown as KitConfig;
  const log = createLogger({ level: kit.logLevel, bindings: { app, node: kit.nodeName } });
  for (const note of outcome.notes) log.warn(note);
  const health = new Health(undefined, (component, { state, reason }) => {
    log[state === 'ok' ? 'info' : 'warn']({ component, state, reason }, 'health changed');
  });
  const metrics = createMetrics(app, version, () => health.readiness());
  const stop = new AbortController();
  const commands = new NatsCommandServer({
    app,
    nodeName: kit.nodeName,
    allowed: kit.commands,
    log,
    drainMs: Math.floor(kit.stopTimeoutMs / 2),
    observe: observeCommands(metrics),
  });
  const running = new Running(app, log, health, stop, commands, kit);
  running.catchFaults();
  try {
    const { nodeName } = kit;
    running.tracing = await startTracing({
      app,
      version,
      nodeName,
      log,
      metrics,
      env: process.env,
    });
    running.http = await servePages(app, kit, metrics, health, log);
    const root = await options.module({
      app,
      version,
      config: outcome.config,
      log,
      metrics,
      health,
      signal: stop.signal,
      takeOver: {
        lost: (socket) => running.lost(socket),
        onLost: (release) => (running.release = release),
        drain: (close) => running.drain(close),
      },
      commands,
    });
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- NestJS declares its options as a class
    const nest = await NestFactory.createMicroservice<MicroserviceOptions>(root, {
      strategy: commands,
      logger: nestLogger(log),
      abortOnError: false,
    });
    nest.useGlobalFilters(new CommandErrorFilter());
    running.nest = nest;
    await nest.listen();
  } catch (error) {
    running.startFailed(error);
    return;
  }
  await collectStartupGarbage();
  health.enter('running');
  log.info({ version, startMs: Math.round(process.uptime() * 1000), pid: process.pid }, 'ready');
  running.started();
}

const oneLine = (error: unknown): string => errorMessage(error).replaceAll(/\s*[\r\n]+\s*/g, ' ');

/** Prints and ends the process once the text is out, also into a pipe. */
function printLine(stream: 'stdout' | 'stderr', text: string, exitCode: number): void {
  process.exitCode = exitCode;
  process[stream].write(`${text}\n`, () => process.exit(exitCode));
}

async function servePages(
  app: string,
  { httpAddr, takeOver = false }: KitConfig,
  metrics: Registry,
  health: Health,
  log: Logger,
): Promise<Pick<HttpServer, 'close'> | undefined> {
  const listen = httpAddr === '' ? undefined : parseListenAddress(httpAddr);
  if (listen === undefined) return undefined;
  const open = async (): Promise<HttpServer> => {
    const server = await openPages(listen, metrics, health);
    log.info({ address: server.address }, 'serving metrics and health');
    return server;
  };
  try {
    return await open();
  } catch (error) {
    if (!takeOver || !(error instanceof AddressInUseError)) throw error;
    const page = (await askPage(listen, '/metrics')) ?? '';
    if (!new RegExp(`^stowage_build_info\\{[^}]*app="${app}"`, 'm').test(page)) {
      throw new Error(`${error.message}; what listens there does not answer as ${app}`, {
        cause: error,
      });
    }
  }
  return openWhenFree(open, httpAddr, log);
}

/** Pauses between attempts to get the address of an instance that is replaced, and when the short ones end; milliseconds. */
const addressPauses = { firstMs: 50, thenMs: 1000, afterMs: 10_000 };

/** The instance that has the address gives it up when its socket is taken over, which happens later. */
function openWhenFree(
  open: () => Promise<HttpServer>,
  address: string,
  log: Logger,
): Pick<HttpServer, 'close'> {
  const over = new AbortController();
  const { signal } = over;
  const wait = async (): Promise<HttpServer> => {
    const since = performance.now();
    let isLogged = false;
    for (;;) {
      const isLong = performance.now() - since > addressPauses.afterMs;
      await delay(isLong ? addressPauses.thenMs : addressPauses.firstMs, undefined, { signal });
      try {
        return await open();
      } catch (error) {
        if (isLong && !isLogged) {
          log.warn(
            { address, reason: errorMessage(error) },
            'metrics and health are not served yet',
          );
        }
        isLogged ||= isLong;
      }
    }
  };
  const opened = wait().catch(() => undefined);
  return {
    close: async () => {
      over.abort();
      await (await opened)?.close();
    },
  };
}

function openPages(listen: ListenAddress, metrics: Registry, health: Health): Promise<HttpServer> {
  return serveHttp(listen, {
    '/metrics': async () => ({
      status: 200,
      contentType: metrics.contentType,
      body: await metrics.metrics(),
    }),
    '/healthz': () => plain(200, 'ok\n'),
    '/readyz': () => {
      const readiness = health.readiness();
      return {
        status: readiness.state === 'down' ? 503 : 200,
        contentType: 'application/json',
        body: `${renderReadiness(readiness)}\n`,
      };
    },
  });
}

function observeCommands(metrics: Registry) {
  const total = new Counter({
    name: 'stowage_commands_total',
    help: 'NATS commands answered, by verb and code (OK or a gRPC status). Verbs that do not exist count as unknown.',
    labelNames: ['verb', 'code'],
    registers: [metrics],
  });
  const duration = new Histogram({
    name: 'stowage_command_duration_seconds',
    help: 'Time from the arrival of a NATS command to its reply. Time in the network is not counted.',
    labelNames: ['verb'],
    buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300],
    registers: [metrics],
  });
  return ({ verb, code, durationMs }: { verb: string; code: string; durationMs: number }) => {
    total.inc({ verb, code });
    duration.observe({ verb }, durationMs / 1000);
  };
}

/** Longest wait for the collector to take the last spans, and what it must leave of the time to stop, milliseconds. */
const traceFlushMs = 1000;
const traceFlushMarginMs = 200;

const stopSignals = { SIGTERM: 143, SIGINT: 130 } as const;
type StopSignal = keyof typeof stopSignals;

/** The process between its start and its exit. */
class Running {
  http: Pick<HttpServer, 'close'> | undefined;
  nest: { close(): Promise<unknown> } | undefined;
  tracing: Tracing | undefined;
  /** Gives up what an instance that takes over waits for. */
  release: (() => Promise<void>) | undefined;
  readonly #drains = new Set<Drain>();
  #stopBy = 0;
  #stopping = false;
  #isLost = false;
  #isStarted = false;

  constructor(
    private readonly app: string,
    private readonly log: Logger,
    private readonly health: Health,
    private readonly stop: AbortController,
    private readonly commands: Pick<NatsCommandServer, 'end'>,
    private readonly limits: Pick<KitConfig, 'stopTimeoutMs' | 'takeOverDrainMs'>,
  ) {}

  catchFaults(): void {
    const fault = (what: string) => (error: unknown) => {
      this.log.fatal({ err: error }, `${what}: ${errorMessage(error)}`);
      process.exit(1);
    };
    process.on('unhandledRejection', fault('unhandled rejection'));
    process.on('uncaughtException', fault('uncaught exception'));
    for (const signal of Object.keys(stopSignals) as StopSignal[]) {
      process.on(signal, () => {
        this.onSignal(signal);
      });
    }
  }

  startFailed(error: unknown): void {
    // A stop or a take-over during the start often shows as a failure of the start.
    if (this.#stopping || this.#isLost) process.exit(0);
    this.log.debug({ err: error }, 'start failed');
    printLine('stderr', `${this.app}: start failed: ${oneLine(error)}`, 1);
  }

  started(): void {
    this.#isStarted = true;
    if (this.#stopping || this.#isLost) void this.end();
  }

  onSignal(signal: StopSignal): void {
    if (this.#stopping) {
      this.log.warn({ signal }, 'second signal: leaving at once');
      process.exit(stopSignals[signal]);
    }
    this.#stopping = true;
    this.health.enter('stopping');
    this.log.info({ signal }, 'stopping');
    this.#endWithin(this.limits.stopTimeoutMs);
    this.stop.abort();
    // After a take-over the end has begun, with more time than there is now.
    for (const close of this.#drains) void close({ drainMs: this.#drainMs }).catch(() => undefined);
    if (this.#isStarted && !this.#isLost) void this.end();
  }

  lost(socket: string): void {
    if (this.#stopping || this.#isLost) return;
    this.#isLost = true;
    const drainMs = this.#drainMs;
    this.health.enter('stopping');
    this.log.info({ socket, drainMs }, 'another process has taken over the socket');
    this.#endWithin(drainMs + this.limits.stopTimeoutMs);
    this.stop.abort();
    void this.http?.close();
    if (this.#isStarted) void this.end();
  }

  drain(close: Drain): Promise<void> {
    this.#drains.add(close);
    return close({ drainMs: this.#drainMs }).finally(() => this.#drains.delete(close));
  }

  async end(): Promise<void> {
    try {
      if (this.#isLost) await this.#handOver();
      await this.nest?.close();
      await this.http?.close();
    } catch (error) {
      this.log.error({ err: error }, `stop failed: ${errorMessage(error)}`);
      process.exit(1);
    }
    // The stop itself is over: a collector that is away must not make a failure of it.
    const leftMs = this.#stopBy - performance.now() - traceFlushMarginMs;
    await this.tracing?.stop(Math.min(traceFlushMs, leftMs));
    this.log.info({}, 'stopped');
    process.exit(0);
  }

  /** What the other instance waits for goes first. A failure there must not cut the calls in flight. */
  async #handOver(): Promise<void> {
    const commandsEnded = this.drain((options) => this.commands.end(options));
    await this.release?.().catch((error: unknown) => {
      this.log.error({ err: error }, `handing over failed: ${errorMessage(error)}`);
    });
    this.log.info({}, 'handed over: ends when the calls in flight have ended');
    await commandsEnded;
  }

  /** Time of calls in flight. */
  get #drainMs(): number {
    const { stopTimeoutMs, takeOverDrainMs = 0 } = this.limits;
    return this.#isLost && !this.#stopping ? takeOverDrainMs : Math.floor(stopTimeoutMs / 2);
  }

  #endWithin(timeoutMs: number): void {
    this.#stopBy = performance.now() + timeoutMs;
    setTimeout(() => {
      this.log.error({ timeoutMs }, 'stop took too long: leaving');
      process.exit(1);
    }, timeoutMs).unref();
  }
}
