import { RuntimeUnavailableError } from '@stowage/errors';
import { policy } from './testing/plan-fixtures';
import { Worker, type WorkerParts } from './worker';

type Listener = (availability: { connections: number }) => void;

let stop: AbortController;
let listeners: Listener[];
let imagesChanged: () => void;
let detections: number;
let failure: Error | undefined;
let lookAgainInMs: number | undefined;
let states: Record<string, { state: string; reason?: string }>;
let lines: string[];
let collections: string[];
let collecting: Promise<void>;
let hasCollected: boolean;
/** What the next measurements find; later ones find nothing. */
let polls: { crossed: string[]; overHigh: boolean }[];
let detecting: Promise<void>;

const nothing = () => undefined;

/** A worker of which only the detection does something. */
function worker(): Worker {
  const line = (_: object, text: string) => lines.push(text);
  const parts = {
    config: {
      imageListIntervalMs: 1e9,
      detectionIntervalMs: 300_000,
      collectionIntervalMs: 1e9,
      diskCheckIntervalMs: 1e9,
      collectionRetryMs: 1e9,
    },
    policy: { current: policy(), onChange: nothing },
    detect: () => {
      detections += 1;
      return failure === undefined ? detecting : Promise.reject(failure);
    },
    detector: { lookAgainInMs: () => lookAgainInMs },
    runner: {
      collectIfDue: (cause: string) => {
        collections.push(cause);
        return collecting.then(() => hasCollected);
      },
    },
    collectionHealth: { measured: nothing },
    pause: { onEnd: nothing, measured: nothing },
    disks: {
      forgetMountpoints: nothing,
      poll: () => Promise.resolve(polls.shift() ?? { crossed: [], overHigh: false }),
    },
    store: { retry: nothing, close: nothing },
    imageList: { refresh: () => Promise.resolve(false) },
    events: {
      subscribe: (_: unknown, changed: () => void) => {
        imagesChanged = changed;
      },
    },
    bus: {
      onConnected: (listener: (connection: object) => void) => {
        listener({});
        return nothing;
      },
      close: () => Promise.resolve(),
    },
    runtimes: [
      {
        availability: () => ({ connections: 0 }),
        onAvailability: (listener: Listener) => {
          listeners.push(listener);
          return nothing;
        },
        close: nothing,
      },
    ],
    health: {
      report: (name: string, state: { state: string }) => {
        states[name] = state;
      },
    },
    log: { info: line, warn: line, debug: nothing },
    signal: stop.signal,
    now: () => Date.now(),
  };
  return new Worker(parts as unknown as WorkerParts);
}

beforeEach(() => {
  jest.useFakeTimers();
  stop = new AbortController();
  [collections, polls, hasCollected] = [[], [], true];
  collecting = detecting = Promise.resolve();
  [listeners, detections, failure, lookAgainInMs, states, lines] = [
    [],
    0,
    undefined,
    undefined,
    {},
    [],
  ];
});
afterEach(() => {
  stop.abort();
  jest.useRealTimers();
});

const seconds = (count: number) => jest.advanceTimersByTimeAsync(count * 1000);

describe('detections', () => {
  it('that events ask for come once a second at most, however many events there are', async () => {
    worker().onApplicationBootstrap();
    await seconds(0);
    expect(detections).toBe(1);
    for (let at = 0; at < 100; at += 1) {
      imagesChanged();
      await seconds(0.1);
    }
    expect(detections).toBeGreaterThan(9);
    expect(detections).toBeLessThanOrEqual(11);
  });

  it('come sooner while containers are missing', async () => {
    lookAgainInMs = 5000;
    worker().onApplicationBootstrap();
    await seconds(0);
    await seconds(5);
    expect(detections).toBe(2);
    lookAgainInMs = undefined;
    await seconds(5);
    expect(detections).toBe(3);
    await seconds(60);
    expect(detections).toBe(3);
  });

  it('that fail while the runtime is away or starts are no failure; later they are', async () => {
    worker().onApplicationBootstrap();
    await seconds(60);
    failure = new RuntimeUnavailableError('unix:///run/x.sock', new Date(), 'ENOENT');
    imagesChanged();
    await seconds(0);
    expect(lines).toEqual(['detection waits for the runtime']);
    failure = new Error('server is not initialized yet');
    for (const listener of listeners) listener({ connections: 1 });
    await seconds(10);
    expect(new Set(lines)).toEqual(new Set(['detection waits for the runtime']));
    expect(states.detection).toEqual({ state: 'ok' });
    await seconds(30);
    expect(lines.at(-1)).toBe('detection failed');
    expect(states.detection).toEqual({
      state: 'degraded',
      reason: 'server is not initialized yet',
    });
    failure = undefined;
    await seconds(5);
    expect(states.detection).toEqual({ state: 'ok' });
  });
});

it('a detection that fails in the same way again is logged once a minute', async () => {
  failure = new RuntimeUnavailableError('unix:///run/x.sock', new Date(), 'ENOENT');
  worker().onApplicationBootstrap();
  await seconds(59);
  expect(detections).toBeGreaterThan(10);
  expect(lines).toEqual(['detection waits for the runtime']);
  await seconds(5);
  expect(lines).toHaveLength(2);
  failure = undefined;
  await seconds(5);
  failure = new RuntimeUnavailableError('unix:///run/x.sock', new Date(), 'ENOENT');
  imagesChanged();
  await seconds(1);
  expect(lines).toHaveLength(3);
});

describe('collections', () => {
  const over = { crossed: [], overHigh: true };
  const crossing = { crossed: ['/images'], overHigh: true };

  it.each([
    ['below every threshold', { crossed: [], overHigh: false }, 'period'],
    ['where a threshold comes to be exceeded', crossing, 'mark-crossed'],
    ['where one was exceeded before', over, 'period'],
  ])('start with one check, %s', async (_, poll, cause) => {
    polls = [poll, over];
    worker().onApplicationBootstrap();
    await seconds(10);
    expect(collections).toEqual([cause]);
  });

  it('wait at the start for the first detection and measurement, the detection for 5 s at most', async () => {
    detecting = new Promise(() => undefined);
    polls = [crossing];
    worker().onApplicationBootstrap();
    await seconds(4.9);
    expect([polls.length, collections]).toEqual([1, []]);
    await seconds(0.2);
    expect([polls.length, collections]).toEqual([0, ['mark-crossed']]);
  });

  it.each([
    ['not once more by the end of one that collected', true, ['period']],
    ['once more where that one found nothing to do', false, ['period', 'mark-crossed']],
  ])('by a threshold that is crossed during another: %s', async (_, collected, causes) => {
    let end: () => void = () => undefined;
    collecting = new Promise((resolve) => (end = resolve));
    hasCollected = collected;
    worker().onApplicationBootstrap();
    await seconds(1);
    polls = [crossing];
    for (const listener of listeners) listener({ connections: 1 });
    await seconds(1);
    expect(polls).toEqual([]);
    end();
    await seconds(1);
    expect(collections).toEqual(causes);
  });
});
