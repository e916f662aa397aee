/** `degraded` still serves (events wait, say); `down` cannot do its main work. */
export type HealthState = 'ok' | 'degraded' | 'down';

/** What a component says about itself. */
export interface HealthReport {
  readonly state: HealthState;
  /** Why it is not ok; one line, no secret. */
  readonly reason?: string;
  /** Something to know although it is ok; one line, no secret. It is no change of health. */
  readonly note?: string;
}

/** A report with the moment its state began. */
export interface ComponentHealth extends HealthReport {
  readonly since: Date;
}

/** The whole app: the worst of its components, and `down` while it starts or stops. */
export interface Readiness {
  readonly state: HealthState;
  readonly phase: 'starting' | 'running' | 'stopping';
  readonly components: ReadonlyMap<string, ComponentHealth>;
}

/** Components report, /readyz and the metrics read. */
export interface HealthRegistry {
  /** Sets a component's state; `since` moves only when the state changes. */
  report(name: string, report: HealthReport): void;
  readiness(): Readiness;
}

/** Reasons of one component that are notified between two changes of its state. */
const notifiedReasons = 5;

/**
 * {@link HealthRegistry} and the app's own phase, which only runService moves. `onChange` is
 * notified of each change of a component's state, and of each reason that is new since then (in
 * more than its numbers), of which there are at most {@link notifiedReasons}: an outage often shows
 * its real cause later.
 */
export class Health implements HealthRegistry {
  readonly #components = new Map<string, ComponentHealth>();
  readonly #notified = new Map<string, Set<string>>();
  #phase: Readiness['phase'] = 'starting';

  constructor(
    private readonly now: () => Date = () => new Date(),
    private readonly onChange: (name: string, health: ComponentHealth) => void = () => undefined,
  ) {}

  report(name: string, { state, reason, note }: HealthReport): void {
    const known = this.#components.get(name);
    const changed = known?.state !== state;
    const since = changed ? this.now() : known.since;
    const health: ComponentHealth = {
      state,
      ...(reason !== undefined && state !== 'ok' && { reason }),
      ...(note !== undefined && { note }),
      since,
    };
    this.#components.set(name, health);
    if (changed) this.#notified.set(name, new Set());
    if (this.#isNews(name, health.reason) || changed) this.onChange(name, health);
  }

  #isNews(name: string, reason: string | undefined): boolean {
    const notified = this.#notified.get(name);
    if (reason === undefined || notified === undefined) return false;
    const words = reason.replaceAll(/\d+(?:\.\d+)?(?: [KMGT]iB)?/g, '0');
    if (notified.has(words) || notified.size >= notifiedReasons) return false;
    notified.add(words);
    return true;
  }

  enter(phase: Readiness['phase']): void {
    this.#phase = phase;
  }

  readiness(): Readiness {
    const states = [...this.#components.values()].map(({ state }) => state);
    const worst = states.includes('down')
      ? 'down'
      : states.includes('degraded')
        ? 'degraded'
        : 'ok';
    return {
      state: this.#phase === 'running' ? worst : 'down',
      phase: this.#phase,
      components: new Map(this.#components),
    };
  }
}

/** Body of /readyz: JSON, with one readable line for each component that is not ok. */
export function renderReadiness(readiness: Readiness): string {
  const missing = [...readiness.components]
    .filter(([, { state }]) => state !== 'ok')
    .map(
      ([name, { state, since, reason }]) =>
        `${name} ${state} since ${since.toISOString()}${reason === undefined ? '' : `: ${reason}`}`,
    );
  if (readiness.phase !== 'running') missing.unshift(readiness.phase);
  return JSON.stringify({
    status: readiness.state,
    ...(missing.length > 0 ? { message: missing.join('; ') } : {}),
    components: Object.fromEntries(readiness.components),
  });
}
