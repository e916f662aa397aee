import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import type { DynamicModule, Type } from '@nestjs/common';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { commandSocketPath } from '@stowage/commands';
import { SocketPathError } from '@stowage/cri-endpoint';
import { errorMessage } from '@stowage/errors';
import { Counter, Histogram, type Registry } from 'prom-client';
import { collectStartupGarbage } from './collect-startup-garbage';
import { CommandErrorFilter } from './commands/command-filter';
import { LocalCommandServer } from './commands/local-command-server';
import { NatsCommandServer } from './commands/nats-command-server';
import { CommandsReload } from './commands/reload-commands';
import type { CommandObservation } from './commands/types';
import { configFiles } from './config/config-files';
import { ConfigReload, type ReadAgain } from './config/config-reload';
import type { ConfigDefinition, ConfigKeys, ConfigOf } from './config/define-config';
import { parseListenAddress, type ListenAddress } from './config/listen-address';
import { Health, renderReadiness } from './health';
import { AddressInUseError, askPage, plain, serveHttp, type HttpServer } from './http-server';
import { createLogger, type Logger, type LogLevel } from './log';
import { createMetrics } from './metrics';
import { nestLogger } from './nest-logger';
import { oneLine, printLine } from './print-line';
import { CONTEXT, type ServiceContext } from './service-context';
import { StatusPage } from './status-page/status-page';
import { startTracing, type Tracing } from './tracing/start-tracing';
import { serviceVersion } from './version';
import { STOP_LIST } from './wiring/provider';
import { StopList } from './wiring/stop-list';

/** Keys of `commonKeys` and `takeOverKeys` that runService itself reads. */
interface KitConfig {
  readonly nodeName: string;
  readonly httpAddr: string;
  readonly logLevel: LogLevel;
  readonly commands: readonly string[];
  readonly commandSocket: string;
  readonly localCommands: 'all' | 'listed';
  readonly stopTimeoutMs: number;
  readonly takeOver?: boolean;
  readonly takeOverDrainMs?: number;
}

/** A class with `@Module`, or what is made of one for a configuration. */
type AppModule = Type | DynamicModule;

/** Options of {@link runService}. */
export interface RunServiceOptions<K extends ConfigKeys> {
  readonly config: ConfigDefinition<K>;
  /**
   * The app's root module. In it and in its feature modules the context is found by `contextToken`,
   * and what a `provider` made ends as it says; Nest's hooks run too, those of the shutdown before.
   */
  readonly module: (context: ServiceContext<ConfigOf<K>>) => AppModule | Promise<AppModule>;
  /**
   * What the configuration's switches do instead, by flag: the text is printed and the process
   * ends, with 1 when it fails. It gets the values of the flags that go with the switch, by flag.
   */
  readonly instead?: Readonly<
    Record<
      string,
      (config: ConfigOf<K>, options: Readonly<Record<string, unknown>>) => Promise<string>
    >
  >;
}

/**
 * Runs an app from start to exit: configuration, log, traces, metrics and health over HTTP, the
 * NestJS application with NATS commands, and the stop. It ends the process itself: 0 after SIGTERM,
 * SIGINT or a take-over by another instance, 1 when the start fails, the stop takes too long or a
 * fault is not handled, 64 and 78 as `loadConfig` says, 128 + signal number at a second signal.
 */
export async function runService<K extends ConfigKeys>(
  options: RunServiceOptions<K>,
): Promise<void> {
  const { app } = options.config;
  const version = serviceVersion();
  const { env } = process;
  const argv = process.argv.slice(2);
  const source = configFiles(options.config, { argv, env, version });
  const outcome = await source.load();
  if (outcome.action === 'exit') {
    printLine(outcome.stream, outcome.output, outcome.code);
    return;
  }
  const { switch: flag = '' } = outcome;
  const instead = options.instead?.[flag];
  if (instead !== undefined) {
    await instead(outcome.config, outcome.switchOptions).then(
      (text) => printLine('stdout', text, 0),
      (error: unknown) => printLine('stderr', `${app}: ${flag}: ${oneLine(error)}`, 1),
    );
    return;
  }
  const kit = outcome.config as unknown as KitConfig;
  const log = createLogger({ level: kit.logLevel, bindings: { app, node: kit.nodeName } });
  for (const note of outcome.notes) log.warn(note);
  const health = new Health(undefined, (component, { state, reason }) => {
    // At a stop parts end one after the other, which is no outage.
    const level = isStopping(health) ? 'debug' : state === 'ok' ? 'info' : 'warn';
    log[level]({ component, state, reason }, 'health changed');
  });
  const metrics = createMetrics(app, version, () => health.readiness());
  const stop = new AbortController();
  const observe = observeCommands(metrics);
  const answered = new Set(kit.commands);
  const startedAt = new Date(Date.now() - process.uptime() * 1000);
  const commands = new NatsCommandServer({
    app,
    nodeName: kit.nodeName,
    allowed: answered,
    discovery: {
      version,
      description: options.config.summary,
      startedAt: startedAt.toISOString(),
      state: () => health.readiness().state,
    },
    log,
    drainMs: Math.floor(kit.stopTimeoutMs / 2),
    observe,
  });
  const local = localCommands(
    { app, version, kit, answered, startedAt, log, health, observe },
    commands,
  );
  const configReload = new ConfigReload(source, stop);
  // The start can last, as long as another instance has the state directory for one.
  configReload.heedSignals();
  const commandsReload = new CommandsReload({ answered, log, health });
  configReload.onRead((read, cause) => {
    commandsReload.take(read as ReadAgain<unknown> as ReadAgain<KitConfig>, cause);
  });
  const statusPage = new StatusPage({
    facts: { app, version, node: kit.nodeName, pid: process.pid, startedAt },
    readiness: () => health.readiness(),
    signal: stop.signal,
  });
  const parts = new StopList(log);
  const running = new Running(app, log, health, stop, [commands, ...local], parts, kit);
  running.catchFaults();
  try {
    const { nodeName } = kit;
    running.tracing = await startTracing({ app, version, nodeName, log, metrics, env });
    running.http = await servePages(app, kit, { metrics, health, statusPage }, log);
    // An instance that takes over leaves this socket to the other one until it serves itself.
    if (kit.takeOver !== true) await openCommandSocket(app, kit, local, log);
    const context: ServiceContext<ConfigOf<K>> = {
      app,
      version,
      config: outcome.config,
      configReload,
      log,
      metrics,
      health,
      signal: stop.signal,
      takeOver: {
        lost: (socket) => running.lost(socket),
      },
      statusPage,
      commands,
    };
    const root = serviceModule(await options.module(context), context, parts);
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- NestJS declares its options as a class
    const nest = await NestFactory.createMicroservice<MicroserviceOptions>(root, {
      strategy: commands,
      logger: nestLogger(log, () => stop.signal.aborted),
      abortOnError: false,
    });
    nest.useGlobalFilters(new CommandErrorFilter());
    running.nest = nest;
    await nest.listen();
    for (const server of local) server.ready();
    if (kit.takeOver === true) await openCommandSocket(app, kit, local, log);
    configReload.start();
  } catch (error) {
    await running.startFailed(error);
    return;
  }
  await collectStartupGarbage();
  health.enter('running');
  log.info({ version, startMs: Math.round(process.uptime() * 1000), pid: process.pid }, 'ready');
  running.started();
}

const isStopping = (health: Health): boolean => health.readiness().phase === 'stopping';

class KitModule {}
class ServiceModule {}

/** The app's module, with what every module of it may ask for. */
function serviceModule(app: AppModule, context: unknown, parts: StopList): DynamicModule {
  const providers = [
    { provide: CONTEXT, useValue: context },
    { provide: STOP_LIST, useValue: parts },
  ];
  const kit = { module: KitModule, global: true, providers, exports: providers };
  return { module: ServiceModule, imports: [kit, app] };
}

/** What the HTTP address shows. */
interface ShownOverHttp {
  readonly metrics: Registry;
  readonly health: Health;
  readonly statusPage: StatusPage;
}

async function servePages(
  app: string,
  { httpAddr, takeOver = false }: KitConfig,
  shown: ShownOverHttp,
  log: Logger,
): Promise<Pick<HttpServer, 'close'> | undefined> {
  const listen = httpAddr === '' ? undefined : parseListenAddress(httpAddr);
  if (listen === undefined) return undefined;
  const open = async (): Promise<HttpServer> => {
    const server = await openPages(listen, shown);
    log.info({ address: server.address }, 'serving metrics and health');
    return server;
  };
  const since = performance.now();
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!takeOver || !(error instanceof AddressInUseError)) throw error;
      const page = await askPage(listen, '/metrics');
      // Its owner may be giving it up at this moment, or be slow where the machine has much to do.
      if (page === undefined && performance.now() - since < addressPauses.afterMs) {
        await delay(addressPauses.firstMs);
        continue;
      }
      if (!new RegExp(`^stowage_build_info\\{[^}]*app="${app}"`, 'm').test(page ?? '')) {
        throw new Error(`${error.message}; what listens there does not answer as ${app}`, {
          cause: error,
        });
      }
      return openWhenFree(open, httpAddr, log);
    }
  }
}

/**
 * Pauses between attempts to get the address of an instance that is replaced, and when the short
 * ones end; milliseconds.
 */
const addressPauses = { firstMs: 50, thenMs: 1000, afterMs: 10_000 };

/**
 * The instance that has the address gives it up when its socket is taken over, which happens later.
 */
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

function openPages(
  listen: ListenAddress,
  { metrics, health, statusPage }: ShownOverHttp,
): Promise<HttpServer> {
  return serveHttp(listen, {
    '/': (query) => statusPage.page(query),
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

/** The server of {@link KitConfig.commandSocket}; none where it is switched off. */
function localCommands(
  {
    app,
    version,
    kit,
    answered,
    startedAt,
    log,
    health,
    observe,
  }: {
    app: string;
    version: string;
    kit: KitConfig;
    answered: ReadonlySet<string>;
    startedAt: Date;
    log: Logger;
    health: Health;
    observe: (observation: CommandObservation) => void;
  },
  { handlers }: NatsCommandServer,
): LocalCommandServer[] {
  if (kit.commandSocket === '') return [];
  const server = new LocalCommandServer({
    app,
    nodeName: kit.nodeName,
    socketPath: kit.commandSocket,
    handlers,
    onNats: answered,
    answers: kit.localCommands,
    log,
    info: () => {
      const { state, phase, components } = health.readiness();
      const named = [...components].map(([name, { since, ...report }]) => ({
        name,
        ...report,
        since: since.toISOString(),
      }));
      const shown = { state, phase, components: named };
      const started = startedAt.toISOString();
      const { pid } = process;
      return { app, version, node: kit.nodeName, pid, startedAt: started, health: shown };
    },
    observe,
  });
  return [server];
}

/**
 * A folder that cannot be written ends the start only where the path was chosen: services that had
 * no socket so far may have no such folder.
 */
async function openCommandSocket(
  app: string,
  { commandSocket, takeOver = false }: KitConfig,
  servers: readonly LocalCommandServer[],
  log: Logger,
): Promise<void> {
  for (const server of servers) {
    try {
      await server.listen({ takeOver });
    } catch (error) {
      const isChosen = commandSocket !== commandSocketPath(app);
      if (isChosen || !(error instanceof SocketPathError)) throw error;
      log.warn(
        { reason: error.message, key: 'commandSocket' },
        'commands are not answered on a local socket',
      );
    }
  }
}

function observeCommands(metrics: Registry) {
  const total = new Counter({
    name: 'stowage_commands_total',
    help: 'Commands answered, on NATS and on the local socket, by verb and code (OK or a gRPC status). Verbs that do not exist count as unknown.',
    labelNames: ['verb', 'code'],
    registers: [metrics],
  });
  const duration = new Histogram({
    name: 'stowage_command_duration_seconds',
    help: 'Time from the arrival of a command to its reply. Time in the network is not counted.',
    labelNames: ['verb'],
    buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300],
    registers: [metrics],
  });
  return ({ verb, code, durationMs }: CommandObservation) => {
    total.inc({ verb, code });
    duration.observe({ verb }, durationMs / 1000);
  };
}

/**
 * Longest wait for the collector to take the last spans, and what it must leave of the time to
 * stop, milliseconds.
 */
const traceFlushMs = 1000;
const traceFlushMarginMs = 200;

const stopSignals = { SIGTERM: 143, SIGINT: 130 } as const;
type StopSignal = keyof typeof stopSignals;

/** Ends what serves calls; calls in flight have `drainMs` to end. */
type Drain = (options: { drainMs: number }) => Promise<void>;

/** The process between its start and its exit. */
class Running {
  http: Pick<HttpServer, 'close'> | undefined;
  nest: { close(): Promise<unknown> } | undefined;
  tracing: Tracing | undefined;
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
    private readonly commands: readonly { end: Drain }[],
    private readonly parts: StopList,
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

  async startFailed(error: unknown): Promise<void> {
    // A stop or a take-over during the start often shows as a failure of the start. Calls may be
    // served already: they may end, while the other instance has all that it waits for.
    if (this.#stopping || this.#isLost) {
      if (this.#isLost) await this.parts.handOver();
      await this.#drainParts();
      process.exit(0);
    }
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
    void this.#drainParts();
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
    void this.#drainParts();
    void this.http?.close();
    if (this.#isStarted) void this.end();
  }

  /**
   * Begins to end what serves calls, and waits for it. `close` gets the time that calls in flight
   * have: at a stop half of `stopTimeout`, after a take-over `takeOverDrain`; it is called again,
   * with less, when a stop comes in the middle of that.
   */
  #drain(close: Drain): Promise<void> {
    this.#drains.add(close);
    return close({ drainMs: this.#drainMs }).finally(() => this.#drains.delete(close));
  }

  /**
   * Commands and calls end, then Nest's hooks run, then the parts end. What fails is logged and
   * keeps nothing else from ending.
   */
  async end(): Promise<void> {
    if (this.#isLost) await this.#handOver();
    await Promise.all([this.#drainCommands(), this.#drainParts()]);
    const isNestClosed = await this.#ends(() => this.nest?.close());
    const areClosed = await this.parts.close();
    const isHttpClosed = await this.#ends(() => this.http?.close());
    // The stop itself is over: a collector that is away must not make a failure of it.
    const leftMs = this.#stopBy - performance.now() - traceFlushMarginMs;
    await this.tracing?.stop(Math.min(traceFlushMs, leftMs));
    if (!isNestClosed || !areClosed || !isHttpClosed) process.exit(1);
    this.log.info({}, 'stopped');
    process.exit(0);
  }

  async #ends(step: () => Promise<unknown> | undefined): Promise<boolean> {
    try {
      await step();
      return true;
    } catch (error) {
      this.log.error({ err: error }, `stop failed: ${errorMessage(error)}`);
      return false;
    }
  }

  /**
   * Calls in flight end. Each call of this may shorten the time of those before, and reaches parts
   * that were made meanwhile.
   */
  #drainParts(): Promise<void> {
    return this.#drain((options) => this.parts.drain(options));
  }

  async #drainCommands(): Promise<void> {
    const ends = this.commands.map((server) => this.#drain((options) => server.end(options)));
    await Promise.all(ends);
  }

  /**
   * What the other instance waits for goes first. A failure there must not cut the calls in flight.
   */
  async #handOver(): Promise<void> {
    const commandsEnded = this.#drainCommands();
    await this.parts.handOver();
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
      const { ending } = this.parts;
      this.log.error({ timeoutMs, parts: ending }, 'stop took too long: leaving');
      process.exit(1);
    }, timeoutMs).unref();
  }
}
