import type { MessageObserver, ObservedCall } from '@stowage/cri-endpoint';
import { StopContainerRequest, StopPodSandboxRequest } from '@stowage/cri-proto';
import { methodPaths } from '@stowage/cri-proto/paths';
import { grpcStatusCode, ResourceExhaustedError } from '@stowage/errors';
import type { CallsInFlight } from './calls-in-flight';
import type { EndedCall, ObserverContext, OnCall } from './observer-context';
import { onContainerCreation } from './on-container-creation';
import { onCreateContainer } from './on-create-container';
import { onRemoveContainer } from './on-remove-container';
import { onRemovePodSandbox } from './on-remove-pod-sandbox';
import { onRunPodSandbox } from './on-run-pod-sandbox';
import { onStartContainer } from './on-start-container';
import { onStopContainer } from './on-stop-container';
import { onStopPodSandbox } from './on-stop-pod-sandbox';
import { onUpdateContainerResources } from './on-update-container-resources';

const handlers = {
  RunPodSandbox: onRunPodSandbox,
  StopPodSandbox: onStopPodSandbox,
  RemovePodSandbox: onRemovePodSandbox,
  CreateContainer: onCreateContainer,
  StartContainer: onStartContainer,
  StopContainer: onStopContainer,
  RemoveContainer: onRemoveContainer,
  UpdateContainerResources: onUpdateContainerResources,
} as const satisfies Record<string, OnCall>;

/** A call that is observed. */
export type Verb = keyof typeof handlers;

const verbs = Object.keys(handlers) as readonly Verb[];

/** Both versions of the CRI are one on the wire. */
const verbOfPath: ReadonlyMap<string, Verb> = new Map(
  verbs.flatMap((verb) => methodPaths('RuntimeService', verb).map((path) => [path, verb])),
);

/** Whether a call of this path is one that changes something. */
export const isObserved = (path: string): boolean => verbOfPath.has(path);

/** Observed calls that may wait; what more of them did is found by a listing. */
const maxPending = 10_000;

/** A call succeeded and its messages could not be read along. */
class CallUnreadableError extends Error {
  override readonly name = 'CallUnreadableError';
}

export interface CallObserverOptions {
  readonly context: ObserverContext;
  readonly inFlight: CallsInFlight<Verb>;
  /** Counted and logged; the call is not touched. */
  readonly onFailure: (verb: Verb, error: unknown) => void;
}

/** Follows the calls that change something, and hands each that succeeded to its verb. */
export class CallObserver implements MessageObserver {
  readonly #running = new Set<Promise<void>>();

  constructor(private readonly options: CallObserverOptions) {}

  observes(method: string): boolean {
    return isObserved(method);
  }

  started(method: string): void {
    const verb = verbOfPath.get(method);
    if (verb !== undefined) this.options.inFlight.started(verb);
  }

  /** The request of a call is there and on its way to the runtime. */
  requested(method: string, request: Uint8Array): void {
    if (verbOfPath.get(method) !== 'CreateContainer') return;
    try {
      onContainerCreation(request, this.options.context);
    } catch (error) {
      this.options.onFailure('CreateContainer', error);
    }
  }

  ended(call: ObservedCall): void {
    const verb = verbOfPath.get(call.method);
    if (verb === undefined) return;
    const running: Promise<void> = this.#handle(verb, call)
      .catch((error: unknown) => {
        this.options.onFailure(verb, error);
        this.options.context.scheduleRelist(undefined);
      })
      .finally(() => {
        this.#running.delete(running);
        this.options.inFlight.ended(verb);
      });
    this.#running.add(running);
  }

  /** Resolves when everything that calls have shown so far is published. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #handle(verb: Verb, call: ObservedCall): Promise<void> {
    const { context } = this.options;
    if (call.grpcStatus !== 0) {
      this.#stopFailed(verb, call);
      if (call.outcome === 'unobserved') context.scheduleRelist(undefined);
      return;
    }
    if (call.request === undefined || call.response === undefined) {
      throw new CallUnreadableError(`messages of ${verb} could not be read along`);
    }
    if (this.#running.size >= maxPending) {
      throw new ResourceExhaustedError('queue of observed calls', maxPending);
    }
    const ended: EndedCall = {
      request: call.request,
      response: call.response,
      startedAtMs: call.startedAt,
      endedAtMs: Math.round(call.startedAt + call.durationMs),
      durationMs: call.durationMs,
    };
    await handlers[verb](ended, context);
  }

  /**
   * A stop that ran out of time, or whose end another process sees, may still have its effect: the
   * exit is then one that was asked for.
   */
  #stopFailed(verb: Verb, { request, grpcStatus, startedAt }: ObservedCall): void {
    if (request === undefined || grpcStatus === grpcStatusCode.NOT_FOUND) return;
    const { objects, lifecycle } = this.options.context;
    if (verb === 'StopContainer') {
      const { containerId } = StopContainerRequest.decode(request);
      lifecycle.stopAsked(objects.fullContainerId(containerId), startedAt);
    }
    if (verb === 'StopPodSandbox') {
      const { podSandboxId } = StopPodSandboxRequest.decode(request);
      for (const { id, phase } of objects.containersOf(objects.fullSandboxId(podSandboxId))) {
        if (phase === 'running') lifecycle.stopAsked(id, startedAt);
      }
    }
  }
}
