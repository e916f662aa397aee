import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { HealthState, Readiness } from './health';

const states: readonly HealthState[] = ['ok', 'degraded', 'down'];

/**
 * A registry with the metrics that every app has: those of process and Node.js, build information,
 * and the health of the components as /readyz says it.
 */
export function createMetrics(app: string, version: string, readiness: () => Readiness): Registry {
  const registry = new Registry();
  // The default of 10 ms wakes an idle process a hundred times a second.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  new Gauge({
    name: 'stowage_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['app', 'version', 'node_version'],
    registers: [registry],
  }).set({ app, version, node_version: process.version }, 1);
  new Gauge({
    name: 'stowage_health_component_state',
    help: '1 for the state that a component is in, 0 for its other states. Start and stop of the app itself are not counted.',
    labelNames: ['component', 'state'],
    registers: [registry],
    collect() {
      for (const [component, { state }] of readiness().components) {
        for (const name of states) this.set({ component, state: name }, name === state ? 1 : 0);
      }
    },
  });
  return registry;
}
