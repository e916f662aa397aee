import { fixedPolicy, type CurrentPolicy } from '../policy/live-policy';
import { fakeCollections } from '../testing/fake-collections';
import { container, FakeWorker, listed } from '../testing/fake-worker';
import { disk, minutes, policy } from '../testing/plan-fixtures';
import type { CollectionPolicy } from '../policy/policy';

const { signal } = new AbortController();
let worker: FakeWorker;
let mode: CollectionPolicy['collect'];
let usedPercent: number;
let collections: ReturnType<typeof fakeCollections>;

/** A policy whose `collect` the test changes, as a reload does. */
const live = (): CurrentPolicy => ({
  ...fixedPolicy(policy()),
  get current() {
    return policy({ collect: mode });
  },
});

beforeEach(async () => {
  worker = new FakeWorker();
  [mode, usedPercent] = ['shadow', 95];
  collections = fakeCollections(worker, {
    policy: live(),
    detector: worker.detector(),
    disks: {
      read: () => Promise.resolve([disk(usedPercent)]),
      imageUse: () => Promise.resolve(undefined),
    },
  });
  worker.runtime.images = ['a', 'b', 'c', 'used'].map((id) => listed(id));
  worker.runtime.containers = [container('c1', 'used')];
  await collections.detect({ signal });
  worker.takeEvents();
  worker.clock += minutes(3);
});

const removals = () => worker.runtime.calls.filter((call) => call.startsWith('removeImage'));
const metric = async (name: string) =>
  (await worker.registry.getSingleMetricAsString(name)).split('\n').slice(2);

describe('in shadow', () => {
  it('all is done but the removal: event, metrics, outcome', async () => {
    expect(await collections.collectIfDue('mark-crossed', { signal })).toBe(true);
    expect(removals()).toEqual([]);
    expect(worker.published).toMatchObject([
      {
        name: 'GarbageCollectionShadowed',
        data: {
          trigger: 'threshold',
          askedBytes: 150,
          expectedBytes: 200,
          wouldRemoveCount: 2,
          wouldRemove: [
            { imageId: 'a', reason: 'threshold', sizeBytes: 100 },
            { imageId: 'b', reason: 'threshold', sizeBytes: 100 },
          ],
          keptCount: 2,
          keptByReason: { 'in-use': 1 },
          before: { mountpoint: '/images', usedPercent: 95 },
        },
      },
    ]);
    const outcome = collections.lastOutcome();
    expect(outcome).toMatchObject({
      removed: [],
      expectedBytes: 0,
      measuredBytes: null,
      shadow: { expectedBytes: 200 },
      keptByReason: { shadow: 2 },
    });
    expect(outcome?.images.map(({ image, result }) => [image.imageId, result])).toEqual([
      ['a', 'would-remove'],
      ['b', 'would-remove'],
      ['c', 'kept'],
      ['used', 'kept'],
    ]);
    expect(await metric('stowage_gc_shadow_images')).toEqual(['stowage_gc_shadow_images 2']);
    expect(await metric('stowage_gc_shadow_bytes')).toEqual(['stowage_gc_shadow_bytes 200']);
    expect(await metric('stowage_gc_shadow_collections_total')).toEqual([
      'stowage_gc_shadow_collections_total{trigger="threshold"} 1',
    ]);
    // None of the real ones counts.
    expect((await metric('stowage_gc_collections_total')).join('')).toBe('');
    expect(worker.store.intendedRemovals()).toEqual([]);
    expect(collections.problem()).toBeUndefined();
  });

  it('the same plan is published once, another one again, and one that is asked for always', async () => {
    const events = () => worker.takeEvents().length;
    await collections.collectIfDue('mark-crossed', { signal });
    await collections.collectIfDue('still-over-mark', { signal });
    await collections.collectIfDue('period', { signal });
    expect(events()).toBe(1);
    usedPercent = 88;
    await collections.collectIfDue('still-over-mark', { signal });
    expect(events()).toBe(1);
    usedPercent = 95;
    await collections.collectIfDue('period', { signal });
    expect(events()).toBe(1);
    await collections.run({}, { signal });
    expect(events()).toBe(1);
  });

  it('an image that came into use since the plan would have stayed', async () => {
    const listContainers = worker.runtime.listContainers.bind(worker.runtime);
    let looks = 0;
    worker.runtime.listContainers = () => {
      looks += 1;
      if (looks > 1) worker.runtime.containers = [container('c1', 'used'), container('c2', 'a')];
      return listContainers();
    };
    const { shadow } = await collections.run({ bytes: 100 }, { signal });
    expect(shadow?.wouldRemove).toEqual([]);
  });

  it('the plan removes just these once collect is on', async () => {
    const { planId } = await collections.run({ bytes: 200 }, { signal });
    expect(worker.takeEvents()).toEqual([`GarbageCollectionShadowed ${planId}`]);
    await expect(collections.run({ planId }, { signal })).resolves.toMatchObject({
      planId,
      shadow: { expectedBytes: 200 },
    });
    mode = 'on';
    const outcome = await collections.run({ planId }, { signal });
    expect(outcome.shadow).toBeUndefined();
    expect(outcome.removed.map(({ imageId }) => imageId)).toEqual(['a', 'b']);
    expect(removals()).toEqual(['removeImage a', 'removeImage b']);
    await expect(collections.run({ planId }, { signal })).rejects.toThrow('ask for a new one');
  });

  it('the plan of an earlier process too', async () => {
    const { planId } = await collections.run({ bytes: 100 }, { signal });
    mode = 'on';
    const next = fakeCollections(worker, {
      policy: live(),
      detector: worker.detector(),
      disks: {
        read: () => Promise.resolve([disk(usedPercent)]),
        imageUse: () => Promise.resolve(undefined),
      },
    });
    await expect(next.run({ planId }, { signal })).rejects.toThrow('ask for a new one');
    next.file.setShadowPlans(collections.file.shadowPlans);
    await expect(next.run({ planId }, { signal })).resolves.toMatchObject({ planId });
    expect(removals()).toEqual(['removeImage a']);
    expect(next.file.shadowPlans).toEqual([]);
  });
});

describe('an assumed age', () => {
  const fresh = async (assumedAgeMs: number) => {
    worker = new FakeWorker();
    const current = () => policy({ collect: mode, assumedAgeMs });
    collections = fakeCollections(worker, {
      policy: {
        ...fixedPolicy(policy()),
        get current() {
          return current();
        },
      },
      detector: worker.detector(),
      disks: {
        read: () => Promise.resolve([disk(usedPercent)]),
        imageUse: () => Promise.resolve(undefined),
      },
    });
    worker.runtime.images = ['a', 'b', 'c'].map((id) => listed(id));
    await collections.detect({ signal });
    worker.clock += 1000;
  };

  it('of the policy counts in shadow, and its plan is carried out once collect is on', async () => {
    await fresh(minutes(60));
    await collections.collectIfDue('mark-crossed', { signal });
    const [event] = worker.published.filter(({ name }) => name === 'GarbageCollectionShadowed');
    expect(event?.data).toMatchObject({ wouldRemoveCount: 2 });
    const planId = event?.subject ?? '';
    // An image that came after the records began is as young as they say.
    worker.runtime.images = [...worker.runtime.images, listed('new')];
    mode = 'on';
    expect(await collections.plan({}, { signal })).toMatchObject({ removeCount: 0 });
    const outcome = await collections.run({ planId }, { signal });
    expect(outcome.removed.map(({ imageId }) => imageId)).toEqual(['a', 'b']);
  });

  it('of a request counts in any mode, for a plan that is run by its id', async () => {
    mode = 'on';
    await fresh(0);
    expect(await collections.plan({ bytes: 100 }, { signal })).toMatchObject({ removeCount: 0 });
    const collectable = await metric('stowage_gc_collectable_bytes');
    const plan = await collections.plan({ bytes: 100, assumedAgeMs: minutes(60) }, { signal });
    expect(plan).toMatchObject({ removeCount: 1, assumedAgeMs: minutes(60) });
    // What is supposed is not in the metrics.
    expect(await metric('stowage_gc_collectable_bytes')).toEqual(collectable);
    await collections.run({ planId: plan.planId }, { signal });
    expect(removals()).toEqual(['removeImage a']);
  });
});

it('off: a run is refused, a plan is not', async () => {
  mode = 'off';
  await expect(collections.run({ bytes: 1 }, { signal })).rejects.toMatchObject({
    code: 'FAILED_PRECONDITION',
    message: 'collection is off: the configuration key collect (STOWAGE_COLLECT) says so',
  });
  await expect(collections.plan({ bytes: 1 }, { signal })).resolves.toMatchObject({
    removeCount: 1,
  });
});

describe('while collection is paused', () => {
  const reason = 'looking into a disk';
  beforeEach(() => (mode = 'on'));

  it('none starts by itself, and a run is refused with who ends that', async () => {
    collections.pause.pause({ minutes: 10, reason });
    worker.takeEvents();
    expect(await collections.collectIfDue('mark-crossed', { signal })).toBe(true);
    await expect(collections.run({ bytes: 1 }, { signal })).rejects.toThrow(
      `collection is paused until 2026-11-20T12:13:00.000Z (${reason}): gc-worker.resume ends that`,
    );
    expect([removals(), worker.takeEvents()]).toEqual([[], []]);
    collections.pause.resume();
    await collections.run({ bytes: 1 }, { signal });
    expect(removals()).not.toEqual([]);
  });

  it('one that runs is cut off after the removal in flight, and says why', async () => {
    const remove = worker.runtime.removeImage.bind(worker.runtime);
    worker.runtime.removeImage = async (imageId) => {
      collections.pause.pause({ minutes: 10, reason });
      await remove(imageId);
    };
    const outcome = await collections.run({ bytes: 300 }, { signal });
    expect(outcome.removed.map(({ imageId }) => imageId)).toEqual(['a']);
    expect(outcome.failure).toMatchObject({
      code: 'cancelled',
      message: `collection is paused until 2026-11-20T12:13:00.000Z: ${reason}`,
    });
    expect(collections.problem()).toBeUndefined();
  });
});
