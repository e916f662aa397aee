import { CollectionRunner } from './collect/collection-runner';
import { container, FakeWorker, listed } from './testing/fake-worker';
import { minutes, policy } from './testing/plan-fixtures';

const { signal } = new AbortController();
const [imageCount, containerCount, removedCount] = [10_000, 5000, 300];

it('10 000 images and 5 000 containers: detects, plans, and removes three hundred, no used one among them', async () => {
  const worker = new FakeWorker();
  worker.runtime.images = Array.from({ length: imageCount }, (_, at) =>
    listed(`sha256:${at.toString(16).padStart(64, '0')}`, {
      repoTags: [`registry.example/team/app-${at}:1.${at % 10}`],
    }),
  );
  worker.runtime.containers = Array.from({ length: containerCount }, (_, at) =>
    container(`c${at}`, worker.runtime.images[at * 2]!.imageId),
  );
  let availableBytes = 10_000_000;
  const removed = new Set<string>();
  let lists = 0;
  const runner = new CollectionRunner({
    policy: policy(),
    runtime: {
      storedBytes: () => Promise.resolve(undefined),
      writableLayers: () => Promise.resolve(undefined),
      listImages: () => {
        lists += 1;
        return Promise.resolve(
          worker.runtime.images.filter(({ imageId }) => !removed.has(imageId)),
        );
      },
      removeImage: async (imageId) => {
        // As a runtime does, but without a copy of the whole list for each removal.
        worker.runtime.calls.push(`removeImage ${imageId}`);
        removed.add(imageId);
        availableBytes += 100;
        return Promise.resolve();
      },
    },
    detector: worker.detector(),
    disks: {
      imageUse: () => Promise.resolve(undefined),
      read: () =>
        Promise.resolve([
          {
            mountpoint: '/images',
            capacityBytes: 100_000_000,
            availableBytes,
            inodes: null,
            inodesFree: null,
          },
        ]),
    },
    store: worker.store,
    publish: worker.publish,
    publishAll: worker.publishAll,
    nextSequence: worker.nextSequence,
    metrics: worker.metrics.collection,
    log: worker.log,
    now: worker.now,
    accountWaitMs: 0,
    meter: { perRemovalWaitMs: 0, finalWaitMs: 0, quietMs: 0, pollMs: 1 },
    removalTimeoutMs: 1000,
  });
  await runner.detect({ signal });
  expect(worker.takeEvents()).toHaveLength(imageCount);
  worker.clock += minutes(3);
  const plan = await runner.plan({ bytes: 100 * removedCount }, { signal });
  expect(plan).toMatchObject({
    removeCount: removedCount,
    expectedBytes: 100 * removedCount,
    keptByRule: {
      'in-use': containerCount,
      'enough-freed': imageCount - containerCount - removedCount,
    },
  });
  const outcome = await runner.run({ planId: plan.planId }, { signal });
  expect(outcome.removed).toHaveLength(removedCount);
  expect(outcome.failure).toBeUndefined();
  // One list serves many removals.
  expect(lists).toBeLessThan(removedCount / 5);
  const used = new Set(worker.runtime.containers.map(({ imageId }) => imageId));
  expect(outcome.removed.filter(({ imageId }) => used.has(imageId))).toEqual([]);
  expect(worker.takeEvents()).toHaveLength(removedCount + 1);
  expect(worker.store.images().size).toBe(imageCount - removedCount);
});
