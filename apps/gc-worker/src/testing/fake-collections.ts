import { CollectionHealth } from '../collect/collection-health';
import { CollectionPlanner } from '../collect/collection-planner';
import { CollectionRunner, type CollectionRunnerParts } from '../collect/collection-runner';
import { Detections } from '../collect/detections';
import { RemovalPauses } from '../collect/removal-pauses';
import { RemovalReports } from '../collect/removal-reports';
import { CollectionPause } from '../control/collection-pause';
import type { Hold, Pause, ShadowPlan } from '../control/control-file';
import { ShadowPlans } from '../control/shadow-plans';
import type { ImageDetector } from '../detect/detect-images';
import type { DiskWatch } from '../disk/disk-watch';
import { Mutex } from '@stowage/async';
import { fixedPolicy, type CurrentPolicy } from '../policy/live-policy';
import type { CollectionPolicy } from '../policy/policy';
import type { PublishAll } from '../publish';
import type { ImageRecordStore } from '../records/record-store';
import type { Runtime } from '../runtime/runtime';
import { noBreakdowns, type FakeWorker } from './fake-worker';
import { policy as testPolicy } from './plan-fixtures';

type RunnerValues = Partial<
  Pick<CollectionRunnerParts, 'publish' | 'log' | 'usageWaitMs' | 'removalTimeoutMs' | 'breakdowns'>
>;

export interface FakeCollectionParts extends RunnerValues {
  readonly detector: Pick<ImageDetector, 'detect' | 'protectionNow' | 'knownBytes'>;
  readonly disks: Pick<DiskWatch, 'read' | 'imageUse'>;
  readonly policy?: CollectionPolicy | CurrentPolicy;
  readonly runtime?: Pick<Runtime, 'listImages' | 'removeImage' | 'usage' | 'writableLayers'>;
  readonly store?: ImageRecordStore;
  readonly publishAll?: PublishAll;
  readonly nextSequence?: () => number;
}

export type FakeCollections = ReturnType<typeof fakeCollections>;

/** What operators asked, in memory. */
export const memoryControlFile = () => ({
  pause: undefined as Pause | undefined,
  holds: [] as readonly Hold[],
  shadowPlans: [] as readonly ShadowPlan[],
  setPause(pause: Pause | undefined) {
    this.pause = pause;
  },
  setHolds(holds: readonly Hold[]) {
    this.holds = holds;
  },
  setShadowPlans(plans: readonly ShadowPlan[]) {
    this.shadowPlans = plans;
  },
});

/** The collections of a worker, over what the test gives. */
export function fakeCollections(worker: FakeWorker, parts: FakeCollectionParts) {
  const { detector, policy = testPolicy(), ...given } = parts;
  const common = {
    runtime: worker.runtime,
    store: worker.store,
    publish: worker.publish,
    publishAll: worker.publishAll,
    nextSequence: worker.nextSequence,
    log: worker.log,
    ...given,
    policy: 'current' in policy ? policy : fixedPolicy(policy),
    metrics: worker.metrics.collection,
    now: worker.now,
  };
  let problem: string | undefined;
  const health = new CollectionHealth({
    exceeded: () => common.store.exceeded(),
    report: (found) => {
      problem = found;
    },
  });
  const file = memoryControlFile();
  const pause = new CollectionPause({
    ...{ file, publish: common.publish, metrics: worker.metrics.control, log: worker.log },
    ...{ subject: '/nodes/node-1/gc-worker', changed: () => undefined, now: worker.now },
  });
  const pauses = new RemovalPauses();
  const recordsLock = new Mutex();
  const reports = new RemovalReports(common);
  const detections = new Detections(detector, reports, recordsLock);
  const planner = new CollectionPlanner({ ...common, detections, pauses, records: worker.began });
  const runner = new CollectionRunner({
    ...common,
    health,
    breakdowns: parts.breakdowns ?? noBreakdowns,
    usageWaitMs: parts.usageWaitMs ?? 0,
    removalTimeoutMs: parts.removalTimeoutMs ?? 1000,
    planner,
    detector,
    reports,
    pauses,
    pause,
    shadowPlans: new ShadowPlans(file),
    controlMetrics: worker.metrics.control,
    recordsLock,
    meter: { perRemovalWaitMs: 0, finalWaitMs: 0, quietMs: 0, pollMs: 1 },
  });
  return {
    runner,
    health,
    pause,
    detections,
    file,
    /** What the health of collections says. */
    problem: () => problem,
    settle: () => reports.settle(),
    cameBack: (imageId: string) => {
      reports.cameBack(imageId);
    },
    detect: (options: { signal: AbortSignal }) => detections.detect(options),
    plan: runner.plan.bind(runner),
    run: runner.run.bind(runner),
    collectIfDue: runner.collectIfDue,
    lastOutcome: () => runner.lastOutcome(),
  };
}
