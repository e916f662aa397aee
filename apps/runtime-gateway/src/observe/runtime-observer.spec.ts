import { pause } from '@stowage/async';
import type { RuntimeAvailability, RuntimeServiceClient } from '@stowage/cri-client';
import {
  ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  PodSandboxState,
} from '@stowage/cri-proto';
import { eventually } from '@stowage/testing';
import type { KnownContainer, KnownSandbox } from '../objects/types';
import {
  containerId,
  imageId,
  knownContainer,
  knownSandbox,
  nanoseconds,
  nowMs,
  pod,
  sandboxId,
} from '../testing/observer-fixture';
import { RuntimeObserver } from './runtime-observer';

/** A container of a pod has ended. */
const exited = ContainerEventResponse.fromPartial({
  containerId,
  containerEventType: ContainerEventType.CONTAINER_STOPPED_EVENT,
  createdAt: nanoseconds(nowMs),
  podSandboxStatus: {
    id: sandboxId,
    metadata: pod,
    state: PodSandboxState.SANDBOX_READY,
    createdAt: nanoseconds(nowMs - 60_000),
  },
  containersStatuses: [
    {
      id: containerId,
      metadata: { name: 'main' },
      state: ContainerState.CONTAINER_EXITED,
      createdAt: nanoseconds(nowMs - 60_000),
      startedAt: nanoseconds(nowMs - 50_000),
      finishedAt: nanoseconds(nowMs - 5),
      exitCode: 1,
      image: { image: imageId },
      imageRef: imageId,
    },
  ],
});

/** An observer of a runtime that shows events and is never done with its lists. */
class Observed {
  readonly published: string[] = [];
  /** Timestamps that were written. */
  readonly noted: [name: string, atMs: number | undefined][] = [];
  readonly observer: RuntimeObserver;
  /** The time of the clock. */
  nowMs = nowMs;
  /** How often the runtime was asked who it is; it answers the first time only. */
  #asked = 0;
  #isAvailable: boolean;
  #notify: (availability: RuntimeAvailability) => void = () => undefined;
  readonly #stop = new AbortController();
  #emit: ((event: ContainerEventResponse) => void) | undefined;

  constructor(
    sinceMs: number,
    known: { sandboxes?: KnownSandbox[]; containers?: KnownContainer[] } = {},
    unavailableSinceMs?: number,
  ) {
    this.nowMs = sinceMs;
    this.#isAvailable = unavailableSinceMs === undefined;
    this.observer = new RuntimeObserver({
      runtime: this.#runtime(),
      publish: (name) => this.published.push(name),
      file: {
        remembered: { sandboxes: [], containers: [], ...known },
        put: () => undefined,
        drop: () => undefined,
        timestamp: (name) => (name === 'observing-since' ? sinceMs : unavailableSinceMs),
        setTimestamp: (name, atMs) => this.noted.push([name, atMs]),
      },
      listener: { failed: () => undefined, listed: () => undefined, streaming: () => undefined },
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
      now: () => this.nowMs,
      signal: this.#stop.signal,
      relistIntervalMs: 3_600_000,
      runtimeEvents: 'always',
      maxKnownContainers: 100,
    });
  }

  async show(event: ContainerEventResponse): Promise<void> {
    await eventually(() => this.#emit !== undefined);
    this.#emit?.(event);
  }

  recover(): void {
    this.#isAvailable = true;
    this.#notify(this.#availability());
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await pause(10);
    await this.observer.stop(0);
  }

  #availability(): RuntimeAvailability {
    return { available: this.#isAvailable, since: new Date(nowMs), connections: 1 };
  }

  #runtime(): RuntimeServiceClient {
    const over = new Promise<never>((_resolve, reject) => {
      this.#stop.signal.addEventListener('abort', () => reject(new Error('aborted')));
    });
    over.catch(() => undefined);
    const next = () =>
      new Promise<ContainerEventResponse>((resolve) => {
        this.#emit = resolve;
      });
    const runtime = {
      endpoint: 'unix:///run/fake.sock',
      availability: () => this.#availability(),
      onAvailability: (listener: (availability: RuntimeAvailability) => void) => {
        this.#notify = listener;
        return () => undefined;
      },
      whenAvailable: () => Promise.resolve(),
      version: (_request: object, { signal }: { signal?: AbortSignal } = {}) => {
        this.#asked += 1;
        if (this.#asked === 1) {
          return Promise.resolve({ runtimeName: 'another', runtimeVersion: '1' });
        }
        return new Promise((_resolve, reject) => {
          const fail = () => reject(new Error('no answer'));
          signal?.addEventListener('abort', fail);
          setTimeout(fail, 100);
        });
      },
      listContainers: () => over,
      async *getContainerEvents() {
        for (;;) yield await Promise.race([next(), over]);
      },
    };
    return runtime as unknown as RuntimeServiceClient;
  }
}

let observed: Observed;

afterEach(() => observed.end());

it('nothing that the event stream has shown is published after the end', async () => {
  observed = new Observed(nowMs - 3_600_000);
  observed.nowMs = nowMs;
  // Calls in flight, of which what it shows may be the effect.
  for (const verb of ['RunPodSandbox', 'StopContainer']) {
    observed.observer.calls.started(`/runtime.v1.RuntimeService/${verb}`);
  }
  observed.observer.start();
  await observed.show(exited);
  await pause(20);
  expect(observed.published).toEqual([]);
  await observed.end();
  const atTheEnd = [...observed.published];
  await pause(50);
  expect(observed.published).toEqual(atTheEnd);
  expect(atTheEnd).toContain('ContainerStopped');
});

it('what happens after the clock was set back is no history', async () => {
  observed = new Observed(nowMs + 7_200_000, {
    sandboxes: [knownSandbox()],
    containers: [knownContainer()],
  });
  observed.observer.start();
  observed.nowMs = nowMs + 5;
  await observed.show(exited);
  await eventually(() => observed.published.length > 0, { what: 'the exit' });
  expect(observed.published).toEqual(['ContainerStopped']);
});

it('the end of an outage is published and noted before the end, whether or not the runtime says who it is', async () => {
  observed = new Observed(nowMs - 3_600_000, {}, nowMs - 5000);
  observed.nowMs = nowMs;
  observed.observer.start();
  await pause(20);
  observed.recover();
  await observed.end();
  expect(observed.published).toEqual(['RuntimeRecovered']);
  expect(observed.noted.at(-1)).toEqual(['unavailable-since', undefined]);
});
