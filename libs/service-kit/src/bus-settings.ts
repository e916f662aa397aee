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
}

/** What `openEventBus` of `@stowage/event-bus` takes, but for the log. */
export interface BusSettings {
  readonly stateDir: string;
  readonly node: string;
  readonly app: string;
  readonly nats: {
    readonly servers: readonly string[];
    readonly credsFile?: string;
    readonly nkeySeedFile?: string;
    readonly tls?: {
      readonly caFile?: string;
      readonly certFile?: string;
      readonly keyFile?: string;
    };
  };
  readonly stream: {
    readonly manage: boolean;
    readonly maxAgeMs: number;
    readonly maxBytes: number;
    readonly replicas: number;
  };
  readonly outbox: { readonly maxEvents: number; readonly maxBytes: number };
}

/** Translates the common keys into the options of the event bus: `openEventBus({...busSettings(app, config), log})`. */
export function busSettings(app: string, config: BusConfig): BusSettings {
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
