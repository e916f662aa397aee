import type { GcConfig } from './config';
import { ImageDetector, type ImageDetectorParts } from './detect/detect-images';
import { ImageContents } from './detect/image-contents';
import type { ImageHints } from './detect/image-hints';
import { DiskBreakdowns } from './disk/disk-breakdowns';
import { DiskWatch } from './disk/disk-watch';
import { measureFileSystem } from './disk/measure-file-system';
import type { GcMetrics } from './metrics';
import type { CurrentPolicy } from './policy/live-policy';
import type { EventPublisher } from './publish';
import type { ImageRecordStore } from './records/record-store';
import type { Runtime } from './runtime/runtime';

export interface PlanningContext {
  readonly config: Pick<GcConfig, 'sandboxImage' | 'lostContainerWaitMs' | 'hostRoot'>;
  readonly policy: CurrentPolicy;
  readonly runtime: Runtime;
  readonly store: ImageRecordStore;
  readonly hints: ImageHints;
  readonly holds: ImageDetectorParts['holds'];
  readonly began: ImageDetectorParts['began'];
  readonly events: EventPublisher;
  readonly metrics: GcMetrics;
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  readonly now: () => number;
  /** Called after each check with what is wrong, or undefined when nothing is. */
  readonly report: (component: 'image-use' | 'image-filesystem', problem?: string) => void;
}

/** What a plan is made from, in the worker and in a dry run: images with their use, and disks. */
export function planningParts({ config, events, metrics, report, ...common }: PlanningContext) {
  const breakdowns = new DiskBreakdowns({
    ...common,
    uses: (...of) => disks.uses(...of),
    listedBytes: () => (detector.hasDetected ? detector.knownBytes() : undefined),
  });
  const disks: DiskWatch = new DiskWatch({
    ...common,
    breakdowns,
    ...events,
    metrics: metrics.disk,
    measure: measureFileSystem,
    hostRoot: config.hostRoot,
    health: (problem) => {
      report('image-filesystem', problem);
    },
  });
  const detector: ImageDetector = new ImageDetector({
    ...common,
    ...events,
    metrics: metrics.detection,
    contents: new ImageContents(common.runtime),
    sandboxImage: config.sandboxImage,
    lostContainerWaitMs: config.lostContainerWaitMs,
    useUnknown: (reason) => {
      report('image-use', reason === undefined ? undefined : `unused images are kept: ${reason}`);
    },
  });
  return { disks, breakdowns, detector };
}
