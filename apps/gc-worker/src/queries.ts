import { errorMessage, InvalidArgumentError, NotFoundError } from '@stowage/errors';
import { parseGoDuration } from '@stowage/go-duration';
import { namesImage, withoutUserInfo } from '@stowage/image-ref';
import type { CollectionOutcome, ImageOutcome } from './collect/collect';
import type { CollectionRunner } from './collect/collection-runner';
import type { RemovalReports } from './collect/removal-reports';
import type { CollectionPause } from './control/collection-pause';
import type { Hold, Pause } from './control/control-file';
import type { Detections } from './collect/detections';
import type { ImageHolds } from './control/image-holds';
import type { ImageHints } from './detect/image-hints';
import type { ImageRecord } from './records/image-record';
import type { ImageDetector } from './detect/detect-images';
import type { DiskBreakdown } from './disk/break-down';
import { filesystemBreakdown } from './disk/threshold-event-data';
import type { DiskBreakdowns } from './disk/disk-breakdowns';
import type { DiskWatch } from './disk/disk-watch';
import type { ImageList } from './detect/image-list';
import type { LivePolicy } from './policy/live-policy';
import type { CollectionPlan } from './collect/plan-collection';
import { startsCollections } from './policy/policy';
import type { ImageRecordStore } from './records/record-store';
import { assessDisks, type DiskAssessment } from './disk/assess-disk';
import { userText, type PlannedImage } from './policy/keep-rules';

/**
 * Entries of a reply unless asked otherwise: some 400 KB, below the 1 MiB a NATS message may have.
 */
const defaultLimit = 500;

/** How old the breakdown of the file systems in `status` may be. Milliseconds. */
const breakdownMaxAgeMs = 10_000;

/** Most images of the last collection that `status` lists. */
const listedOutcomes = 200;

/** Most that can be assumed: ten years. Milliseconds. */
const maxAssumedAgeMs = 10 * 365 * 86_400_000;

function ageOf(text: string): number {
  const ageMs = parseGoDuration(text);
  if (ageMs !== undefined && ageMs >= 1 && ageMs <= maxAssumedAgeMs) return ageMs;
  throw new InvalidArgumentError('assumedAge', text, 'a duration from 1ms to ten years');
}

/** A plan as plain JSON, of its images those of the page. */
export function planReply({ images, plannedAt, ...plan }: CollectionPlan, page: Page) {
  const { entries, next } = cut(images, page);
  return {
    ...plan,
    plannedAt: time(plannedAt),
    total: images.length,
    images: entries.map(plannedImage),
    ...next,
  };
}

interface Page {
  readonly limit?: number;
  readonly after?: string;
}

export interface GcQueriesParts {
  readonly runner: Pick<CollectionRunner, 'plan' | 'run' | 'lastOutcome'>;
  readonly reports: Pick<RemovalReports, 'settle'>;
  readonly store: ImageRecordStore;
  readonly detector: Pick<ImageDetector, 'useStatus' | 'unmatchedExemptions'>;
  readonly disks: Pick<DiskWatch, 'readAll' | 'trends'>;
  readonly breakdowns: Pick<DiskBreakdowns, 'current'>;
  readonly imageList: Pick<ImageList, 'at' | 'nodeImages'>;
  readonly nodeStatusMaxImages: number;
  readonly pause: Pick<CollectionPause, 'current' | 'pause' | 'resume'>;
  readonly holds: Pick<ImageHolds, 'knows' | 'of' | 'hold' | 'release' | 'list'>;
  readonly hints: Pick<ImageHints, 'heldUntil'>;
  readonly detections: Pick<Detections, 'detect'>;
  readonly policy: Pick<LivePolicy, 'current' | 'lastRefusal'>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Answers of the worker to commands, as plain JSON: times are RFC 3339, sizes bytes. */
export class GcQueries {
  constructor(private readonly parts: GcQueriesParts) {}

  /** What a collection would do now, each image with the rule that decided. */
  async plan(
    { bytes, assumedAge, ...page }: Page & { bytes?: number; assumedAge?: string },
    options: { signal: AbortSignal },
  ) {
    const assumedAgeMs = assumedAge === undefined ? undefined : ageOf(assumedAge);
    return planReply(await this.parts.runner.plan({ bytes, assumedAgeMs }, options), page);
  }

  /** Collects now. A collection that fell short is a result with `failure`, not an error. */
  async run(request: { bytes?: number; planId?: string }, options: { signal: AbortSignal }) {
    return collection(await this.parts.runner.run(request, options));
  }

  /** Pauses collections; the pause as it now is. */
  pause(request: { minutes: number; reason: string }) {
    return pauseReply(this.parts.pause.pause(request));
  }

  /** Ends a pause of collections. */
  resume() {
    const ended = this.parts.pause.resume();
    return { ended: ended === undefined ? null : pauseReply(ended) };
  }

  /** Keeps an image for a while. */
  async hold(
    request: { image: string; minutes: number; reason: string },
    options: { signal: AbortSignal },
  ) {
    const { holds, detections } = this.parts;
    // One that was pulled just now is not known before a detection.
    if (!holds.knows(request.image)) await detections.detect(options);
    return { held: holds.hold(request).map(holdReply) };
  }

  /** Ends the hold of an image; what else holds it is in the reply. */
  release({ image }: { image: string }) {
    const { holds, hints, store, now } = this.parts;
    const released = holds.release(image).map(holdReply);
    const ends = [...store.images().values()]
      .filter((record) => namesImage(image, record))
      .flatMap((record) => hints.heldUntil(record, now()) ?? []);
    return { released, heldUntil: ends.length === 0 ? undefined : time(Math.max(...ends)) };
  }

  /** The largest images as a node status has them. */
  nodeImages() {
    const { imageList, nodeStatusMaxImages } = this.parts;
    return {
      listedAt: timeOrNull(imageList.at() ?? null),
      images: imageList.nodeImages(nodeStatusMaxImages),
    };
  }

  /** The records as of the last detection. */
  async images(page: Page) {
    const { reports, store } = this.parts;
    await reports.settle();
    const records = [...store.images().values()].sort((a, b) => (a.imageId < b.imageId ? -1 : 1));
    const { entries, next } = cut(records, page);
    return {
      total: records.length,
      images: entries.map((record) => ({
        imageId: record.imageId,
        repoTags: record.repoTags,
        repoDigests: record.repoDigests,
        sizeBytes: record.sizeBytes,
        pinned: record.pinned,
        firstDetected: timeOrNull(record.firstDetected),
        lastUsed: timeOrNull(record.lastUsed),
        usedBy: record.usedBy.map(userText),
        namespaces: record.namespaces ?? [],
        pulled: record.pulled ?? null,
        held: this.#heldBy(record),
      })),
      ...next,
    };
  }

  /** The hold of an image that ends last. */
  #heldBy(record: ImageRecord) {
    const { holds, hints, now } = this.parts;
    const hold = holds.of(record.imageId);
    const byEvents = hints.heldUntil(record, now()) ?? -Infinity;
    const until = Math.max(hold?.until ?? -Infinity, byEvents);
    return until === -Infinity ? undefined : { until: time(until), reason: hold?.reason };
  }

  /** Policy, file systems, records and the last collection. */
  async status(options: { signal: AbortSignal }) {
    const { runner, reports, store, disks } = this.parts;
    const policy = this.parts.policy.current;
    const refusal = this.parts.policy.lastRefusal();
    let assessed: DiskAssessment[] = [];
    let diskProblem: string | undefined;
    try {
      assessed = assessDisks(await disks.readAll(options), policy);
    } catch (error) {
      diskProblem = errorMessage(error);
    }
    const { signal } = options;
    const breakdowns = await this.parts.breakdowns.current({
      signal,
      maxAgeMs: breakdownMaxAgeMs,
    });
    await reports.settle();
    const last = runner.lastOutcome();
    const paused = this.parts.pause.current();
    const { since, ...records } = store.status();
    return {
      policy,
      policyRefused:
        refusal === undefined ? undefined : { at: time(refusal.at), reason: refusal.reason },
      collects: startsCollections(policy),
      paused: paused === undefined ? null : pauseReply(paused),
      holds: this.parts.holds.list().map(holdReply),
      disks: assessed.map((disk) => ({
        ...disk,
        exceededSince: timeOrNull(
          store.exceededSince({
            mountpoint: disk.mountpoint,
            resource: 'bytes',
            level: 'high',
          }) ?? null,
        ),
        exceeded: store
          .exceeded()
          .filter(({ mountpoint }) => mountpoint === disk.mountpoint)
          .map(({ resource, level, since: at }) => ({ resource, level, since: time(at) })),
        trend: disks.trends().get(disk.mountpoint) ?? {},
        breakdown: breakdownOf(disk, breakdowns),
      })),
      diskProblem,
      records: {
        ...records,
        since: since === undefined ? undefined : since.toISOString(),
        images: store.images().size,
      },
      use: this.parts.detector.useStatus(),
      exemptUnmatched: this.parts.detector.unmatchedExemptions(),
      lastCollection: last === undefined ? null : collection(last),
    };
  }
}

function breakdownOf(disk: DiskAssessment | undefined, breakdowns: readonly DiskBreakdown[]) {
  const found = breakdowns.find(({ mountpoint }) => mountpoint === disk?.mountpoint);
  return disk === undefined || found === undefined ? undefined : filesystemBreakdown(disk, found);
}

function collection(outcome: CollectionOutcome) {
  const { removed, failed, images, asKubelet, startedAt, breakdown, shadow, ...rest } = outcome;
  const { freedBytes, attempted, remaining } = asKubelet;
  return {
    ...rest,
    breakdown: breakdownOf(outcome.before, breakdown === undefined ? [] : [breakdown]),
    shadow: shadow && {
      wouldRemoveCount: shadow.wouldRemove.length,
      expectedBytes: shadow.expectedBytes,
    },
    freedBytes,
    startedAt: time(startedAt),
    removedCount: removed.length,
    attemptedCount: attempted.length,
    remainingCount: remaining?.length ?? null,
    failures: failed
      .slice(0, listedOutcomes)
      .map(({ image, grpcStatus, message }) => ({ imageId: image.imageId, grpcStatus, message })),
    measured: removed.slice(0, listedOutcomes).map(({ imageId, expectedBytes, measuredBytes }) => ({
      imageId,
      expectedBytes,
      measuredBytes,
    })),
    images: images.slice(0, listedOutcomes).map(imageOutcome),
  };
}

const pauseReply = ({ since, until, reason }: Pause) => ({
  since: time(since),
  until: time(until),
  reason,
});

const holdReply = ({ imageId, image, since, until, reason }: Hold) => ({
  imageId,
  image,
  since: time(since),
  until: time(until),
  reason,
});

const imageOutcome = ({ image, result, rule, why }: ImageOutcome) => ({
  imageId: image.imageId,
  repoTags: image.repoTags,
  result,
  rule,
  why,
});

const plannedImage = ({ usedBy, firstDetected, lastUsed, ...image }: PlannedImage) => ({
  ...image,
  firstDetected: timeOrNull(firstDetected),
  lastUsed: timeOrNull(lastUsed),
  assumedSince: image.assumedSince === undefined ? undefined : time(image.assumedSince),
  usedBy: usedBy.map(userText),
});

/** Part of a list that fits a reply; `next` says where to go on. */
function cut<T extends { imageId: string }>(
  all: readonly T[],
  { limit = defaultLimit, after }: Page,
): { entries: readonly T[]; next: { next?: string } } {
  const at = after === undefined ? -1 : all.findIndex(({ imageId }) => imageId === after);
  if (after !== undefined && at < 0) throw new NotFoundError('image', withoutUserInfo(after));
  const entries = all.slice(at + 1, at + 1 + limit);
  const last = entries.at(-1);
  const isEnd = at + 1 + limit >= all.length;
  return { entries, next: isEnd || last === undefined ? {} : { next: last.imageId } };
}

const time = (ms: number): string => new Date(ms).toISOString();
const timeOrNull = (ms: number | null): string | null => (ms == null ? null : time(ms));
