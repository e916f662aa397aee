import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import type { HealthRegistry } from '../health';

/** How long after the last such connection it is still reported, and how often it is logged at most, milliseconds. */
const reportedMs = 60_000;

interface Observing {
  readonly health: HealthRegistry;
  readonly log: { warn(fields: object, message: string): void };
  readonly metrics: Registry;
}

/**
 * Takes reports of connections to the runtime that did not move any more and were given up: counted, logged once a minute at
 * most, and health component `forwarding`: degraded until there was none for a minute.
 */
export function observeGivenUp({
  health,
  log,
  metrics,
}: Observing): (address: string, reason: string) => void {
  const counter = new Counter({
    name: 'stowage_runtime_connections_given_up_total',
    help: "Connections over which clients' calls were forwarded that did not move any more; their calls got UNAVAILABLE. Connections of the service itself are not counted.",
    registers: [metrics],
  });
  let sinceLogged = 0;
  let loggedAt = Number.NEGATIVE_INFINITY;
  let over: NodeJS.Timeout | undefined;
  return (address, reason) => {
    counter.inc();
    sinceLogged++;
    const now = performance.now();
    if (now - loggedAt >= reportedMs) {
      log.warn({ address, reason, count: sinceLogged }, 'a connection to the runtime was given up');
      loggedAt = now;
      sinceLogged = 0;
    }
    health.report('forwarding', {
      state: 'degraded',
      reason: `a connection to ${address} was given up within the last minute: ${reason}`,
    });
    clearTimeout(over);
    over = setTimeout(() => health.report('forwarding', { state: 'ok' }), reportedMs).unref();
  };
}
