import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { Registry } from 'prom-client';
import { CollectionPlanner } from './collect/collection-planner';
import { RemovalPauses } from './collect/removal-pauses';
import { policyOf, type GcConfig } from './config';
import { readControl } from './control/control-file';
import { ImageHints } from './detect/image-hints';
import { gcMetrics } from './metrics';
import { planningParts } from './planning-parts';
import { fixedPolicy } from './policy/live-policy';
import { planReply } from './queries';
import { ImageRecordStore } from './records/record-store';
import { CriRuntime } from './runtime/cri-runtime';

/** What the flags beside `--dry-run` say. */
interface DryRunOptions {
  /** Bytes to free. */
  readonly '--bytes'?: number;
  /** Milliseconds. */
  readonly '--assumed-age'?: number;
}

/**
 * What a collection would do now, as JSON, by the runtime, the file systems and the records that a
 * worker keeps in the state directory. Only reads: nothing is written, published or removed, and it
 * may run beside a worker. Pulls in progress are not known here. Throws what runtime or file
 * systems answered.
 */
export async function dryRun(
  config: GcConfig,
  { '--bytes': bytes, '--assumed-age': assumedAgeMs }: DryRunOptions = {},
): Promise<string> {
  const policy = fixedPolicy(policyOf(config));
  const problems = new Set<string>();
  const quiet = () => undefined;
  const warn = (fields: { reason?: string }, message: string) => {
    problems.add(fields.reason === undefined ? message : `${message}: ${fields.reason}`);
  };
  const common = { policy, log: { debug: quiet, info: quiet, warn }, now: () => Date.now() };
  const options = { timeoutMs: config.runtimeRequestTimeoutMs };
  const runtimeService = connectRuntimeService({ endpoint: config.runtimeEndpoint, ...options });
  const imageService = connectImageService({ endpoint: config.imageEndpoint, ...options });
  try {
    const keep = policy.current.differences.records === 'on-disk' ? 'as-read' : 'in-memory';
    const { stateDir } = config;
    const store = ImageRecordStore.open({ ...common, stateDir, keep, now: () => new Date() });
    const control = readControl({ stateDir, log: common.log });
    const began = {
      recordsBegan: control.recordsBegan,
      setRecordsBegan(at: number) {
        this.recordsBegan = at;
      },
    };
    const holds = new Map(control.holds.map((hold) => [hold.imageId, hold]));
    const hints = new ImageHints(config);
    for (const [name, until] of store.holds()) hints.hold([name], until, Date.now());
    const metrics = gcMetrics(new Registry());
    const { disks, detector } = planningParts({
      ...{ ...common, config, store, hints, began, metrics },
      holds: {
        of: (imageId) => {
          const hold = holds.get(imageId);
          return hold !== undefined && hold.until > Date.now() ? hold : undefined;
        },
      },
      runtime: new CriRuntime(runtimeService, imageService),
      events: { publish: quiet, publishAll: quiet, nextSequence: () => 1 },
      report: (_component, problem) => {
        if (problem !== undefined) problems.add(problem);
      },
    });
    const planner = new CollectionPlanner({
      ...{ ...common, disks, detections: detector, metrics: metrics.collection },
      pauses: new RemovalPauses(),
      records: began,
    });
    const { plan } = await planner.plan({ bytes, assumedAgeMs }, new AbortController().signal);
    const reply = { ...planReply(plan, { limit: Infinity }), problems: [...problems] };
    return JSON.stringify(reply, null, 2);
  } finally {
    runtimeService.close();
    imageService.close();
  }
}
