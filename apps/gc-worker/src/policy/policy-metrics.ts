import { Counter, type Registry } from 'prom-client';

/** Metrics of policy reloads. */
export class PolicyMetrics {
  private readonly reloads;

  constructor(registry: Registry) {
    this.reloads = new Counter({
      name: 'stowage_gc_policy_reloads_total',
      help: 'Changed policies by result: taken, or refused (the old one stays). Reloads that changed nothing are not counted.',
      labelNames: ['result'],
      registers: [registry],
    });
    for (const result of ['taken', 'refused']) this.reloads.inc({ result }, 0);
  }

  policyReloaded(result: 'taken' | 'refused'): void {
    this.reloads.inc({ result });
  }
}
