import { FakeWorker } from '../testing/fake-worker';
import { memoryControlFile } from '../testing/fake-collections';
import { minutes, now } from '../testing/plan-fixtures';
import { CollectionPause } from './collection-pause';

let worker: FakeWorker;
let file: ReturnType<typeof memoryControlFile>;
let changes: number;
let ends: number;

beforeEach(() => {
  jest.useFakeTimers();
  worker = new FakeWorker();
  file = memoryControlFile();
  [changes, ends] = [0, 0];
});
afterEach(() => jest.useRealTimers());

/** The pause of a process that starts now. */
function open(): CollectionPause {
  const pause = new CollectionPause({
    ...{ file, publish: worker.publish, metrics: worker.metrics.control, log: worker.log },
    subject: '/nodes/node-1/gc-worker',
    changed: () => (changes += 1),
    now: worker.now,
  });
  pause.onEnd(() => (ends += 1));
  return pause;
}
const after = (ms: number) => {
  worker.clock += ms;
  jest.advanceTimersByTime(ms);
};
const gauge = async () =>
  (await worker.registry.getSingleMetricAsString('stowage_gc_paused')).split('\n').at(-1);
const times = { since: '2026-11-20T12:00:00.000Z', until: '2026-11-20T12:10:00.000Z' };
const reason = 'looking into a disk';

it('begins with an event, cuts off what runs, and ends by itself', async () => {
  const pause = open();
  const { begins } = pause;
  expect(pause.current()).toBeUndefined();
  pause.pause({ minutes: 10, reason });
  expect(pause.current()).toEqual({ since: now, until: now + minutes(10), reason });
  expect(begins.aborted).toBe(true);
  expect(begins.reason).toMatchObject({
    message: `collection is paused until ${times.until}: ${reason}`,
  });
  expect(await gauge()).toBe('stowage_gc_paused 1');
  after(minutes(10) - 1);
  expect(worker.published).toEqual([
    { name: 'CollectionPaused', subject: '/nodes/node-1/gc-worker', data: { ...times, reason } },
  ]);
  expect(ends).toBe(0);
  after(1);
  expect(pause.current()).toBeUndefined();
  expect(pause.begins.aborted).toBe(false);
  expect(ends).toBe(1);
  expect(await gauge()).toBe('stowage_gc_paused 0');
  expect(worker.published.slice(1)).toEqual([
    {
      name: 'CollectionResumed',
      subject: '/nodes/node-1/gc-worker',
      data: { pausedSince: times.since, pausedUntil: times.until, reason, cause: 'time' },
    },
  ]);
  expect(changes).toBe(2);
});

it('is ended by a command, once', () => {
  const pause = open();
  expect(pause.resume()).toBeUndefined();
  pause.pause({ minutes: 10, reason });
  expect(pause.resume()).toMatchObject({ reason });
  expect(pause.resume()).toBeUndefined();
  after(minutes(20));
  expect(worker.published.map(({ name, data }) => [name, data.cause])).toEqual([
    ['CollectionPaused', undefined],
    ['CollectionResumed', 'command'],
  ]);
});

it('gets another end when asked again, and keeps its beginning', () => {
  const pause = open();
  pause.pause({ minutes: 10, reason });
  after(minutes(5));
  pause.pause({ minutes: 60, reason: 'longer' });
  after(minutes(30));
  expect(pause.current()).toEqual({ since: now, until: now + minutes(65), reason: 'longer' });
  pause.pause({ minutes: 1, reason: 'nearly done' });
  after(minutes(1));
  expect(pause.current()).toBeUndefined();
});

it('goes on in the next process, and ends there', () => {
  const first = open();
  first.pause({ minutes: 10, reason });
  first.close();
  after(minutes(4));
  const second = open();
  expect(second.begins.aborted).toBe(true);
  expect(second.current()).toMatchObject({ reason });
  after(minutes(6));
  expect(second.current()).toBeUndefined();
  expect(worker.takeEvents()).toHaveLength(2);
});

it('that ended while no process was there ends at the start, with its event', () => {
  open().close();
  file.setPause({ since: now - minutes(20), until: now - minutes(10), reason });
  const pause = open();
  expect(pause.current()).toBeUndefined();
  expect(pause.begins.aborted).toBe(false);
  expect(worker.published).toMatchObject([{ name: 'CollectionResumed', data: { cause: 'time' } }]);
});

it('follows a clock that is set', () => {
  const pause = open();
  pause.pause({ minutes: 60, reason });
  worker.clock += minutes(60);
  jest.advanceTimersByTime(30_000);
  expect(pause.current()).toBeUndefined();
});
