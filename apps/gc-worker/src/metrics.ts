import type { Registry } from 'prom-client';
import { CollectionMetrics } from './collect/collection-metrics';
import { ControlMetrics } from './control/control-metrics';
import { DetectionMetrics } from './detect/detection-metrics';
import { DiskMetrics } from './disk/disk-metrics';
import { PolicyMetrics } from './policy/policy-metrics';
import { RecordMetrics } from './records/record-metrics';

/** The worker's metrics, all named `stowage_gc_…`. */
export const gcMetrics = (registry: Registry) => ({
  collection: new CollectionMetrics(registry),
  control: new ControlMetrics(registry),
  detection: new DetectionMetrics(registry),
  disk: new DiskMetrics(registry),
  policy: new PolicyMetrics(registry),
  records: new RecordMetrics(registry),
});

export type GcMetrics = ReturnType<typeof gcMetrics>;
