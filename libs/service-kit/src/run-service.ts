import 'reflect-metadata';
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
import { loadConfig } from './config/load-config';
import { Health, renderReadiness } from './health';
import type { HealthRegistry } from './health';
import { plain, serveHttp } from './http-server';
import type { HttpServer } from './http-server';
import { createLogger } from './log';
import type { Logger, LogLevel } from './log';
import { createMetrics } from './metrics';
import { nestLogger } from './nest-logger';
import { startTracing } from './tracing/start-tracing';
import type { Tracing } from './tracing/start-tracing';
import { serviceVersion } from './version';

/** What the kit gives an app's module. */
export interface ServiceContext<C> {
  readonly app: string;
  readonly version: string;
  readonly config: C;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly health: HealthRegistry;
  /** Aborted when the stop begins; loops and waits end on it. Calls being answered may finish. */
  readonly signal: AbortSignal;
  readonly commands: {
    /** Hands over where NATS connections come from (the event bus); commands are answered on them. */
    use(connections: CommandConnections): void;
  };
}

/** Keys of `commonKeys` that runService itself reads. */
interface KitConfig {
  readonly nodeName: string;
  readonly httpAddr: string;
  readonly logLevel: LogLevel;
  readonly commands: readonly string[];
  readonly stopTimeoutMs: number;
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
 * NATS commands, and the stop. It ends the process itself: 0 after SIGTERM or SIGINT, 1 when the start fails,
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
  const running = new Running(app, log, health, stop, kit.stopTimeoutMs);
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
    running.http = await servePages(kit.httpAddr, metrics, health, log);
    const root = await options.module({
      app,
      version,
      config: outcome.config,
      log,
      metrics,
      health,
      signal: stop.signal,
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
  httpAddr: string,
  metrics: Registry,
  health: Health,
  log: Logger,
): Promise<HttpServer | undefined> {
  const listen = httpAddr === '' ? undefined : parseListenAddress(httpAddr);
  if (listen === undefined) return undefined;
  const server = await serveHttp(listen, {
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
  log.info({ address: server.address }, 'serving metrics and health');
  return server;
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
  http: HttpServer | undefined;
  nest: { close(): Promise<unknown> } | undefined;
  tracing: Tracing | undefined;
  #stopBy = 0;
  #stopping = false;
  #isStarted = false;
  #pending: StopSignal | undefined;

  constructor(
    private readonly app: string,
    private readonly log: Logger,
    private readonly health: Health,
    private readonly stop: AbortController,
    private readonly stopTimeoutMs: number,
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
    // A stop that was asked for during the start often shows as a failure of the start.
    if (this.#pending !== undefined) process.exit(0);
    this.log.debug({ err: error }, 'start failed');
    printLine('stderr', `${this.app}: start failed: ${oneLine(error)}`, 1);
  }

  started(): void {
    this.#isStarted = true;
    if (this.#pending !== undefined) void this.end(this.#pending);
  }

  onSignal(signal: StopSignal): void {
    if (this.#stopping) {
      this.log.warn({ signal }, 'second signal: leaving at once');
      process.exit(stopSignals[signal]);
    }
    this.#stopping = true;
    this.#pending = signal;
    this.#stopBy = performance.now() + this.stopTimeoutMs;
    this.health.enter('stopping');
    this.log.info({ signal }, 'stopping');
    this.stop.abort();
    const timer = setTimeout(() => {
      this.log.error({ timeoutMs: this.stopTimeoutMs }, 'stop took too long: leaving');
      process.exit(1);
    }, this.stopTimeoutMs);
    timer.unref();
    if (this.#isStarted) void this.end(signal);
  }

  async end(signal: StopSignal): Promise<void> {
    try {
      await this.nest?.close();
      await this.http?.close();
    } catch (error) {
      this.log.error({ err: error }, `stop failed: ${errorMessage(error)}`);
      process.exit(1);
    }
    // The stop itself is over: a collector that is away must not make a failure of it.
    const leftMs = this.#stopBy - performance.now() - traceFlushMarginMs;
    await this.tracing?.stop(Math.min(traceFlushMs, leftMs));
    this.log.info({ signal }, 'stopped');
    process.exit(0);
  }
}
