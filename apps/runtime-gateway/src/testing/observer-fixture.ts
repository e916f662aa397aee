import type { ObservedCall } from '@stowage/cri-endpoint';
import {
  ContainerState,
  ContainerStatus,
  CreateContainerRequest,
  CreateContainerResponse,
  RemoveContainerRequest,
  RemoveContainerResponse,
  RemovePodSandboxRequest,
  RemovePodSandboxResponse,
  RunPodSandboxRequest,
  RunPodSandboxResponse,
  StartContainerRequest,
  StartContainerResponse,
  StopContainerRequest,
  StopContainerResponse,
  StopPodSandboxRequest,
  StopPodSandboxResponse,
  UpdateContainerResourcesRequest,
  UpdateContainerResourcesResponse,
  type Container,
  type DeepPartial,
  type PodSandbox,
} from '@stowage/cri-proto';
import { assertEventData, type EventName } from '@stowage/events';
import { CallObserver, type Verb } from '../observe/call-observer';
import { CallsInFlight } from '../observe/calls-in-flight';
import { KeyedQueue } from '@stowage/async';
import { Lifecycle, type Publish } from '../observe/lifecycle';
import { KnownObjects } from '../objects/known-objects';
import type { KnownContainer, KnownSandbox } from '../objects/types';
import type { ObserverContext } from '../observe/observer-context';
import { UncorrelatedChanges } from '../observe/uncorrelated-changes';

/** Now, in every unit test: 2026-11-20T22:14:10.000Z. */
export const nowMs = Date.UTC(2026, 10, 20, 22, 14, 10);
export const nanoseconds = (ms: number): bigint => BigInt(ms) * 1_000_000n;
export const isoTime = (ms: number): string => new Date(ms).toISOString();

export const pod = { namespace: 'shop', name: 'cart-0', uid: 'uid-0' };
export const imageId = `sha256:${'2b'.repeat(32)}`;
export const sandboxId = 'a'.repeat(64);
export const containerId = 'c'.repeat(64);

export interface PublishedEvent {
  readonly name: EventName;
  readonly subject: string;
  readonly data: unknown;
  readonly time?: Date;
}

/** A runtime as far as lookups see it: tests change the maps. */
class FakeFacts {
  readonly statuses = new Map<string, ContainerStatus>();
  readonly containers: Container[] = [];
  readonly sandboxes: PodSandbox[] = [];
  readonly asked: string[] = [];
  failure: Error | undefined;
  /** Holds answers back until it resolves. */
  gate: Promise<void> = Promise.resolve();

  async containerStatus(id: string): Promise<ContainerStatus | undefined> {
    await this.#answer(`ContainerStatus ${id.slice(0, 4)}`);
    return this.statuses.get(id);
  }

  async stoppedStatus(id: string): Promise<ContainerStatus | undefined> {
    return this.containerStatus(id);
  }

  async container(id: string): Promise<Container | undefined> {
    await this.#answer(`ListContainers ${id.slice(0, 4)}`);
    return this.containers.find((container) => container.id.startsWith(id));
  }

  async sandbox(id: string): Promise<PodSandbox | undefined> {
    await this.#answer(`ListPodSandbox ${id.slice(0, 4)}`);
    return this.sandboxes.find((sandbox) => sandbox.id.startsWith(id));
  }

  exited(id: string, exit: DeepPartial<ContainerStatus> = {}): void {
    this.statuses.set(
      id,
      ContainerStatus.fromPartial({
        id,
        metadata: { name: 'main', attempt: 0 },
        state: ContainerState.CONTAINER_EXITED,
        createdAt: nanoseconds(nowMs - 60_000),
        startedAt: nanoseconds(nowMs - 50_000),
        finishedAt: nanoseconds(nowMs),
        exitCode: 137,
        reason: 'Error',
        image: { image: 'registry.example/team/app:1' },
        imageRef: imageId,
        ...exit,
      }),
    );
  }

  running(id: string): void {
    this.exited(id, {
      state: ContainerState.CONTAINER_RUNNING,
      finishedAt: 0n,
      exitCode: 0,
      reason: '',
    });
  }

  async #answer(question: string): Promise<void> {
    this.asked.push(question);
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
  }
}

export interface FixtureOptions {
  readonly sandboxes?: readonly KnownSandbox[];
  readonly containers?: readonly KnownContainer[];
  readonly max?: number;
  readonly observingSinceMs?: number;
  readonly followingSinceMs?: number;
  readonly attributionWaitMs?: number;
}

/**
 * The observer without sockets: what is published stands in `events`, checked against its schema.
 */
export class ObserverFixture {
  readonly events: PublishedEvent[] = [];
  readonly failures: string[] = [];
  readonly logged: object[] = [];
  readonly facts = new FakeFacts();
  readonly objects: KnownObjects;
  readonly inFlight = new CallsInFlight<Verb>();
  readonly queue = new KeyedQueue();
  readonly lifecycle: Lifecycle;
  readonly context: ObserverContext;
  readonly calls: CallObserver;
  readonly changes: UncorrelatedChanges;
  relistsScheduled = 0;
  /** The time of the clock, milliseconds since the epoch. */
  nowMs = nowMs;

  constructor(options: FixtureOptions = {}) {
    const { sandboxes, containers, max = 1000 } = options;
    const { observingSinceMs = nowMs - 3_600_000, attributionWaitMs = 50 } = options;
    this.objects = new KnownObjects({ max, sandboxes, containers });
    const publish: Publish = (name, event) => {
      assertEventData(name, event.data);
      this.events.push({ name, ...event });
    };
    this.lifecycle = new Lifecycle({
      objects: this.objects,
      publish,
      now: () => this.nowMs,
      observing: { ms: observingSinceMs },
      onUnpublished: (event, _subject, reason) => this.failures.push(`${event}: ${reason}`),
    });
    this.context = {
      objects: this.objects,
      lifecycle: this.lifecycle,
      lookUp: this.facts,
      queue: this.queue,
      log: { debug: (fields, message) => this.logged.push({ ...fields, message }) },
      scheduleRelist: (error) => {
        this.relistsScheduled++;
        if (error !== undefined) this.failures.push(`lookup: ${(error as Error).message}`);
      },
    };
    this.calls = new CallObserver({
      context: this.context,
      inFlight: this.inFlight,
      onFailure: (verb, error) => this.failures.push(`${verb}: ${(error as Error).message}`),
    });
    this.changes = new UncorrelatedChanges({
      context: this.context,
      inFlight: this.inFlight,
      observing: { ms: observingSinceMs },
      followingSinceMs: options.followingSinceMs ?? observingSinceMs,
      attributionWaitMs,
    });
  }

  /** Names and subjects, in order. */
  get published(): string[] {
    return this.events.map(
      ({ name, subject, data }) =>
        `${name} ${subject.slice(0, 4)} ${(data as { observedBy: string }).observedBy}`,
    );
  }

  /** One call from its start to the end of what the observer makes of it. */
  async observe(call: ObservedCall): Promise<void> {
    this.calls.started(call.method);
    this.calls.ended(call);
    await this.calls.settled();
  }
}

export const knownSandbox = (more: Partial<KnownSandbox> = {}): KnownSandbox => ({
  id: sandboxId,
  phase: 'ready',
  pod,
  attempt: 0,
  ...more,
});

export const knownContainer = (more: Partial<KnownContainer> = {}): KnownContainer => ({
  id: containerId,
  phase: 'running',
  podSandboxId: sandboxId,
  pod,
  name: 'main',
  attempt: 0,
  image: { reference: imageId, imageId },
  ...more,
});

interface Message<T> {
  encode(message: T): { finish(): Uint8Array };
  fromPartial(partial: DeepPartial<T>): T;
}

const bytes = <T>(message: Message<T>, partial: DeepPartial<T>): Uint8Array =>
  message.encode(message.fromPartial(partial)).finish();

const messages = {
  RunPodSandbox: [RunPodSandboxRequest, RunPodSandboxResponse],
  StopPodSandbox: [StopPodSandboxRequest, StopPodSandboxResponse],
  RemovePodSandbox: [RemovePodSandboxRequest, RemovePodSandboxResponse],
  CreateContainer: [CreateContainerRequest, CreateContainerResponse],
  StartContainer: [StartContainerRequest, StartContainerResponse],
  StopContainer: [StopContainerRequest, StopContainerResponse],
  RemoveContainer: [RemoveContainerRequest, RemoveContainerResponse],
  UpdateContainerResources: [UpdateContainerResourcesRequest, UpdateContainerResourcesResponse],
} as const satisfies Record<Verb, readonly [unknown, unknown]>;

type RequestOf<V extends Verb> = ReturnType<(typeof messages)[V][0]['fromPartial']>;
type ResponseOf<V extends Verb> = ReturnType<(typeof messages)[V][1]['fromPartial']>;

/** A call as the endpoint reports it: started 400 ms ago, ended now, OK unless said otherwise. */
export function observedCall<V extends Verb>(
  verb: V,
  request: DeepPartial<RequestOf<V>>,
  response: DeepPartial<ResponseOf<V>> = {} as DeepPartial<ResponseOf<V>>,
  more: Partial<ObservedCall> = {},
): ObservedCall {
  const [requestType, responseType] = messages[verb] as unknown as [
    Message<RequestOf<V>>,
    Message<ResponseOf<V>>,
  ];
  return {
    method: `/runtime.v1.RuntimeService/${verb}`,
    outcome: 'completed',
    request: bytes(requestType, request),
    response: bytes(responseType, response),
    grpcStatus: 0,
    startedAt: nowMs - 400,
    durationMs: 400.4,
    ...more,
  };
}

export const sandboxConfig = {
  metadata: { ...pod, attempt: 0 },
  hostname: 'cart-0',
  labels: { app: 'cart' },
};
