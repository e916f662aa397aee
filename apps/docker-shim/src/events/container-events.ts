import { pause } from '@stowage/async';
import {
  ContainerEventType,
  PodSandboxState,
  PodSandboxStatus,
  type ContainerEventResponse,
  type ContainerStatus,
  type GetEventsRequest,
  type PodSandbox,
} from '@stowage/cri-proto';
import { ResourceExhaustedError, StowageError } from '@stowage/errors';
import { setMaxListeners } from 'node:events';
import type { EngineEvents } from './engine-events';
import type { ContainerChange } from './known-containers';
import { Subscription } from './subscription';

/** A pod as it is now. */
export interface PodStatus {
  readonly sandbox: PodSandboxStatus;
  readonly containers: readonly ContainerStatus[];
}

export interface ContainerEventsOptions {
  readonly events: Pick<EngineEvents, 'onContainerEvent'>;
  /**
   * Status of a sandbox and of its containers; throws an error with NOT_FOUND when there is none of
   * that id, with UNAVAILABLE while the engine is away.
   */
  readonly podStatus: (sandboxId: string, signal: AbortSignal) => Promise<PodStatus>;
  /** Notified of what metrics show. */
  readonly listener: { subscriberDropped(): void };
}

/** The call of a subscriber. */
interface StreamCall {
  readonly signal: AbortSignal;
  /** Ends the call with the status of an error. */
  readonly fail: (error: unknown) => void;
}

/** Events that may wait for a subscriber; then its call ends. */
const queueLimit = 1000;
/** Pauses before a status is asked for again, milliseconds; the last one repeats. */
const retryPausesMs = [100, 500, 2000, 5000];

const eventTypes = {
  create: ContainerEventType.CONTAINER_CREATED_EVENT,
  start: ContainerEventType.CONTAINER_STARTED_EVENT,
  die: ContainerEventType.CONTAINER_STOPPED_EVENT,
  destroy: ContainerEventType.CONTAINER_DELETED_EVENT,
} as const;

/**
 * GetContainerEvents: changes of containers and sandboxes with the status of the pod. Changes of a
 * pod that come together share one status, so that no burst of them makes a burst of questions to
 * the engine. While the engine is away the streams stay open, and nothing is lost.
 */
export class ContainerEvents {
  readonly #subscribers = new Map<Subscription<ContainerEventResponse>, StreamCall>();
  /** By sandbox: changes that wait for the status of their pod. */
  readonly #waiting = new Map<string, ContainerChange[]>();
  /** By sandbox, for the event of its end. */
  readonly #lastStatus = new Map<string, PodSandboxStatus>();
  readonly #stop = new AbortController();
  readonly #unsubscribe: () => void;

  constructor(private readonly options: ContainerEventsOptions) {
    // Statuses of many pods may be under way.
    setMaxListeners(0, this.#stop.signal);
    this.#unsubscribe = options.events.onContainerEvent((change) => this.#changed(change));
  }

  close(): void {
    this.#unsubscribe();
    this.#stop.abort();
    for (const subscription of this.#subscribers.keys()) subscription.close();
    this.#subscribers.clear();
  }

  /** Every event from now on, for any number of subscribers. */
  getContainerEvents(
    _request: GetEventsRequest,
    call: StreamCall,
  ): AsyncIterable<ContainerEventResponse> {
    const subscription = new Subscription<ContainerEventResponse>(queueLimit);
    const end = () => this.#end(subscription);
    if (call.signal.aborted || this.#stop.signal.aborted) subscription.close();
    else {
      this.#subscribers.set(subscription, call);
      call.signal.addEventListener('abort', end, { once: true });
    }
    return subscription;
  }

  #end(subscription: Subscription<ContainerEventResponse>): void {
    this.#subscribers.delete(subscription);
    subscription.close();
    if (this.#subscribers.size === 0) this.#lastStatus.clear();
  }

  #changed(change: ContainerChange): void {
    if (change.kind === 'oom' || this.#subscribers.size === 0) return;
    const waiting = this.#waiting.get(change.sandboxId);
    if (waiting !== undefined) {
      waiting.push(change);
      return;
    }
    this.#waiting.set(change.sandboxId, [change]);
    void this.#publish(change.sandboxId);
  }

  /** Sends what waits for the status of a pod, until nothing does. */
  async #publish(sandboxId: string): Promise<void> {
    // What comes in the same turn shares the first status.
    await Promise.resolve();
    for (;;) {
      const changes = this.#waiting.get(sandboxId) ?? [];
      if (changes.length === 0 || this.#subscribers.size === 0) break;
      this.#waiting.set(sandboxId, []);
      const status = await this.#status(sandboxId);
      for (const change of changes) this.#send(change, status);
    }
    this.#waiting.delete(sandboxId);
  }

  /** The pod as it is now, unless it is gone or its status cannot be had. */
  async #status(sandboxId: string): Promise<PodStatus | 'gone' | 'unknown'> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted && this.#subscribers.size > 0; failures += 1) {
      try {
        const status = await this.options.podStatus(sandboxId, signal);
        this.#lastStatus.set(sandboxId, status.sandbox);
        return status;
      } catch (error) {
        const code = error instanceof StowageError ? error.grpcStatus : undefined;
        if (code === 'NOT_FOUND') return 'gone';
        // The engine comes back; another failure is one of the pod.
        if (code !== 'UNAVAILABLE' && failures >= 2) return 'unknown';
        const pauseMs = retryPausesMs[Math.min(failures, retryPausesMs.length - 1)] ?? 0;
        await pause(pauseMs, { signal });
      }
    }
    return 'unknown';
  }

  #send(change: ContainerChange, status: PodStatus | 'gone' | 'unknown'): void {
    const { kind, id, sandboxId, atNs } = change;
    if (kind === 'oom') return;
    const isKnown = typeof status !== 'string';
    const event: ContainerEventResponse = {
      containerId: id,
      containerEventType: eventTypes[kind],
      createdAt: atNs,
      podSandboxStatus: isKnown ? status.sandbox : this.#last(change, status),
      containersStatuses: (isKnown ? status.containers : []).filter(
        (container) => kind !== 'destroy' || container.id !== id,
      ),
    };
    if (kind === 'destroy' && id === sandboxId) this.#lastStatus.delete(sandboxId);
    for (const [subscription, call] of [...this.#subscribers]) {
      if (subscription.push(event)) continue;
      this.options.listener.subscriberDropped();
      this.#subscribers.delete(subscription);
      call.fail(new ResourceExhaustedError('the queue of container events', queueLimit));
    }
  }

  /** What was last known of a sandbox that is gone, or of which nothing can be known now. */
  #last(
    { sandboxId, sandbox }: ContainerChange,
    status: 'gone' | 'unknown',
  ): PodSandboxStatus | undefined {
    const last = this.#lastStatus.get(sandboxId) ?? (sandbox && statusOf(sandbox));
    if (last === undefined || status === 'unknown') return last;
    return { ...last, state: PodSandboxState.SANDBOX_NOTREADY };
  }
}

/** As much of a status as a list has. */
const statusOf = ({
  id,
  metadata,
  state,
  createdAt,
  labels,
  annotations,
  runtimeHandler,
}: PodSandbox): PodSandboxStatus =>
  PodSandboxStatus.fromPartial({
    id,
    metadata,
    state,
    createdAt,
    labels,
    annotations,
    runtimeHandler,
  });
