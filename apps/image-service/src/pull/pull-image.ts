import { randomUUID } from 'node:crypto';
import { maxReferenceLength } from '@stowage/commands';
import type { PullImageRequest } from '@stowage/cri-proto';
import {
  InvalidArgumentError,
  InvalidImageNameError,
  RuntimeUnavailableError,
} from '@stowage/errors';
import { ImageReferenceError, withoutUserInfo } from '@stowage/image-ref';
import { currentTrace, linkTo, traced, type TraceContext, type TracedCall } from '@stowage/tracing';
import {
  chooseCredentials,
  requestCredential,
  type CredentialChoice,
  type NodeCredentials,
  type PullAuth,
  type PullCredential,
} from '../credentials/credentials';
import { imageNames, type ImageNames } from '../runtime/image-names';
import type { ImageRuntime } from '../runtime/image-runtime';
import type { ShortNames } from '../runtime/short-names';
import { classifyPullError } from './classify-pull-error';
import type {
  FinishedPull,
  Pull,
  PullAnswer,
  Puller,
  PullInProgress,
  PullListener,
  PullOptions,
  PullWaiter,
  TriedCredential,
} from './pull';
import { ImagePullError, pullWithCredentials } from './pull-attempts';
import { PullCoalescer, type Coalesced, type RunCaller, type RunContext } from './pull-coalescer';
import { noPullJournal, type PullJournal, type UnfinishedPull } from './pull-journal';
import { PullQueue } from './pull-queue';
import { PullReports } from './pull-reports';

/** Notices that a pull stands still; `PullProgressWatch` fits. */
export interface ProgressWatch {
  watch(pull: Pull, stalled: (error: Error) => void): () => void;
}

/** What {@link PullImage} works with. */
export interface PullImageParts {
  readonly runtime: ImageRuntime;
  readonly node: NodeCredentials;
  /** Kubelet's hash of a credential that came with a request. */
  readonly hashOf: (auth: PullAuth) => string;
  readonly listener: PullListener;
  /** Absent: no limit but the length of the queue. */
  readonly queue?: PullQueue;
  /** Absent: a pull that stands still goes on. */
  readonly progress?: ProgressWatch;
  /** Absent: a pull that a kill cuts short has no end. */
  readonly journal?: PullJournal;
  /** Whether the runtime takes a short name for one of Docker Hub. Absent: it does. */
  readonly shortNames?: Pick<ShortNames, 'isHub'>;
  readonly newId?: () => string;
}

/** The options of whoever began a pull, and what is common to all who share it. */
type RunOptions = Omit<PullOptions, 'signal' | 'answered'> & RunContext<PullCaller>;

/** Who shares a pull. */
type PullCaller = RunCaller & { readonly waiter: PullWaiter };

/** One pull on its way. */
interface Running {
  readonly pull: Pull;
  readonly request: PullImageRequest;
  readonly trace: TraceContext;
  readonly signal: AbortSignal;
  readonly tried: TriedCredential[];
  readonly callers: ReadonlySet<PullCaller>;
  readonly since: Date;
  /** When the runtime was asked. */
  askedAt?: Date;
  /** When it was handed to the runtime, and before that to the queue; of `performance.now()`. */
  startedAt: number;
}

/** PullImage: reference, credentials, and the runtime's pull, shared by all who want it. */
export class PullImage implements Puller {
  readonly #parts: PullImageParts;
  readonly #queue: PullQueue;
  readonly #newId: () => string;
  readonly #pulls = new PullCoalescer<FinishedPull, PullCaller>();
  readonly #running = new Set<Running>();
  readonly #reports: PullReports;

  constructor(parts: PullImageParts) {
    const { runtime, listener, journal = noPullJournal } = parts;
    this.#parts = parts;
    this.#queue = parts.queue ?? new PullQueue();
    this.#newId = parts.newId ?? randomUUID;
    this.#reports = new PullReports({ runtime, listener, journal });
  }

  /** Pulls that wait or run, in the order in which they were asked for. */
  inProgress(): PullInProgress[] {
    return [...this.#running].map(({ pull, since, askedAt, tried, callers }) => ({
      pull,
      since,
      startedAt: askedAt,
      attempts: tried.filter(({ result }) => result !== 'success').length,
      waiters: [...callers].map(({ waiter }) => waiter),
    }));
  }

  /** Resolves when no pull is left and the ends of all have been published. */
  async settled(): Promise<void> {
    await this.#pulls.settled();
    await this.published();
  }

  /** Resolves when the end of every pull that was answered by now has been published. */
  published(): Promise<void> {
    return this.#reports.published();
  }

  /** See {@link PullReports.reportUnfinished}. */
  reportUnfinished(pulls: readonly UnfinishedPull[], signal: AbortSignal): Promise<void> {
    return this.#reports.reportUnfinished(pulls, signal);
  }

  /**
   * Pulls an image. Throws InvalidImageNameError for a reference that does not parse,
   * RuntimeUnavailableError when the runtime is away, ImagePullError when no credential brings the
   * image, and the signal's reason when the caller gives up.
   */
  async pull(request: PullImageRequest, options: PullOptions): Promise<Coalesced<FinishedPull>> {
    const { node, hashOf, listener } = this.#parts;
    const spec = request.image;
    const pull: Pull = {
      id: this.#newId(),
      requestedReference: withoutUserInfo(spec?.image ?? ''),
      runtimeHandler: spec?.runtimeHandler === '' ? undefined : spec?.runtimeHandler,
      pod: request.sandboxConfig?.metadata,
      holdUntil: options.holdUntil,
      traceparent: options.trace?.traceparent,
    };
    const names = options.names ?? (await this.#names(pull, spec?.image ?? '', options.signal));
    const { reference } = names;
    const credentials =
      options.credentials ??
      chooseCredentials(names.repository, requestCredential(request.auth, hashOf), node, {
        namespace: pull.pod?.namespace,
      });
    const outcome = await this.#pulls.run(
      [reference, runtimeOf(request), credentials.key].join('\n'),
      (context) =>
        this.#run({ ...pull, reference }, request, credentials, { ...options, ...context }),
      { signal: options.signal, answered: options.answered, waiter: waiterOf(pull, options) },
    );
    if (outcome.joined) {
      listener.joined?.();
      linkTo(outcome.value.trace ?? {});
    }
    return outcome;
  }

  /** Parses the reference; a failure is reported before it is thrown. */
  async #names(pull: Pull, image: string, signal: AbortSignal): Promise<ImageNames> {
    const { listener, shortNames } = this.#parts;
    const isHubShort = (await shortNames?.isHub(image, signal)) ?? true;
    try {
      if (image === '') {
        throw new InvalidArgumentError('image.image', image, 'an image reference');
      }
      if (image.length > maxReferenceLength) {
        throw new InvalidImageNameError(
          pull.requestedReference,
          `it has ${image.length} characters; allowed: at most ${maxReferenceLength}`,
        );
      }
      return imageNames(image, isHubShort);
    } catch (cause) {
      const error =
        cause instanceof ImageReferenceError
          ? new InvalidImageNameError(pull.requestedReference, cause.rule, { cause })
          : cause;
      listener.failed?.(pull, {
        error,
        errorClass: 'invalid-reference',
        attempts: 0,
        credentials: [],
        durationMs: 0,
      });
      throw error;
    }
  }

  /** The pull itself, for all who share it. */
  readonly #run = traced(
    'image.pull',
    pullSpan,
    async (
      pull: Pull,
      request: PullImageRequest,
      choice: CredentialChoice,
      { signal, priority, answered, callers, trace: cameWith }: RunOptions,
    ): Promise<FinishedPull> => {
      const trace = currentTrace(cameWith);
      const running: Running = {
        pull: { ...pull, traceparent: trace.traceparent },
        request,
        trace,
        signal,
        tried: [],
        callers,
        since: new Date(),
        startedAt: performance.now(),
      };
      this.#running.add(running);
      try {
        this.#requireRuntime();
        // Before the queue: a credential helper that takes long must not hold up the pulls of
        // others.
        const credentials = await choice.list({ signal });
        const answer = await this.#queue.run(
          ({ waitedMs }) => this.#askRuntime(running, credentials, waitedMs),
          { signal, priority },
        );
        const image = this.#reports.answered(running.pull, answer, answered);
        return { ...answer, image, trace };
      } catch (error) {
        this.#reportFailed(running, error);
        throw error;
      } finally {
        this.#running.delete(running);
      }
    },
  );

  /** With one credential after the other, watched for progress. */
  async #askRuntime(
    running: Running,
    credentials: readonly [PullCredential, ...PullCredential[]],
    waitedMs: number,
  ): Promise<PullAnswer> {
    const { runtime, listener, node, progress } = this.#parts;
    const { pull, request, tried } = running;
    this.#requireRuntime();
    running.startedAt = performance.now();
    running.askedAt = new Date();
    const headers = traceHeaders(running.trace);
    let isStartReported = false;
    // Writing it down takes longer than sending the request, which therefore leaves first.
    const onSent = () => {
      if (isStartReported) return;
      isStartReported = true;
      this.#reports.started(pull);
    };
    const stall = new AbortController();
    const unwatch = progress?.watch(pull, (error) => stall.abort(error));
    try {
      const { response, credential, failed } = await pullWithCredentials(
        pull.requestedReference,
        credentials,
        (auth, call) => runtime.pullImage({ ...request, auth }, { ...call, headers, onSent }),
        {
          signal: AbortSignal.any([running.signal, stall.signal]),
          onAttempt: (label, result) => {
            tried.push({ ...label, result });
            listener.attempted?.(label, result);
          },
        },
      );
      return {
        response,
        endedAt: new Date(),
        credential: credential.label,
        owner: credential.owner,
        attempts: tried.length,
        failedAttempts: failed.map((attempt) => ({
          ...attempt.credential,
          result: attempt.errorClass,
          reason: attempt.message,
        })),
        credentialProblems: node.takeProblems?.(),
        durationMs: performance.now() - running.startedAt,
        waitedMs,
      };
    } finally {
      unwatch?.();
      // No end without a start, also where the runtime answers at once or never got the request.
      onSent();
    }
  }

  #reportFailed({ pull, tried, startedAt }: Running, error: unknown): void {
    this.#reports.failed(pull, {
      error,
      errorClass:
        error instanceof ImagePullError
          ? error.errorClass
          : classifyPullError(error, pull.requestedReference),
      attempts: tried.length,
      credentials: tried,
      durationMs: performance.now() - startedAt,
      credentialProblems: this.#parts.node.takeProblems?.(),
    });
  }

  #requireRuntime(): void {
    const { runtime } = this.#parts;
    const { available, since, reason } = runtime.availability();
    if (available) return;
    throw new RuntimeUnavailableError(runtime.endpoint, since, reason ?? 'not connected');
  }
}

/** A child of the span of the caller that began the pull; others who take part link to it. */
const pullSpan: TracedCall<[Pull, PullImageRequest, CredentialChoice, RunOptions], FinishedPull> = {
  parent: (_pull, _request, _choice, { trace }) => trace,
  attributes: ({ id, requestedReference, runtimeHandler }) => ({
    'stowage.image.reference': requestedReference,
    'stowage.pull.id': id,
    'stowage.runtime_handler': runtimeHandler,
  }),
  returned: ({ set }, { response, attempts, waitedMs }) =>
    set({
      'stowage.image.ref': response.imageRef,
      'stowage.pull.attempts': attempts,
      'stowage.pull.waited_ms': Math.round(waitedMs),
    }),
};

const waiterOf = ({ pod }: Pull, { by = 'cri', caller }: PullOptions): PullWaiter => ({
  since: new Date(),
  by,
  pod,
  caller,
});

/** What of a request beside image and credential makes it another pull: the runtime handler. */
function runtimeOf({ image, sandboxConfig }: PullImageRequest): string {
  const annotation = 'io.containerd.cri.runtime-handler';
  return [
    image?.runtimeHandler ?? '',
    image?.annotations[annotation] ?? '',
    sandboxConfig?.annotations[annotation] ?? '',
  ].join(' ');
}

function traceHeaders({ traceparent, tracestate }: TraceContext): Record<string, string> {
  const headers: Record<string, string> = {};
  if (traceparent !== undefined) headers.traceparent = traceparent;
  if (tracestate !== undefined) headers.tracestate = tracestate;
  return headers;
}
