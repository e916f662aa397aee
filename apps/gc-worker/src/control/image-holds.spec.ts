import { FakeWorker, listed } from '../testing/fake-worker';
import { memoryControlFile } from '../testing/fake-collections';
import { minutes, now } from '../testing/plan-fixtures';
import { ImageHolds } from './image-holds';

const { signal } = new AbortController();
const [first, second] = ['sha256:' + 'a'.repeat(64), 'sha256:' + 'b'.repeat(64)];
const reason = 'looking into a crash';
let worker: FakeWorker;
let file: ReturnType<typeof memoryControlFile>;

beforeEach(async () => {
  jest.useFakeTimers();
  worker = new FakeWorker();
  file = memoryControlFile();
  worker.runtime.images = [
    listed(first, { repoTags: ['docker.io/library/nginx:1.25'] }),
    listed(second, { repoTags: ['reg.io/team/app:1'] }),
  ];
  await worker.detector().detect({ signal });
  worker.published.length = 0;
});
afterEach(() => jest.useRealTimers());

/** The holds of a process that starts now. */
const open = () =>
  new ImageHolds({
    ...{ file, publish: worker.publish, metrics: worker.metrics.control, log: worker.log },
    images: () => worker.store.images(),
    maxHoldMs: minutes(600),
    now: worker.now,
  });
const after = (ms: number) => {
  worker.clock += ms;
  jest.advanceTimersByTime(ms);
};
const gauge = async () =>
  (await worker.registry.getSingleMetricAsString('stowage_gc_held_images')).split('\n').at(-1);

it.each([
  ['a familiar name', 'nginx:1.25', first],
  ['a full name', 'reg.io/team/app:1', second],
  ['an id', second, second],
  ['the beginning of an id', 'a'.repeat(12), first],
])('finds the image by %s', (_what, image, imageId) => {
  const holds = open();
  expect(holds.hold({ image, minutes: 10, reason })).toMatchObject([{ imageId }]);
  expect(holds.of(imageId)).toMatchObject({ until: now + minutes(10), reason });
  expect(holds.release(image)).toMatchObject([{ imageId }]);
  expect(holds.of(imageId)).toBeUndefined();
});

it('publishes begin and end, counts, and ends by itself', async () => {
  const holds = open();
  holds.hold({ image: 'nginx:1.25', minutes: 10, reason });
  expect(await gauge()).toBe('stowage_gc_held_images 1');
  after(minutes(10) - 1);
  expect(worker.published).toEqual([
    {
      name: 'ImageHeld',
      subject: first,
      data: {
        imageId: first,
        repoTags: ['docker.io/library/nginx:1.25'],
        repoDigests: [],
        requestedReference: 'nginx:1.25',
        since: '2026-11-20T12:00:00.000Z',
        until: '2026-11-20T12:10:00.000Z',
        reason,
      },
    },
  ]);
  after(1);
  expect(holds.list()).toEqual([]);
  expect(await gauge()).toBe('stowage_gc_held_images 0');
  expect(worker.published.slice(1)).toMatchObject([
    { name: 'ImageReleased', subject: first, data: { cause: 'time', reason } },
  ]);
});

it('gets another end when asked again, and keeps its beginning', () => {
  const holds = open();
  holds.hold({ image: first, minutes: 10, reason });
  after(minutes(5));
  holds.hold({ image: 'nginx:1.25', minutes: 60, reason: 'longer' });
  after(minutes(30));
  expect(holds.list()).toEqual([
    {
      ...{ imageId: first, image: 'nginx:1.25', since: now, until: now + minutes(65) },
      reason: 'longer',
    },
  ]);
  holds.hold({ image: first, minutes: 1, reason });
  after(minutes(1));
  expect(holds.list()).toEqual([]);
});

it('goes on in the next process, and is released there although the image is gone', async () => {
  const before = open();
  before.hold({ image: 'nginx:1.25', minutes: 10, reason });
  before.close();
  worker.runtime.images = [];
  await worker.detector().detect({ signal });
  const next = open();
  expect(next.of(first)).toMatchObject({ reason });
  expect(next.release('nginx:1.25')).toMatchObject([{ imageId: first }]);
  expect(next.release('nginx:1.25')).toEqual([]);
});

it('one that ended while no process was there ends at the start, with its event', () => {
  const hold = { imageId: first, image: 'nginx:1.25', reason };
  file.setHolds([{ ...hold, since: now - minutes(20), until: now - minutes(10) }]);
  expect(open().list()).toEqual([]);
  expect(worker.published).toMatchObject([{ name: 'ImageReleased', data: { cause: 'time' } }]);
});

it('follows a clock that is set', () => {
  const holds = open();
  holds.hold({ image: first, minutes: 60, reason });
  worker.clock += minutes(60);
  expect(holds.of(first)).toBeUndefined();
  jest.advanceTimersByTime(30_000);
  expect(file.holds).toEqual([]);
});

it('refuses what is not there and what is too long, and keeps no login', () => {
  const holds = open();
  expect(holds.knows('nowhere/none:1')).toBe(false);
  expect(() => holds.hold({ image: 'nowhere/none:1', minutes: 1, reason })).toThrow(
    'image "nowhere/none:1" not found',
  );
  expect(() => holds.hold({ image: first, minutes: 601, reason })).toThrow(/minutes.*maxHold/);
  expect(file.holds).toEqual([]);
});

it('no more than a thousand', () => {
  const held = Array.from({ length: 1000 }, (_, at) => ({
    ...{ imageId: `sha256:${at}`, image: 'x', since: now, until: now + minutes(5), reason },
  }));
  file.setHolds(held);
  const holds = open();
  expect(() => holds.hold({ image: first, minutes: 1, reason })).toThrow(
    'list of held images is full: limit 1000',
  );
  file.setHolds(held.slice(1));
  expect(holds.hold({ image: first, minutes: 1, reason })).toHaveLength(1);
});
