import { Inject, Module } from '@nestjs/common';
import type { DynamicModule, OnApplicationShutdown, Provider } from '@nestjs/common';
import {
  combineObservers,
  connectRuntimeService,
  criCallLog,
  criMetrics,
} from '@stowage/cri-client';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { instrumentEventBus, openEventBus } from '@stowage/event-bus';
import type { EventBus } from '@stowage/event-bus';
import { busSettings, observeEventBus, observeRuntime } from '@stowage/service-kit';
import type { ServiceContext } from '@stowage/service-kit';
import type { GatewayConfig } from './config';
import { BUS, CONTEXT, RUNTIME } from './tokens';

type Context = ServiceContext<GatewayConfig>;

/** Time to hand waiting events to NATS at the stop, milliseconds; the rest stays on disk. */
const busDrainMs = 2000;

function openBus(context: Context): EventBus {
  const { app, config, log, metrics } = context;
  const bus = openEventBus({ ...busSettings(app, config), log });
  const measured = instrumentEventBus(bus, metrics);
  observeEventBus(context, measured);
  context.commands.use(measured);
  return measured;
}

function connectRuntime(context: Context): RuntimeServiceClient {
  const { config, log, metrics } = context;
  const client = connectRuntimeService({
    endpoint: config.runtimeEndpoint,
    timeoutMs: config.runtimeRequestTimeoutMs,
    observer: combineObservers(criMetrics(metrics), criCallLog(log)),
  });
  observeRuntime(context, client);
  return client;
}

const providers: Provider[] = [
  { provide: BUS, inject: [CONTEXT], useFactory: openBus },
  { provide: RUNTIME, inject: [CONTEXT], useFactory: connectRuntime },
];

/** runtime-gateway as a NestJS module: who depends on whom, and in which order all of it ends. */
@Module({})
export class RuntimeGatewayModule implements OnApplicationShutdown {
  constructor(
    @Inject(RUNTIME) private readonly runtime: RuntimeServiceClient,
    @Inject(BUS) private readonly bus: EventBus,
  ) {}

  static create(context: Context): DynamicModule {
    return {
      module: RuntimeGatewayModule,
      providers: [{ provide: CONTEXT, useValue: context }, ...providers],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.bus.close({ drainMs: busDrainMs });
    this.runtime.close();
  }
}
