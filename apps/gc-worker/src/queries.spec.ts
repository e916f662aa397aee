import { ImageList } from './detect/image-list';
import { GcQueries } from './queries';
import { fakeCollections } from './testing/fake-collections';
import { container, FakeWorker, listed } from './testing/fake-worker';
import { exemptions } from './policy/exempt';
import { ImageHolds } from './control/image-holds';
import { disk, minutes, policy } from './testing/plan-fixtures';

const { signal } = new AbortController();

const role = 'container' as const;

async function queries(...ids: string[]) {
  const worker = new FakeWorker();
  const read = () => Promise.resolve([disk(90)]);
  const readAll = async () => [...(await read()), { ...disk(50, '/containers'), role }];
  const imageUse = () => Promise.resolve(undefined);
  const disks = { read, readAll, imageUse, trends: () => new Map() };
  const detector = worker.detector(
    {},
    { exemptions: exemptions(['*/a:1', '/^registry\\.example\\/c/'], [{ label: 'keep' }]) },
  );
  const collections = fakeCollections(worker, { detector, disks });
  worker.runtime.images = ids.map((id) => listed(id));
  const imageList = new ImageList({
    runtime: worker.runtime,
    metrics: worker.metrics.detection,
    log: worker.log,
    now: worker.now,
  });
  await imageList.refresh({ signal });
  await collections.detect({ signal });
  worker.clock += minutes(3);
  const holds = new ImageHolds({
    ...{ file: collections.file, publish: worker.publish, log: worker.log, now: worker.now },
    images: () => worker.store.images(),
    maxHoldMs: minutes(600),
    metrics: worker.metrics.control,
  });
  return {
    worker,
    answers: new GcQueries({
      runner: collections.runner,
      pause: collections.pause,
      ...{ holds, hints: worker.hints, detections: collections.detections, now: worker.now },
      reports: { settle: collections.settle },
      store: worker.store,
      disks,
      breakdowns: {
        current: () =>
          Promise.resolve([
            {
              mountpoint: '/images',
              role: 'image',
              usedBytes: 900,
              imageBytes: 90,
              containerBytes: 10,
              otherBytes: 800,
            } as const,
          ]),
      },
      detector,
      policy: { current: policy(), lastRefusal: () => undefined },
      imageList,
      nodeStatusMaxImages: 1,
    }),
  };
}

describe('GcQueries', () => {
  it('nodeImages: the largest images, as many as configured', async () => {
    const { answers } = await queries('a', 'b');
    expect(answers.nodeImages()).toEqual({
      listedAt: '2026-11-20T12:00:00.000Z',
      images: [{ names: ['registry.example/b:1'], sizeBytes: 100 }],
    });
  });

  it('plan: each image with verdict, rule and reason; times as text', async () => {
    const { worker, answers } = await queries('a', 'b');
    worker.runtime.containers = [container('c1', 'b')];
    const plan = await answers.plan({}, { signal });
    expect(plan).toMatchObject({
      trigger: 'threshold',
      bytesToFree: 100,
      plannedAt: '2026-11-20T12:03:00.000Z',
      total: 2,
      images: [
        { imageId: 'a', verdict: 'remove', rule: 'threshold', order: 1, usedBy: [] },
        { imageId: 'b', verdict: 'keep', rule: 'in-use', usedBy: ['container c1'] },
      ],
    });
    expect(plan).not.toHaveProperty('next');
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  it('images: in pages', async () => {
    const { answers } = await queries('c', 'a', 'b');
    const first = await answers.images({ limit: 2 });
    expect([first.total, first.images.map(({ imageId }) => imageId), first.next]).toEqual([
      3,
      ['a', 'b'],
      'b',
    ]);
    const second = await answers.images({ limit: 2, after: first.next });
    expect([second.images.map(({ imageId }) => imageId), second.next]).toEqual([['c'], undefined]);
    expect(second.images[0]).toMatchObject({
      firstDetected: '2026-11-20T12:00:00.000Z',
      lastUsed: null,
    });
    await expect(answers.images({ after: 'x' })).rejects.toThrow('image "x" not found');
  });

  it('images and status: without those that a collection has removed and not told yet', async () => {
    const { worker, answers } = await queries('a', 'b');
    const remove = worker.runtime.removeImage.bind(worker.runtime);
    const seen: unknown[] = [];
    worker.runtime.removeImage = async (imageId) => {
      if (imageId === 'b') {
        const isTold = worker.published.some(({ name }) => name === 'ImageRemoved');
        const { records } = await answers.status({ signal });
        seen.push(isTold, (await answers.images({})).total, records.images);
      }
      await remove(imageId);
    };
    await answers.run({ bytes: 200 }, { signal });
    expect(seen).toEqual([false, 1, 1]);
  });

  it('hold, images and release: also of an image that no detection has found yet', async () => {
    const { worker, answers } = await queries('a');
    worker.runtime.images = [...worker.runtime.images, listed('b')];
    const request = { image: 'registry.example/b:1', minutes: 5, reason: 'a test' };
    const { held } = await answers.hold(request, { signal });
    const until = '2026-11-20T12:08:00.000Z';
    expect(held).toMatchObject([{ imageId: 'b', until, reason: 'a test' }]);
    expect((await answers.status({ signal })).holds).toEqual(held);
    // An ensure keeps it a little longer.
    worker.hints.hold(['registry.example/b:1'], Date.parse(until) + 1000, worker.now());
    const { images } = await answers.images({});
    expect(images.map(({ held: kept }) => kept)).toEqual([
      undefined,
      { until: '2026-11-20T12:08:01.000Z', reason: 'a test' },
    ]);
    expect(answers.release({ image: 'b' })).toEqual({
      released: held,
      heldUntil: '2026-11-20T12:08:01.000Z',
    });
    await expect(answers.hold({ ...request, image: 'x' }, { signal })).rejects.toThrow('not found');
  });

  it('status: what holds the file systems, and exempt patterns without an image', async () => {
    const { answers } = await queries('a', 'b');
    const { disks, exemptUnmatched } = await answers.status({ signal });
    expect(disks.map(({ breakdown }) => breakdown)).toEqual([
      {
        usedBytes: 900,
        imageBytes: 90,
        containerBytes: 10,
        otherBytes: 800,
        imagesSuffice: false,
      },
      undefined,
    ]);
    expect(exemptUnmatched).toEqual(['/^registry\\.example\\/c/', 'label keep']);
  });

  it('run and status: what the last collection did', async () => {
    const { answers } = await queries('a', 'b');
    expect((await answers.status({ signal })).lastCollection).toBeNull();
    const ran = await answers.run({ bytes: 100 }, { signal });
    expect(ran).toMatchObject({ removedCount: 2, failure: { code: 'insufficient-space-freed' } });
    expect(await answers.status({ signal })).toMatchObject({
      collects: true,
      disks: [
        { mountpoint: '/images', role: 'image', usedPercent: 90, exceededSince: null },
        { mountpoint: '/containers', role, usedPercent: 50, exceededSince: null },
      ],
      records: { state: 'in-memory', images: 0 },
      lastCollection: ran,
    });
  });
});
