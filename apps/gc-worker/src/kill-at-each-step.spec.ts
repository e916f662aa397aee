import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@stowage/testing';
import { openSqlite } from '@stowage/sqlite';
import { openEventBus, type EventBus } from '@stowage/event-bus';
import { fakeCollections } from './testing/fake-collections';
import { fixedPolicy } from './policy/live-policy';
import { DiskWatch } from './disk/disk-watch';
import type { ImageDetector, ImageDetectorParts } from './detect/detect-images';
import type { Publish, PublishAll } from './publish';
import { ImageRecordStore } from './records/record-store';
import { container, FakeRuntime, FakeWorker, listed, noBreakdowns } from './testing/fake-worker';
import { minutes, policy } from './testing/plan-fixtures';
import type { ListedImage } from './runtime/runtime';

const { signal } = new AbortController();
const quiet = () => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'stowage-gc-steps-'));
});
const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
  rmSync(folder, { recursive: true });
});

/** What SIGKILL leaves at one step: the files as they are, and the runtime, which lives on. */
interface Killed {
  readonly step: string;
  readonly stateDir: string;
  readonly images: readonly ListedImage[];
  readonly usedPercent: number;
}

/** Records and outbox on disk, as the app opens them. */
function open(stateDir: string, now: () => number) {
  const store = ImageRecordStore.open({
    stateDir,
    keep: 'on-disk',
    now: () => new Date(now()),
    log,
  });
  const nats = { servers: ['nats://127.0.0.1:1'] };
  const bus = openEventBus({ stateDir, node: 'node-a', app: 'gc-worker', nats, log });
  store.reconcilePublished(bus.nextSequence());
  const close = () => {
    store.close();
    return bus.close({ drainMs: 0 });
  };
  opened.push(close);
  return { store, bus, close };
}

const batchPublisher =
  (bus: EventBus): PublishAll =>
  (name, events) => {
    bus.publishAll(name, events);
  };

/** The same object, with `around` told before and after each call of a method. */
const watched = <T extends object>(name: string, object: T, around: (step: string) => void): T =>
  new Proxy(object, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const step = `${name}.${String(key)}`;
        around(`before ${step}`);
        const result: unknown = Reflect.apply(value, target, args);
        if (!(result instanceof Promise)) around(`after ${step}`);
        else return result.finally(() => around(`after ${step}`));
        return result;
      };
    },
  });

interface Told {
  readonly sequence: string;
  readonly type: string;
  readonly data: {
    readonly imageId?: string;
    readonly planId?: string;
    readonly reason?: string;
    readonly mark?: string;
  };
}

function eventsIn(stateDir: string): Told[] {
  const db = openSqlite(path.join(stateDir, 'outbox.db'), { readonly: true });
  try {
    return db
      .prepare<[], string>('SELECT message FROM event ORDER BY sequence')
      .pluck()
      .all()
      .map((message) => JSON.parse(message) as Told);
  } finally {
    db.close();
  }
}

interface DiskParts {
  readonly store: ImageRecordStore;
  readonly publish: Publish;
  readonly nextSequence: () => number;
  readonly usedPercent: () => number;
}

/** Watches one file system that is as full as it is told. */
const watchOf = ({ usedPercent, ...parts }: DiskParts, worker: FakeWorker): DiskWatch =>
  new DiskWatch({
    ...parts,
    runtime: new FakeRuntime(),
    measure: () =>
      Promise.resolve({
        device: '1',
        capacityBytes: 1000,
        availableBytes: 1000 - usedPercent() * 10,
        inodes: null,
        inodesFree: null,
      }),
    policy: fixedPolicy(policy()),
    breakdowns: noBreakdowns,
    metrics: worker.metrics.disk,
    health: quiet,
    log,
    hostRoot: '',
    now: worker.now,
  });

it('killed at any step of detection, measurement and collection, the next worker brings records, events and runtime to agree', async () => {
  const worker = new FakeWorker();
  const live = path.join(folder, 'live');
  const { store, bus, close } = open(live, worker.now);
  const runtime = new FakeRuntime();
  runtime.images = ['a', 'b', 'c', 'others', 'used'].map((imageId) => listed(imageId));
  runtime.containers = [container('c1', 'used')];
  const kills: Killed[] = [];
  let usedPercent = 50;
  const kill = (step: string) => {
    const stateDir = path.join(folder, String(kills.length));
    cpSync(live, stateDir, { recursive: true });
    kills.push({ step, stateDir, images: runtime.images, usedPercent });
  };
  const parts = (
    values: Pick<ImageDetectorParts, 'store' | 'runtime' | 'publishAll' | 'nextSequence'>,
  ): Partial<ImageDetectorParts> => ({ ...values, now: worker.now, log });
  const watchedStore = watched('records', store, kill);
  const watchedRuntime = watched('runtime', runtime, kill);
  const publish: Publish = (name, subject, data) => {
    kill(`before ${name}`);
    bus.publish(name, { subject, data });
    kill(`after ${name}`);
  };
  const publishAll: PublishAll = (name, events) => {
    kill(`before ${name}`);
    bus.publishAll(name, events);
    kill(`after ${name}`);
  };
  const nextSequence = () => bus.nextSequence();
  // The first removal is reported while the runtime is at the second, the other two together.
  const remove = runtime.removeImage.bind(runtime);
  runtime.removeImage = async (imageId) => {
    const reported = () => kills.some(({ step }) => step === 'after records.noteRemoved');
    if (imageId === 'b') await eventually(reported, { what: 'the report of the first removal' });
    await remove(imageId);
  };
  const detector: ImageDetector = worker.detector(
    {},
    parts({ store: watchedStore, runtime: watchedRuntime, publishAll, nextSequence }),
  );
  const runner = fakeCollections(worker, {
    runtime: watchedRuntime,
    detector,
    disks: watched(
      'disks',
      { read: () => Promise.resolve([]), imageUse: () => Promise.resolve(undefined) },
      kill,
    ),
    store: watchedStore,
    publish,
    publishAll,
    nextSequence,
    log,
  });
  const disks = watchOf(
    { store: watchedStore, publish, nextSequence, usedPercent: () => usedPercent },
    worker,
  );
  await runner.detect({ signal });
  usedPercent = 99;
  await disks.poll({ signal });
  worker.clock += minutes(10);
  runtime.images = runtime.images.filter(({ imageId }) => imageId !== 'others');
  await runner.detect({ signal });
  const outcome = await runner.run({ bytes: 250 }, { signal });
  expect(outcome.removed.map(({ imageId }) => imageId)).toEqual(['a', 'b', 'c']);
  expect(kills.filter(({ step }) => step === 'after records.noteRemoved')).toHaveLength(2);
  usedPercent = 50;
  await disks.poll({ signal });
  await close();

  const steps = new Set(kills.map(({ step }) => step));
  for (const step of [
    'after records.publishingDetected',
    'before ImageDetected',
    'after ImageDetected',
    'after records.setExceeded',
    'after ThresholdExceeded',
    'after records.publishingRecovered',
    'after ThresholdRecovered',
    'after records.dropExceeded',
    'before records.apply',
    'before records.removalBegins',
    'before runtime.removeImage',
    'after runtime.removeImage',
    'after records.publishingRemoved',
    'before ImageRemoved',
    'after ImageRemoved',
    'after records.noteRemoved',
    'before GarbageCollected',
    'after GarbageCollected',
  ]) {
    expect(steps).toContain(step);
  }

  for (const { step, stateDir, images, usedPercent: percent } of kills) {
    const next = open(stateDir, worker.now);
    const runtimeNow = new FakeRuntime();
    runtimeNow.images = [...images];
    runtimeNow.containers = runtime.containers;
    const again = new FakeWorker().detector(
      {},
      parts({
        store: next.store,
        runtime: runtimeNow,
        publishAll: batchPublisher(next.bus),
        nextSequence: () => next.bus.nextSequence(),
      }),
    );
    const disksAgain = watchOf(
      {
        store: next.store,
        publish: (name, subject, data) => next.bus.publish(name, { subject, data }),
        nextSequence: () => next.bus.nextSequence(),
        usedPercent: () => percent,
      },
      new FakeWorker(),
    );
    await again.detect({ signal });
    await again.detect({ signal });
    await disksAgain.poll({ signal });
    await disksAgain.poll({ signal });
    const exceeded = next.store.exceeded().map(({ level }) => level);
    expect([step, exceeded]).toEqual([step, percent > 90 ? ['high', 'critical'] : []]);
    const present = images.map(({ imageId }) => imageId);
    expect([step, [...next.store.images().keys()].sort()]).toEqual([step, present.sort()]);
    expect([step, next.store.intendedRemovals()]).toEqual([step, []]);
    await next.close();

    const events = eventsIn(stateDir);
    expect(events.map(({ sequence }) => Number(sequence))).toEqual(events.map((_, at) => at + 1));
    const removals = events.filter(({ type }) => type.endsWith('.ImageRemoved'));
    const told = removals.map(({ data }) => `${data.imageId} ${data.reason}`);
    const gone = ['a', 'b', 'c', 'others', 'used'].filter((imageId) => !present.includes(imageId));
    expect([step, told.sort()]).toEqual([
      step,
      gone.map((imageId) => `${imageId} ${imageId === 'others' ? 'vanished' : 'request'}`),
    ]);
    for (const { data } of removals) {
      expect(data.planId).toBe(data.reason === 'request' ? outcome.planId : undefined);
    }
    const detected = events.filter(({ type }) => type.endsWith('.ImageDetected'));
    const detectedIds = detected.map(({ data }) => data.imageId).sort();
    expect([step, detectedIds]).toEqual([step, ['a', 'b', 'c', 'others', 'used']]);
    for (const level of ['high', 'critical']) {
      const crossings = events
        .filter(({ type, data }) => type.includes('.Threshold') && data.mark === level)
        .map(({ type }) => type.split('.').at(-1));
      const isExceeded = crossings.at(-1) === 'ThresholdExceeded';
      expect([step, level, isExceeded]).toEqual([step, level, percent > 90]);
      const alternating = ['ThresholdExceeded', 'ThresholdRecovered'].slice(0, crossings.length);
      expect([step, level, crossings]).toEqual([step, level, alternating]);
    }
  }
}, 60_000);
