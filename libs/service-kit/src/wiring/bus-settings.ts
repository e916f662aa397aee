import type { EventBusOptions } from '@stowage/event-bus';

/** The common keys that say how events leave the app. */
export interface BusConfig {
  readonly stateDir: string;
  readonly nodeName: string;
  readonly natsServers: readonly string[];
  readonly natsCreds: string;
  readonly natsNkeySeed: string;
  readonly natsTlsCa: string;
  readonly natsTlsCert: string;
  readonly natsTlsKey: string;
  readonly streamManaged: boolean;
  readonly streamMaxAgeMs: number;
  readonly streamMaxBytes: number;
  readonly streamReplicas: number;
  readonly outboxMaxEvents: number;
  readonly outboxMaxBytes: number;
  /** Of `takeOverKeys`, where the app has them. */
  readonly takeOver?: boolean;
}

/** The common keys as options of the event bus. */
export function busSettings(app: string, config: BusConfig): Omit<EventBusOptions, 'log'> {
  const given = (file: string) => (file === '' ? undefined : file);
  const tls = {
    caFile: given(config.natsTlsCa),
    certFile: given(config.natsTlsCert),
    keyFile: given(config.natsTlsKey),
  };
  return {
    stateDir: config.stateDir,
    node: config.nodeName,
    app,
    nats: {
      servers: config.natsServers,
      credsFile: given(config.natsCreds),
      nkeySeedFile: given(config.natsNkeySeed),
      tls: Object.values(tls).some((file) => file !== undefined) ? tls : undefined,
    },
    stream: {
      manage: config.streamManaged,
      maxAgeMs: config.streamMaxAgeMs,
      maxBytes: config.streamMaxBytes,
      replicas: config.streamReplicas,
    },
    outbox: { maxEvents: config.outboxMaxEvents, maxBytes: config.outboxMaxBytes },
  };
}
