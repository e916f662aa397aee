/**
 * What the environment says about traces. The SDK reads the rest of OpenTelemetry's variables
 * itself.
 */
export interface TracingSettings {
  /**
   * Where spans go, without user, password and query: those can be secrets. Absent: no span leaves
   * the process.
   */
  readonly endpoint?: string;
  /** What of the environment cannot be done. */
  readonly notes: readonly string[];
}

type Env = Readonly<Record<string, string | undefined>>;

const set = (env: Env, name: string): string | undefined => {
  const text = env[name]?.trim() ?? '';
  return text === '' ? undefined : text;
};

/** What is wanted, by OpenTelemetry's own rules for its variables. */
export function tracingSettings(env: Env): TracingSettings {
  const endpoint =
    set(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? set(env, 'OTEL_EXPORTER_OTLP_ENDPOINT');
  const isOff = set(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true';
  if (endpoint === undefined || isOff) return { notes: [] };
  const exporters = set(env, 'OTEL_TRACES_EXPORTER')?.split(',') ?? ['otlp'];
  if (!exporters.some((name) => name.trim() === 'otlp')) return { notes: [] };
  const shown = shownEndpoint(endpoint);
  // The exporter would go to localhost instead.
  if (shown === undefined) {
    return { notes: ['no traces: OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https URL'] };
  }
  const notes: string[] = [];
  const protocol =
    set(env, 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ?? set(env, 'OTEL_EXPORTER_OTLP_PROTOCOL');
  if (protocol !== undefined && protocol !== 'http/json') {
    notes.push(
      `OTEL_EXPORTER_OTLP_PROTOCOL is ${JSON.stringify(protocol)}; spans are sent as http/json, which collectors take on the port of http/protobuf (4318)`,
    );
  }
  return { endpoint: shown, notes };
}

function shownEndpoint(endpoint: string): string | undefined {
  if (!URL.canParse(endpoint)) return undefined;
  const { protocol, origin, pathname } = new URL(endpoint);
  if (protocol !== 'http:' && protocol !== 'https:') return undefined;
  return `${origin}${pathname === '/' ? '' : pathname}`;
}
