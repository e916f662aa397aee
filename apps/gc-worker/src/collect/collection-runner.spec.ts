import { AsyncLocalStorage } from 'node:async_hooks';
import { RuntimeUnavailableError } from '@stowage/errors';
import { eventually, eventuallyPasses } from '@stowage/testing';
import { fakeCollections, type FakeCollections } from '../testing/fake-collections';
import type { KubeletDifferences } from '../policy/differences';
import type { CollectionPolicy } from '../policy/policy';
import type { PublishAll } from '../publish';
import { container, FakeWorker, listed } from '../testing/fake-worker';
import { minutes, now, policy } from '../testing/plan-fixtures';
import type { RuntimeUsage } from '../runtime/runtime';
import type { FileSystemReading } from '../disk/assess-disk';

const { signal } = new AbortController();
let worker: FakeWorker;
let usedPercent: number;
let diskError: Error | undefined;
let capacityBytes: number;
let publishedBy: PublishAll;

beforeEach(() => {
  worker = new FakeWorker();
  usedPercent = 50;
  diskError = undefined;
  capacityBytes = 1000;
  publishedBy = worker.publishAll;
});

const stores = (bytes: number, sampledAt = Infinity): RuntimeUsage => ({
  byMountpoint: new Map([['/images', bytes]]),
  sampledAt,
});

/** Each removed image frees a tenth of the disk, as its size says. */
function runner(
  differences: Partial<KubeletDifferences> = {},
  removalTimeoutMs = 1000,
  node: { freesNothing?: boolean; usedBytes?: number; usageWaitMs?: number } = {},
) {
  const readDisks = (): Promise<FileSystemReading[]> => {
    if (diskError !== undefined) return Promise.reject(diskError);
    const removals =
      node.freesNothing === true
        ? 0
        : worker.runtime.calls.filter((call) => call.startsWith('removeImage')).length;
    const availableBytes = 1000 - usedPercent * 10 + removals * 100;
    return Promise.resolve([
      {
        mountpoint: '/images',
        capacityBytes,
        availableBytes,
        inodes: null,
        inodesFree: null,
      },
    ]);
  };
  const imageUse = (stored: ReadonlyMap<string, number>) => {
    const storedBytes = [...stored.values()].reduce((sum, bytes) => sum + bytes, 0);
    const { usedBytes } = node;
    return Promise.resolve(usedBytes === undefined ? undefined : { usedBytes, storedBytes });
  };
  return fakeCollections(worker, {
    policy: policy({ differences }),
    detector: worker.detector(differences),
    disks: { read: readDisks, imageUse },
    publishAll: (name, events) => {
      publishedBy(name, events);
    },
    usageWaitMs: node.usageWaitMs,
    removalTimeoutMs,
  });
}

async function withImages(collections: FakeCollections, ...ids: string[]): Promise<void> {
  worker.runtime.images = ids.map((id) => listed(id));
  await collections.detect({ signal });
  worker.takeEvents();
  worker.clock += minutes(3);
}

/** The removal of this image does not end before it is told to. */
function hangingRemoval(hangs: string): { begun: Promise<void>; end: () => void } {
  let begin: () => void = () => undefined;
  let end: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const ended = new Promise<void>((resolve) => (end = resolve));
  const remove = worker.runtime.removeImage.bind(worker.runtime);
  worker.runtime.removeImage = async (imageId) => {
    if (imageId === hangs) {
      begin();
      await ended;
    }
    await remove(imageId);
  };
  return { begun, end };
}

const lastData = () => worker.published.at(-1)?.data;

describe('a file system that is full of other data', () => {
  /** 74 % are other files, and 16 small images are unused: the trial that this is about. */
  async function foreignData(values: Partial<CollectionPolicy>) {
    const gib = 2 ** 30;
    const capacity = 320 * gib;
    const available = Math.floor(capacity * 0.26);
    let freed = 0;
    const remove = worker.runtime.removeImage.bind(worker.runtime);
    worker.runtime.removeImage = async (imageId) => {
      await remove(imageId);
      freed += 25 * 2 ** 16;
    };
    const readDisks = () =>
      Promise.resolve([
        {
          mountpoint: '/images',
          capacityBytes: capacity,
          availableBytes: available + freed,
          inodes: null,
          inodesFree: null,
        },
      ]);
    const foreign = {
      mountpoint: '/images',
      role: 'image',
      usedBytes: capacity - available,
      imageBytes: 2 * gib,
      containerBytes: 0,
      otherBytes: capacity - available - 2 * gib,
    } as const;
    const some = policy({ highThresholdPercent: 70, lowThresholdPercent: 54, ...values });
    const collections = fakeCollections(worker, {
      policy: some,
      detector: worker.detector(),
      disks: { read: readDisks, imageUse: () => Promise.resolve(undefined) },
      breakdowns: { current: () => Promise.resolve([foreign]) },
    });
    worker.runtime.images = Array.from({ length: 16 }, (_, at) =>
      listed(`image-${at}`, { sizeBytes: 25 * 2 ** 16 }),
    );
    await collections.detect({ signal });
    worker.takeEvents();
    worker.clock += minutes(3);
    worker.store.setExceeded(
      { mountpoint: '/images', role: 'image', resource: 'bytes', level: 'high', since: now },
      1,
    );
    await collections.collectIfDue('mark-crossed', { signal });
    return collections;
  }

  it('is called that in event, log, outcome and health, and the metrics tell when one last sufficed', async () => {
    const collections = await foreignData({});
    expect(worker.runtime.images).toEqual([]);
    const event = worker.published.at(-1);
    expect(event).toMatchObject({
      name: 'GarbageCollectionFailed',
      data: {
        error: { code: 'insufficient-space-freed' },
        removedCount: 16,
        measuredBytes: 25 * 2 ** 20,
        breakdown: { imageBytes: 2 * 2 ** 30, containerBytes: 0, imagesSuffice: false },
      },
    });
    expect(collections.lastOutcome()?.breakdown).toMatchObject({ imageBytes: 2 * 2 ** 30 });
    const line = worker.lines.find(({ message }) => message === 'collection failed');
    expect(line?.fields).toMatchObject({ breakdown: { imageBytes: 2 * 2 ** 30 } });
    expect(collections.problem()).toMatch(
      /the last collection fell short \(removed 16 images, freed 25\.0 MiB of 64\.0 GiB asked\)/,
    );
    const metrics = await worker.registry.metrics();
    expect(metrics).toMatch(/^stowage_gc_last_collection_timestamp_seconds 17/m);
    expect(metrics).not.toMatch(/^stowage_gc_last_sufficient_collection_timestamp_seconds \d/m);
    expect(metrics).toMatch(/^stowage_gc_collectable_bytes 26214400$/m);
  });

  it('with minReclaim no image goes', async () => {
    const collections = await foreignData({ minReclaimBytes: 2 ** 30 });
    expect(worker.runtime.images).toHaveLength(16);
    expect(worker.published.at(-1)).toMatchObject({
      name: 'GarbageCollectionFailed',
      data: { removedCount: 0, keptByReason: { 'min-reclaim': 16 } },
    });
    expect(collections.problem()).toContain('fell short (removed 0 images, freed 0 B of 64.0 GiB');
  });
});

describe('what came free', () => {
  it('is less than expected: tells what neither images nor containers account for', async () => {
    const collections = runner({}, 1000, { freesNothing: true, usedBytes: 950 });
    await withImages(collections, 'a', 'b', 'c');
    worker.runtime.stored = stores(300);
    usedPercent = 95;
    await collections.collectIfDue('mark-crossed', { signal });
    // All three were removed and nothing came free: 950 in use, 300 of them the runtime's.
    expect(collections.lastOutcome()?.leakedBytes).toBe(650);
    expect(lastData()).toMatchObject({ leakedBytes: 650, measuredBytes: 0, expectedBytes: 300 });
    expect(await worker.registry.metrics()).toContain('stowage_gc_leaked_bytes 650');
  });

  /** A collection of one image after which the runtime still gives its account of before. */
  const collectionWithOldUsage = async (usageWaitMs: number) => {
    const collections = runner({}, 1000, { freesNothing: true, usedBytes: 950, usageWaitMs });
    await withImages(collections, 'a');
    worker.runtime.stored = stores(900, worker.clock - 1);
    usedPercent = 95;
    const collected = collections.collectIfDue('mark-crossed', { signal });
    await eventuallyPasses(() => {
      expect(worker.runtime.calls).toContain('usage');
    });
    return { collections, collected };
  };

  it('waits for an account of the runtime that does not hold what was removed any more', async () => {
    const { collections, collected } = await collectionWithOldUsage(5000);
    worker.runtime.stored = stores(800, worker.clock);
    await collected;
    expect(collections.lastOutcome()?.leakedBytes).toBe(150);
  });

  it('does not keep a plan waiting for the account of the runtime', async () => {
    const { collections, collected } = await collectionWithOldUsage(1e9);
    expect(await collections.plan({}, { signal })).toMatchObject({ removeCount: 0 });
    await collected;
    expect(lastData()).toMatchObject({ measuredBytes: 0 });
    expect(collections.lastOutcome()).not.toHaveProperty('leakedBytes');
  });

  it.each([
    ['the runtime does not say what it holds', undefined, 950],
    ['the runtime gives only an account of before', stores(300, 0), 950],
    ['the runtime does not answer', new Error('away'), 950],
    ['the file system does not say what is in use', stores(300), undefined],
  ])('says nothing of leaks when %s', async (_, stored, usedBytes) => {
    const collections = runner({}, 1000, { freesNothing: true, usedBytes });
    await withImages(collections, 'a');
    worker.runtime.stored = stored;
    usedPercent = 95;
    await collections.collectIfDue('mark-crossed', { signal });
    expect(collections.lastOutcome()).not.toHaveProperty('leakedBytes');
  });

  it.each([
    ['what containers wrote is accounted for', new Map([['/images', 400]]), 250],
    ['nothing is said of leaks where that is not told', undefined, undefined],
    ['nothing is said of leaks where that fails', new Error('not implemented'), undefined],
  ])('where the runtime’s account is of its metadata alone: %s', async (_, layers, leakedBytes) => {
    const collections = runner({}, 1000, { freesNothing: true, usedBytes: 1000 });
    await withImages(collections, 'a', 'b', 'c', 'd');
    worker.runtime.images = [...worker.runtime.images, listed('used', { sizeBytes: 300 })];
    worker.runtime.containers = [container('c1', 'used')];
    worker.runtime.stored = stores(50);
    worker.runtime.layers = layers;
    usedPercent = 95;
    await collections.collectIfDue('mark-crossed', { signal });
    expect(collections.lastOutcome()?.leakedBytes).toBe(leakedBytes);
  });

  it('is as expected: nobody looks for leaks; the removal is remembered for regret', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b');
    usedPercent = 86;
    await collections.collectIfDue('mark-crossed', { signal });
    expect(worker.runtime.calls).not.toContain('usage');
    expect([...worker.store.removedImages().keys()]).toEqual(['a']);
  });
});

describe('due', () => {
  it('does nothing and says nothing below the mark', async () => {
    const collections = runner();
    await withImages(collections, 'a');
    await collections.collectIfDue('period', { signal });
    expect(worker.takeEvents()).toEqual([]);
    expect(collections.lastOutcome()).toBeUndefined();
  });

  it('collects over the mark, tells each removal, then the collection, and forgets the records', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b', 'c');
    usedPercent = 95;
    await collections.collectIfDue('mark-crossed', { signal });
    expect(lastData()).toMatchObject({ trigger: 'threshold', askedBytes: 150, removedCount: 2 });
    const planId = collections.lastOutcome()?.planId;
    expect(worker.takeEvents()).toEqual([
      'ImageRemoved a',
      'ImageRemoved b',
      `GarbageCollected ${planId}`,
    ]);
    expect([...worker.store.images().keys()]).toEqual(['c']);
    // What it removed itself does not count as vanished.
    await collections.detect({ signal });
    expect(worker.takeEvents()).toEqual([]);
  });

  it('tells a removal while the runtime hangs in the next one', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b');
    usedPercent = 95;
    const second = hangingRemoval('b');
    const collected = collections.collectIfDue('mark-crossed', { signal });
    await eventually(() => worker.published.length > 0, { what: 'the first removal to be told' });
    expect(worker.takeEvents()).toEqual(['ImageRemoved a']);
    expect([...worker.store.images().keys()]).toEqual(['b']);
    expect(worker.store.intendedRemovals()).toEqual(['b']);
    second.end();
    await collected;
    expect(worker.takeEvents().map((line) => line.split(' ')[0])).toEqual([
      'ImageRemoved',
      'GarbageCollected',
    ]);
  });

  it('tells what was removed before a detection can miss it, or when asked to settle', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b', 'c');
    usedPercent = 95;
    const second = hangingRemoval('b');
    const collected = collections.collectIfDue('mark-crossed', { signal });
    await second.begun;
    // In the queue behind the second removal; both are told before it looks.
    const detected = collections.detect({ signal });
    await collections.settle();
    expect(worker.takeEvents()).toEqual(['ImageRemoved a']);
    second.end();
    await Promise.all([detected, collected]);
    expect(worker.takeEvents().map((line) => line.split(' ')[0])).toEqual([
      'ImageRemoved',
      'GarbageCollected',
    ]);
    expect([...worker.store.images().keys()]).toEqual(['c']);
  });

  it('tells each removal with its own time, in the trace of the collection', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b');
    usedPercent = 95;
    const second = hangingRemoval('b');
    const traces = new AsyncLocalStorage<string>();
    const times: (number | undefined)[] = [];
    const inTraces: (string | undefined)[] = [];
    const publishAll = worker.publishAll.bind(worker);
    publishedBy = (name, events) => {
      times.push(...events.map(({ time }) => time?.getTime()));
      inTraces.push(traces.getStore());
      publishAll(name, events);
    };
    const removedAt = worker.clock;
    const collected = traces.run('collection', () =>
      collections.collectIfDue('mark-crossed', { signal }),
    );
    await second.begun;
    worker.clock += 1000;
    await traces.run('another', () => collections.settle());
    second.end();
    await collected;
    expect(times).toEqual([removedAt, removedAt + 1000]);
    expect(inTraces).toEqual(['collection', 'collection']);
  });

  it('says in its failure what kubelet says, at each period, and is quiet in between', async () => {
    const collections = runner();
    usedPercent = 95;
    await collections.collectIfDue('period', { signal });
    await collections.collectIfDue('period', { signal });
    await collections.collectIfDue('still-over-mark', { signal });
    expect(worker.takeEvents().map((line) => line.split(' ')[0])).toEqual([
      'GarbageCollectionFailed',
      'GarbageCollectionFailed',
    ]);
  });

  it('collects between periods as soon as an image may go', async () => {
    const collections = runner();
    worker.runtime.images = [listed('a'), listed('b')];
    worker.runtime.containers = [container('c1', 'a'), container('c2', 'b')];
    usedPercent = 90;
    await collections.collectIfDue('mark-crossed', { signal });
    worker.takeEvents();
    worker.runtime.containers = [];
    await collections.detect({ signal });
    worker.clock += minutes(3);
    await collections.collectIfDue('still-over-mark', { signal });
    expect(worker.takeEvents()[0]).toBe('ImageRemoved a');
  });

  it('reports a disk that cannot be measured', async () => {
    diskError = new Error('statfs failed');
    await runner().collectIfDue('period', { signal });
    expect(lastData()).toMatchObject({ error: { code: 'stats-failed', message: 'statfs failed' } });
  });

  it('reports a disk without capacity', async () => {
    capacityBytes = 0;
    await runner().collectIfDue('period', { signal });
    expect(lastData()).toMatchObject({
      trigger: 'period',
      error: {
        code: 'invalid-disk-capacity',
        message: 'invalid capacity 0 on image filesystem',
      },
    });
  });

  it('reports a runtime that is away only while a mark of an image file system is exceeded', async () => {
    const collections = runner();
    const since = new Date(now);
    worker.runtime.failure = new RuntimeUnavailableError('unix:///x', since, 'ENOENT');
    await collections.collectIfDue('period', { signal });
    expect(worker.takeEvents()).toEqual([]);
    const mark = { resource: 'bytes', level: 'high', since: now } as const;
    worker.store.setExceeded({ ...mark, mountpoint: '/containers', role: 'container' }, 1);
    await collections.collectIfDue('period', { signal });
    expect(worker.takeEvents()).toEqual([]);
    worker.store.setExceeded({ ...mark, mountpoint: '/images', role: 'image' }, 2);
    await collections.collectIfDue('mark-crossed', { signal });
    expect(lastData()).toMatchObject({ error: { code: 'runtime-unavailable' }, removedCount: 0 });
    expect(worker.takeEvents()).toEqual(['GarbageCollectionFailed /images']);
  });

  it('tells failures from the second in a row on with kubelet’s option, but its disk events at once', async () => {
    const collections = runner({ failureEvents: 'second-in-a-row' });
    diskError = new Error('statfs failed');
    await collections.collectIfDue('period', { signal });
    expect(worker.takeEvents()).toEqual([]);
    await collections.collectIfDue('period', { signal });
    expect(worker.takeEvents()).toHaveLength(1);
    diskError = undefined;
    usedPercent = 20;
    await withImages(collections, 'a');
    await collections.run({ bytes: 1 }, { signal });
    worker.takeEvents();
    usedPercent = 99;
    await collections.collectIfDue('period', { signal });
    expect(lastData()).toMatchObject({ error: { code: 'insufficient-space-freed' } });
  });

  it('treats a removal that hangs as failed and goes on', async () => {
    const collections = runner({}, 20);
    await withImages(collections, 'a', 'b', 'c');
    usedPercent = 90;
    const remove = worker.runtime.removeImage.bind(worker.runtime);
    worker.runtime.removeImage = ((imageId: string, options: { signal: AbortSignal }) =>
      imageId === 'a'
        ? new Promise<void>((_, reject) => {
            options.signal.addEventListener('abort', () => {
              reject(options.signal.reason as Error);
            });
          })
        : remove(imageId)) as typeof worker.runtime.removeImage;
    await collections.collectIfDue('period', { signal });
    expect(lastData()).toMatchObject({
      removedCount: 1,
      failures: [
        {
          imageId: 'a',
          grpcStatus: 'DEADLINE_EXCEEDED',
          message: 'removal of the image timed out after 20 ms',
        },
      ],
    });
    // It stays known, and the runtime may still do it: then the removal is this collection's.
    expect(worker.store.images().has('a')).toBe(true);
    const { planId } = collections.lastOutcome()!;
    worker.runtime.images = worker.runtime.images.filter(({ imageId }) => imageId !== 'a');
    await collections.detect({ signal });
    expect(lastData()).toMatchObject({ imageId: 'a', reason: 'threshold', planId });
  });

  it('takes the runtime’s refusal of a removal for its end', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b', 'c');
    worker.runtime.removalErrors = { a: new Error('image is busy') };
    usedPercent = 90;
    await collections.collectIfDue('period', { signal });
    expect(worker.store.removalIntent('a')).toBeUndefined();
    expect(worker.store.images().has('a')).toBe(true);
  });
});

describe('a runtime that answers that it removed an image, and still lists it', () => {
  const text = 'the runtime answered that the image was removed, and still lists it';

  /** The removal of `a` is answered and does nothing. */
  async function withStuckImage(differences: Partial<KubeletDifferences> = {}) {
    const collections = runner(differences);
    await withImages(collections, 'a', 'b');
    const remove = worker.runtime.removeImage.bind(worker.runtime);
    worker.runtime.removeImage = async (imageId) => {
      const { images } = worker.runtime;
      await remove(imageId);
      if (imageId === 'a') worker.runtime.images = images;
    };
    usedPercent = 95;
    return collections;
  }

  it('is reported as a failed removal: record and age stay, nothing says that it was removed or comes back', async () => {
    const collections = await withStuckImage();
    await collections.collectIfDue('mark-crossed', { signal });
    expect(collections.lastOutcome()?.failed).toMatchObject([{ message: text }]);
    expect(worker.takeEvents().map((line) => line.replace(/plan-.*/, 'plan'))).toEqual([
      'ImageRemoved b',
      'GarbageCollectionFailed plan',
    ]);
    await collections.detect({ signal });
    expect(worker.takeEvents()).toEqual([]);
    expect([...worker.store.images().values()]).toMatchObject([
      { imageId: 'a', firstDetected: now },
    ]);
    expect(worker.store.removalIntent('a')).toBeUndefined();
    expect([...worker.store.removedImages().keys()]).toEqual(['b']);
    const page = await worker.registry.metrics();
    expect(page).toContain('stowage_gc_image_removal_failures_total 1');
    expect(page).toContain('stowage_gc_regrets_total 0');
  });

  it('is not tried again at once, but when it is asked for', async () => {
    const collections = await withStuckImage();
    await collections.collectIfDue('mark-crossed', { signal });
    worker.takeEvents();
    for (let at = 0; at < 5; at += 1) await collections.collectIfDue('still-over-mark', { signal });
    expect(worker.takeEvents()).toEqual([]);
    const tries = () => worker.runtime.calls.filter((call) => call === 'removeImage a').length;
    expect(tries()).toBe(1);
    const plan = await collections.plan({}, { signal });
    expect(plan.images).toMatchObject([{ imageId: 'a', rule: 'removal-paused' }]);
    expect(plan.images[0]?.why).toMatch(
      /^its removal failed once \(the runtime answered .*\); it is tried again in \d+ s$/,
    );
    await collections.run({ bytes: 100 }, { signal });
    expect(tries()).toBe(2);
  });

  it('is believed where it cannot be seen whether the image went', async () => {
    const collections = await withStuckImage();
    worker.runtime.goesAt = { call: 'removeImage b', error: new Error('connection lost') };
    await collections.collectIfDue('mark-crossed', { signal });
    expect(worker.takeEvents()[0]).toBe('ImageRemoved a');
  });

  it('and an image that came back right after its removal was seen to be pulled: it was removed', async () => {
    const collections = await withStuckImage();
    const second = hangingRemoval('b');
    const listImages = worker.runtime.listImages.bind(worker.runtime);
    const collected = collections.collectIfDue('mark-crossed', { signal });
    await second.begun;
    worker.runtime.listImages = () => {
      collections.cameBack('a');
      return listImages();
    };
    await collections.settle();
    expect(worker.takeEvents()).toEqual(['ImageRemoved a']);
    second.end();
    await collected;
    expect(collections.lastOutcome()?.failed).toEqual([]);
  });
});

describe('plan and run', () => {
  it('executes a plan by its id, once', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b', 'c');
    const plan = await collections.plan({ bytes: 150 }, { signal });
    const outcome = await collections.run({ planId: plan.planId }, { signal });
    expect(outcome.removed.map(({ imageId }) => imageId)).toEqual(['a', 'b']);
    await expect(collections.run({ planId: plan.planId }, { signal })).rejects.toThrow(
      `plan ${plan.planId} is not one of the last 32 plans: ask for a new one`,
    );
  });

  it('refuses a plan that would be another one now', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b', 'c');
    const plan = await collections.plan({ bytes: 150 }, { signal });
    worker.runtime.containers = [container('c1', 'a')];
    await expect(collections.run({ planId: plan.planId }, { signal })).rejects.toThrow(
      /^plan plan-[0-9a-f]{24} is stale: images, their use or the disk changed, and the plan would be plan-[0-9a-f]{24} now$/,
    );
    expect([...worker.store.images().keys()]).toEqual(['a', 'b', 'c']);
  });

  it('refuses a plan id together with bytes', async () => {
    await expect(runner().run({ planId: 'plan-1', bytes: 5 }, { signal })).rejects.toThrow(
      'bytes: 5 is not allowed; allowed: planId or bytes, not both',
    );
  });

  it('forgets old plans', async () => {
    const collections = runner();
    await withImages(collections, 'a');
    const first = await collections.plan({ bytes: 1 }, { signal });
    for (let bytes = 2; bytes < 40; bytes += 1) await collections.plan({ bytes }, { signal });
    await expect(collections.run({ planId: first.planId }, { signal })).rejects.toThrow(
      'is not one of the last 32 plans',
    );
  });

  it('says that there was nothing to do when asked to collect below the mark', async () => {
    const collections = runner();
    await withImages(collections, 'a');
    const outcome = await collections.run({}, { signal });
    expect(outcome.removed).toEqual([]);
    expect(lastData()).toMatchObject({ trigger: 'request', removedCount: 0 });
  });

  it('runs one at a time', async () => {
    const collections = runner();
    await withImages(collections, 'a', 'b', 'c', 'd');
    await Promise.all([
      collections.run({ bytes: 100 }, { signal }),
      collections.run({ bytes: 100 }, { signal }),
    ]);
    const order = worker.takeEvents().map((line) => line.split(' ')[0]);
    expect(order).toEqual(['ImageRemoved', 'GarbageCollected', 'ImageRemoved', 'GarbageCollected']);
  });

  it('plans without a disk, for age and requests', async () => {
    const collections = runner();
    await withImages(collections, 'a');
    diskError = new Error('gone');
    const plan = await collections.plan({ bytes: 5 }, { signal });
    expect(plan).toMatchObject({ removeCount: 1, disks: [] });
  });
});
