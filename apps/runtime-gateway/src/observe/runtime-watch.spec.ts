import {
  ContainerEventResponse,
  ContainerEventType,
  PodSandboxState,
  type DeepPartial,
} from '@stowage/cri-proto';
import type { RuntimeAvailability } from '@stowage/cri-client';
import { RuntimeWatch } from './runtime-watch';
import {
  containerId,
  knownSandbox,
  nanoseconds,
  nowMs,
  ObserverFixture,
  pod,
  sandboxId,
} from '../testing/observer-fixture';

/** A runtime whose event stream is what `stream` says, and the watch of it. */
class Watched {
  connections = 1;
  asked = 0;
  listings = 0;
  stream: () => AsyncIterable<ContainerEventResponse> = () => this.#open();
  readonly #abort = new AbortController();
  readonly #listeners = new Set<(availability: RuntimeAvailability) => void>();
  #emit: (event: ContainerEventResponse) => void = () => undefined;

  constructor(readonly fixture: ObserverFixture) {
    const watch = new RuntimeWatch({
      runtime: {
        availability: () => this.#availability(),
        onAvailability: (listener) => {
          this.#listeners.add(listener);
          return () => this.#listeners.delete(listener);
        },
        whenAvailable: () => Promise.resolve(),
        getContainerEvents: (_request, options) => {
          this.asked += 1;
          options?.onStarted?.();
          return this.stream();
        },
        version: () =>
          Promise.resolve({
            version: '0.1.0',
            runtimeName: 'another',
            runtimeVersion: '1',
            runtimeApiVersion: 'v1',
          }),
      },
      objects: fixture.objects,
      changes: fixture.changes,
      queue: fixture.queue,
      relist: () => {
        this.listings += 1;
        return Promise.resolve({ sandboxes: 0, containers: 0, differences: 0, left: 0 });
      },
      onAvailability: () => undefined,
      availabilityPublished: () => Promise.resolve(),
      signal: this.#abort.signal,
      observing: { ms: nowMs - 60_000 },
      relistIntervalMs: 3_600_000,
      runtimeEvents: 'auto',
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
    });
    watch.start();
  }

  connectAnew(): void {
    this.connections += 1;
    for (const listener of this.#listeners) listener(this.#availability());
  }

  /** An event of a pod that is ready, of now unless said otherwise. */
  event(event: DeepPartial<ContainerEventResponse>): void {
    this.#emit(
      ContainerEventResponse.fromPartial({
        containerId: sandboxId,
        containerEventType: ContainerEventType.CONTAINER_STARTED_EVENT,
        createdAt: nanoseconds(nowMs),
        podSandboxStatus: {
          id: sandboxId,
          metadata: pod,
          state: PodSandboxState.SANDBOX_READY,
          createdAt: nanoseconds(nowMs - 30_000),
        },
        ...event,
      }),
    );
  }

  end(): void {
    this.#abort.abort();
  }

  #availability(): RuntimeAvailability {
    return {
      available: true,
      since: new Date(nowMs),
      version: 'v1',
      connections: this.connections,
    };
  }

  async *#open(): AsyncGenerator<ContainerEventResponse> {
    while (!this.#abort.signal.aborted) {
      yield await new Promise<ContainerEventResponse>((resolve) => (this.#emit = resolve));
    }
  }
}

async function* ended(): AsyncGenerator<ContainerEventResponse> {
  // Nothing, and OK.
}

let watched: Watched;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance'] });
});

afterEach(() => {
  watched.end();
  jest.useRealTimers();
});

it('a stream that ends at once is asked for with pauses that grow, and anew on another connection', async () => {
  watched = new Watched(new ObserverFixture());
  watched.stream = ended;
  const asked: number[] = [];
  for (const pauseMs of [0, 1000, 2000, 4000, 8000, 16_000]) {
    await jest.advanceTimersByTimeAsync(pauseMs);
    asked.push(watched.asked);
  }
  expect(asked).toEqual([1, 2, 3, 4, 5, 6]);
  watched.connectAnew();
  await jest.advanceTimersByTimeAsync(0);
  expect(watched.asked).toBe(7);
  await jest.advanceTimersByTimeAsync(1000);
  expect(watched.asked).toBe(8);
});

it('events from before the observing are published to nobody and leave nothing behind', async () => {
  const fixture = new ObserverFixture();
  watched = new Watched(fixture);
  await jest.advanceTimersByTimeAsync(0);
  watched.event({ createdAt: nanoseconds(nowMs - 60_001) });
  await jest.advanceTimersByTimeAsync(0);
  expect([fixture.published, fixture.objects.sandboxes()]).toEqual([[], []]);
  watched.event({});
  await jest.advanceTimersByTimeAsync(0);
  expect(fixture.published).toEqual(['PodSandboxStarted aaaa runtime-event']);
});

it.each<{ sentence: string; event: DeepPartial<ContainerEventResponse> }>([
  {
    sentence: 'the end of a sandbox, whose removal the stream may not show',
    event: {
      containerEventType: ContainerEventType.CONTAINER_STOPPED_EVENT,
      podSandboxStatus: { id: sandboxId, metadata: pod, state: PodSandboxState.SANDBOX_NOTREADY },
    },
  },
  {
    sentence: 'an event that does not show what it is about',
    event: { containerId, containerEventType: ContainerEventType.CONTAINER_CREATED_EVENT },
  },
])('the runtime is listed a second after $sentence', async ({ event }) => {
  watched = new Watched(new ObserverFixture({ sandboxes: [knownSandbox()] }));
  await jest.advanceTimersByTimeAsync(5000);
  const { listings } = watched;
  watched.event({});
  await jest.advanceTimersByTimeAsync(5000);
  expect(watched.listings).toBe(listings);
  watched.event(event);
  await jest.advanceTimersByTimeAsync(1000);
  expect(watched.listings).toBe(listings + 1);
});
