import { assertEventData, maxListedImages } from '@stowage/events';
import type { CollectionOutcome } from './collect';
import { imageDetected, imageRemoved } from '../detect/image-event-data';
import { thresholdExceeded, thresholdRecovered } from '../disk/threshold-event-data';
import { garbageCollected, garbageCollectionFailed } from './collection-event-data';
import { planCollection } from './plan-collection';
import { disk, image, input, minutes, now, policy } from '../testing/plan-fixtures';
import { thresholdStates } from '../disk/thresholds';
import { assessDisk, type DiskAssessment } from '../disk/assess-disk';

const full = assessDisk({ ...disk(95), inodes: 200, inodesFree: 50 }, policy());

function outcome(count: number, values: Partial<CollectionOutcome> = {}): CollectionOutcome {
  const images = Array.from({ length: count }, (_, index) =>
    image(`sha256:${index}`, { lastUsed: now - minutes(5) }),
  );
  const plan = planCollection(input({ images, request: { bytes: Infinity } }));
  return {
    planId: plan.planId,
    trigger: 'threshold',
    startedAt: now,
    durationMs: 12.5,
    askedBytes: 150,
    expectedBytes: count * 100,
    measuredBytes: -5,
    removed: plan.images.map((planned) => ({
      ...planned,
      reason: 'threshold' as const,
      measuredBytes: 90,
    })),
    failed: [],
    keptByReason: { 'in-use': 2, 'enough-freed': 1 },
    asKubelet: { freedBytes: 90, attempted: [], remaining: [] },
    images: [],
    before: full,
    after: assessDisk(disk(80), policy()),
    ...values,
  };
}

describe('event data satisfy the contracts', () => {
  it('ImageDetected', () => {
    const data = imageDetected(
      image('sha256:a', { firstDetected: null, runtimeHandler: 'kata' }),
      now,
    );
    assertEventData('ImageDetected', data);
    expect(data).toMatchObject({
      inUse: false,
      runtimeHandler: 'kata',
      firstDetected: '2026-11-20T12:00:00.000Z',
    });
  });

  it('ImageRemoved by a collection', () => {
    const removed = { ...image('sha256:a', { lastUsed: now - 1500 }), expectedBytes: 100 };
    const facts = { reason: 'threshold', planId: 'plan-1', measuredBytes: -3 } as const;
    const data = imageRemoved(removed, facts, now);
    assertEventData('ImageRemoved', data);
    expect(data).toEqual({
      imageId: 'sha256:a',
      repoTags: ['registry.example/sha256:a:1'],
      repoDigests: [],
      removedBy: 'gc-worker',
      reason: 'threshold',
      planId: 'plan-1',
      expectedBytes: 100,
      measuredBytes: -3,
      firstDetected: '2026-11-20T11:00:00.000Z',
      lastUsed: '2026-11-20T11:59:58.500Z',
      idleMs: 1500,
    });
  });

  it('ImageRemoved of an image that vanished and was never used', () => {
    const removed = { ...image('sha256:a'), expectedBytes: 100 };
    const data = imageRemoved(removed, { reason: 'vanished' }, now);
    assertEventData('ImageRemoved', data);
    expect(data).not.toHaveProperty('idleMs');
    expect(data).not.toHaveProperty('lastUsed');
    expect(data.removedBy).toBe('unknown');
  });

  it('ThresholdExceeded and ThresholdRecovered', () => {
    const high = (assessment: DiskAssessment) =>
      thresholdStates(assessment, {}, policy()).find(({ level }) => level === 'high')!;
    const trend = { perSecond: 10, windowMs: 60_000, timeToFullMs: 5000 };
    const exceeded = thresholdExceeded(full, high(full), policy(), { trend });
    assertEventData('ThresholdExceeded', exceeded);
    expect(exceeded).toMatchObject({
      resource: 'bytes',
      mark: 'high',
      cause: 'used',
      thresholdPercent: 85,
      bytesToFree: 150,
      filesystem: { usedPercent: 95, inodesCapacity: 200, inodesUsedPercent: 75 },
      trend: { bytesPerSecond: 10, windowMs: 60_000, timeToFullMs: 5000 },
    });
    const disk80 = assessDisk(disk(80), policy());
    const recovered = thresholdRecovered(disk80, high(disk80), now - 4200, now);
    assertEventData('ThresholdRecovered', recovered);
    expect(recovered.exceededForMs).toBe(4200);
    expect(recovered.filesystem).not.toHaveProperty('inodesCapacity');
  });

  it('ThresholdExceeded of inodes, and of an absolute mark', () => {
    const some = policy({
      inodesHighThresholdPercent: 70,
      inodesLowThresholdPercent: 60,
      highMarkAvailableBytes: 100,
      lowMarkAvailableBytes: 200,
    });
    const assessment = assessDisk({ ...disk(95), inodes: 200, inodesFree: 50 }, some);
    const trend = { perSecond: 3, windowMs: 60_000 };
    const data = thresholdStates(assessment, {}, some)
      .filter(({ level }) => level === 'high')
      .map((mark) => thresholdExceeded(assessment, mark, some, { trend }));
    for (const one of data) assertEventData('ThresholdExceeded', one);
    expect(data).toMatchObject([
      { resource: 'bytes', thresholdAvailableBytes: 100, thresholdPercent: 90, bytesToFree: 150 },
      {
        resource: 'inodes',
        thresholdPercent: 70,
        lowThresholdPercent: 60,
        inodesToFree: 30,
        inodesTrend: { inodesPerSecond: 3, windowMs: 60_000 },
      },
    ]);
    expect(data[1]).not.toHaveProperty('trend');
  });

  it('GarbageCollected', () => {
    const data = garbageCollected(outcome(2));
    assertEventData('GarbageCollected', data);
    expect(data).toMatchObject({
      removedCount: 2,
      keptCount: 3,
      measuredBytes: -5,
      durationMs: 13,
      before: { usedPercent: 95 },
      after: { usedPercent: 80 },
    });
    expect(data.removed[0]).toMatchObject({ reason: 'threshold', idleMs: minutes(5) });
  });

  it('GarbageCollected lists at most so many images and counts all', () => {
    const data = garbageCollected(outcome(maxListedImages + 5));
    assertEventData('GarbageCollected', data);
    expect(data.removed).toHaveLength(maxListedImages);
    expect(data.removedCount).toBe(maxListedImages + 5);
  });

  it('GarbageCollected of a request for everything names no amount', () => {
    const data = garbageCollected(
      outcome(1, { trigger: 'request', askedBytes: Infinity, measuredBytes: null }),
    );
    assertEventData('GarbageCollected', data);
    expect(data.trigger).toBe('request');
    expect(data).not.toHaveProperty('askedBytes');
    expect(data.measuredBytes).toBeUndefined();
  });

  it('GarbageCollectionFailed, its texts cut to what an event holds', () => {
    const [planned] = outcome(1).removed;
    const failed = outcome(0, {
      failed: [{ image: planned!, grpcStatus: 'INTERNAL', message: 'x'.repeat(10_000) }],
      askedBytes: -4,
    });
    const data = garbageCollectionFailed(failed, {
      code: 'removal-failed',
      grpcStatus: 'UNKNOWN',
      message: 'y'.repeat(10_000),
    });
    assertEventData('GarbageCollectionFailed', data);
    expect(data.askedBytes).toBe(0);
    expect(data.failures).toHaveLength(1);
  });
});
