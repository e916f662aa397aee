import { Counter, Histogram, type Registry } from 'prom-client';
import type { CriCallObserver } from './types';

/** Kubelet's: 5 ms times 2.5 to the power of 0 to 13, about 745 s. In seconds. */
const durationBuckets = Array.from({ length: 14 }, (_, power) => 0.005 * 2.5 ** power);

/**
 * Counts and times every call, as kubelet's `kubelet_runtime_operations_*` do, under our own names.
 * Create one for each registry and pass it to all clients. Not counted: the calls that find out the
 * version, and reconnecting.
 */
export function criMetrics(registry: Registry): CriCallObserver {
  const labelNames = ['operation'] as const;
  const registers = [registry];
  const operations = new Counter({
    name: 'stowage_cri_operations_total',
    help: 'Calls made to the container runtime, failed ones too. Streams count once, when they end.',
    labelNames,
    registers,
  });
  const errors = new Counter({
    name: 'stowage_cri_operations_errors_total',
    help: 'Calls to the container runtime that failed, also for want of a runtime or by a response that was rejected.',
    labelNames,
    registers,
  });
  const duration = new Histogram({
    name: 'stowage_cri_operations_duration_seconds',
    help: 'Time calls to the container runtime took, failed ones too; for streams the time they were open.',
    labelNames,
    buckets: durationBuckets,
    registers,
  });
  return {
    callStarted({ operation }) {
      return {
        ended({ durationMs, error }) {
          operations.inc({ operation });
          if (error !== undefined) errors.inc({ operation });
          duration.observe({ operation }, durationMs / 1000);
        },
      };
    },
  };
}
