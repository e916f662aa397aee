import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { maxReferenceLength } from '@stowage/commands';
import type { PullImageRequest, PullImageResponse } from '@stowage/cri-proto';
import {
  InvalidArgumentError,
  InvalidImageNameError,
  RuntimeUnavailableError,
  StowageError,
} from '@stowage/errors';
import { ImageReferenceError, withoutUserInfo } from '@stowage/image-ref';
import { inSpan, linkTo } from '@stowage/tracing';
import type { TraceContext } from '@stowage/tracing';
import { classifyPullError } from './classify-pull-error';
import type { PullErrorClass } from './classify-pull-error';
import { chooseCredentials, requestCredential } from '../credentials/credentials';
import type {
  CredentialChoice,
  CredentialLabel,
  CredentialProblem,
  NodeCredentials,
  PullAuth,
  PullCredential,
} from '../credentials/credentials';
import { imageNames } from '../runtime/image-names';
import type { ImageNames } from '../runtime/image-names';
import type { ImageRuntime, RuntimeImage } from '../runtime/image-runtime';
import { ImagePullError, pullWithCredentials } from './pull-attempts';
import { PullCoalescer } from './pull-coalescer';
import type { Coalesced, RunContext } from './pull-coalescer';
import type { PullProgress, PullStalledError } from './progress/pull-progress';
import { noPullJournal } from './pull-journal';
import type { PullJournal, UnfinishedPull } from './pull-journal';
import { PullQueue } from './pull-queue';
import type { ShortNames } from '../runtime/short-names';

/** One pull by the runtime, whoever waits for it. */
export interface Pull {
  /** The same in all that is told about this pull. */
  readonly id: string;
  readonly requestedReference: string;
  /** Absent when the reference does not parse. */
  readonly reference?: string;
  readonly runtimeHandler?: string;
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly holdUntil?: Date;
  readonly traceparent?: string;
}

/** How a pull ended well. */
export interface PullAnswer {
  readonly response: PullImageResponse;
  readonly endedAt: Date;
  readonly credential: CredentialLabel;
  /** Whose that credential is, for pull records. */
  readonly owner?: PullCredential['owner'];
  /** PullImage calls made, the one that succeeded included. */
  readonly attempts: number;
  /** Those before it, in order. */
  readonly failedAttempts?: readonly TriedCredential[];
  /** Time in the runtime, milliseconds. */
  readonly durationMs: number;
  /** Time in the queue before that, milliseconds. */
  readonly waitedMs: number;
  readonly credentialProblems?: readonly CredentialProblem[];
}

/** What is told about a pull that ended well. */
export interface PulledImage extends PullAnswer {
  /** What the runtime says about the image now; absent when it would not say. */
  readonly image?: RuntimeImage;
}

/** What whoever waits for a pull gets, as soon as the runtime has answered. */
export interface FinishedPull extends PullAnswer {
  /** As in {@link PulledImage}; by the time it resolves the pull has been told. Never rejects. */
  readonly image: Promise<RuntimeImage | undefined>;
  /** The pull's own place in a trace, whoever waits for it. */
  readonly trace?: TraceContext;
}

/** A credential that was tried, and how that ended. */
export interface TriedCredential extends CredentialLabel {
  readonly result: PullErrorClass | 'success';
  /** What the runtime said, without secrets; told of attempts before one that brought the image. */
  readonly reason?: string;
}

/** How a pull ended without the image. */
export interface FailedPull {
  readonly error: unknown;
  readonly errorClass: PullErrorClass;
  readonly attempts: number;
  readonly credentials: readonly TriedCredential[];
  readonly durationMs: number;
  readonly credentialProblems?: readonly CredentialProblem[];
}

/** Hears of pulls: events, metrics and log. Must not throw. */
export interface PullListener {
  started?(pull: Pull): void;
  attempted?(credential: CredentialLabel, result: PullErrorClass | 'success'): void;
  succeeded?(pull: Pull, pulled: PulledImage): void;
  failed?(pull: Pull, failure: FailedPull): void;
  progressed?(pull: Pull, progress: PullProgress): void;
  /** A caller took part in a pull that was going on. */
  joined?(): void;
}

/** What comes with a pull beside the CRI request. */
export interface PullOptions {
  /** The caller's: aborts when it cancels or its deadline passes. */
  readonly signal: AbortSignal;
  readonly holdUntil?: Date;
  /** Chosen by the caller; else the request's own, or the node's. */
  readonly credentials?: CredentialChoice;
  /** Place in the queue; more is sooner. Of callers that share a pull, the first one's counts. */
  readonly priority?: number;
  /** Of the caller; that of the pull goes on to the runtime and into the events. */
  readonly trace?: TraceContext;
  /**
   * Resolves when the caller's answer has left. What follows a pull waits for it; absent: it follows at once. Never given
   * by a caller that waits for {@link FinishedPull.image} before it answers.
   */
  readonly answered?: Promise<void>;
}

/** The options of whoever began a pull, and what is common to all who share it. */
type RunOptions = Omit<PullOptions, 'signal' | 'answered'> & RunContext;

/** Notices that a pull stands still; `PullProgressWatch` fits. */
export interface ProgressWatch {
  watch(pull: Pull, stalled: (error: PullStalledError) => void): () => void;
}

/** Longest wait for the size of a pulled image, milliseconds; then the pull is told without it. */
const sizeLookupTimeoutMs = 5000;

/** The service ended while a pull went on; said when it is back. */
export class PullInterruptedError extends StowageError {
  constructor() {
    super('image-service ended before the runtime answered; the image may have come all the same', {
      code: 'IMAGE_PULL_INTERRUPTED',
      grpcStatus: 'ABORTED',
      retryable: true,
    });
  }
}

/** PullImage: reference, credentials, the runtime's pull shared by all who want it, and what is told about it. */
export class PullImage {
  readonly #telling = new Set<Promise<unknown>>();

  constructor(
    private readonly runtime: ImageRuntime,
    private readonly node: NodeCredentials,
    private readonly hashOf: (auth: PullAuth) => string,
    private readonly listener: PullListener,
    private readonly pulls: PullCoalescer<FinishedPull> = new PullCoalescer(),
    private readonly queue: PullQueue = new PullQueue(),
    private readonly progress?: ProgressWatch,
    private readonly journal: PullJournal = noPullJournal,
    private readonly newId: () => string = randomUUID,
    /** Whether the runtime takes a short name for one of Docker Hub; `ShortNames` fits. */
    private readonly shortNames?: Pick<ShortNames, 'isHub'>,
  ) {}

  /** Resolves when no pull is left, and all there is to tell has been told. */
  async settled(): Promise<void> {
    await this.pulls.settled();
    await this.told();
  }

  /** Resolves when every pull that was answered by now has been told. */
  async told(): Promise<void> {
    await Promise.all(this.#telling);
  }

  /** Tells the ends of pulls that an earlier run of the service left without. Waits for the runtime, where it has to be asked. */
  async tellUnfinished(pulls: readonly UnfinishedPull[], signal: AbortSignal): Promise<void> {
    for (const { pull, startedAt } of pulls.filter(({ answer }) => answer === undefined)) {
      this.#tellFailed(pull, {
        error: new PullInterruptedError(),
        errorClass: 'cancelled',
        attempts: 1,
        credentials: [],
        durationMs: Math.max(0, Date.now() - startedAt.getTime()),
      });
    }
    for (const { pull, answer } of pulls) {
      if (answer === undefined) continue;
      await this.runtime.whenAvailable({ signal });
      await this.#tellPulled(pull, answer);
    }
  }

  /**
   * Pulls an image. Throws InvalidImageNameError for a reference that does not parse, RuntimeUnavailableError when the
   * runtime is away, ImagePullError when no credential brings the image, and the signal's reason when the caller gives up.
   */
  async pull(request: PullImageRequest, options: PullOptions): Promise<Coalesced<FinishedPull>> {
    const spec = request.image;
    const image = spec?.image ?? '';
    const pull: Pull = {
      id: this.newId(),
      requestedReference: withoutUserInfo(image),
      runtimeHandler: spec?.runtimeHandler === '' ? undefined : spec?.runtimeHandler,
      pod: request.sandboxConfig?.metadata,
      holdUntil: options.holdUntil,
      traceparent: options.trace?.traceparent,
    };
    const isHubShort = (await this.shortNames?.isHub(image, options.signal)) ?? true;
    const names = this.#names(pull, image, isHubShort);
    const credentials =
      options.credentials ??
      chooseCredentials(names.repository, requestCredential(request.auth, this.hashOf), this.node, {
        namespace: pull.pod?.namespace,
      });
    const key = [names.reference, runtimeOf(request), credentials.key].join('\n');
    const outcome = await this.pulls.run(
      key,
      (context) =>
        this.#runInSpan({ ...pull, reference: names.reference }, request, credentials, {
          ...options,
          ...context,
        }),
      options,
    );
    if (outcome.joined) {
      this.listener.joined?.();
      linkTo(outcome.value.trace ?? {});
    }
    return outcome;
  }

  /** The span of a pull is a child of the caller's that began it; others who take part link to it. */
  #runInSpan(
    pull: Pull,
    request: PullImageRequest,
    choice: CredentialChoice,
    options: RunOptions,
  ): Promise<FinishedPull> {
    const attributes = {
      'stowage.image.reference': pull.requestedReference,
      'stowage.pull.id': pull.id,
      'stowage.runtime_handler': pull.runtimeHandler,
    };
    return inSpan('image.pull', { parent: options.trace, attributes }, async ({ trace, set }) => {
      const { traceparent } = trace;
      const pulled = await this.#run({ ...pull, traceparent }, request, choice, {
        ...options,
        trace,
      });
      const { response, attempts, waitedMs } = pulled;
      set({
        'stowage.image.ref': response.imageRef,
        'stowage.pull.attempts': attempts,
        'stowage.pull.waited_ms': Math.round(waitedMs),
      });
      return { ...pulled, trace };
    });
  }

  /** Parses the reference; a failure is told before it is thrown. */
  #names(pull: Pull, image: string, isHubShort: boolean): ImageNames {
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
      this.listener.failed?.(pull, {
        error,
        errorClass: 'invalid-reference',
        attempts: 0,
        credentials: [],
        durationMs: 0,
      });
      throw error;
    }
  }

  async #run(
    pull: Pull,
    request: PullImageRequest,
    choice: CredentialChoice,
    { signal, trace, priority, answered }: RunOptions,
  ): Promise<FinishedPull> {
    let startedAt = performance.now();
    const tried: TriedCredential[] = [];
    try {
      this.#requireRuntime();
      // Before the queue: a credential helper that takes long must not hold up the pulls of others.
      const credentials = await choice.list({ signal });
      const pulled = await this.queue.run(
        async ({ waitedMs }) => {
          this.#requireRuntime();
          startedAt = performance.now();
          // The runtime's work begins first: the request leaves at the end of this turn.
          const startTold = setImmediate().then(() => {
            this.journal.began(pull);
            this.listener.started?.(pull);
          });
          const stall = new AbortController();
          const unwatch = this.progress?.watch(pull, (error) => stall.abort(error));
          try {
            const { response, credential, failed } = await pullWithCredentials(
              pull.requestedReference,
              credentials,
              (auth, call) =>
                this.runtime.pullImage(
                  { ...request, auth },
                  { ...call, headers: traceHeaders(trace) },
                ),
              {
                signal: AbortSignal.any([signal, stall.signal]),
                onAttempt: (label, result) => {
                  tried.push({ ...label, result });
                  this.listener.attempted?.(label, result);
                },
              },
            );
            const durationMs = performance.now() - startedAt;
            return { response, credential, failed, durationMs, waitedMs };
          } finally {
            unwatch?.();
            await startTold;
          }
        },
        { signal, priority },
      );
      const { response, credential, failed, ...times } = pulled;
      const { label, owner } = credential;
      const answer: PullAnswer = {
        response,
        endedAt: new Date(),
        credential: label,
        owner,
        attempts: tried.length,
        failedAttempts: failed.map((attempt) => ({
          ...attempt.credential,
          result: attempt.errorClass,
          reason: attempt.message,
        })),
        credentialProblems: this.node.takeProblems?.(),
        ...times,
      };
      this.journal.answered(pull, answer);
      return { ...answer, image: this.#tellSoon(pull, answer, answered) };
    } catch (error) {
      this.#tellFailed(pull, {
        error,
        errorClass:
          error instanceof ImagePullError
            ? error.errorClass
            : classifyPullError(error, pull.requestedReference),
        attempts: tried.length,
        credentials: tried,
        durationMs: performance.now() - startedAt,
        credentialProblems: this.node.takeProblems?.(),
      });
      throw error;
    }
  }

  /** The callers go on first: size and id are for those who are told, and the journal has the rest. */
  #tellSoon(
    pull: Pull,
    answer: PullAnswer,
    answered: () => Promise<void>,
  ): Promise<RuntimeImage | undefined> {
    const telling = answered().then(() => this.#tellPulled(pull, answer));
    this.#telling.add(telling);
    void telling.finally(() => this.#telling.delete(telling));
    return telling;
  }

  async #tellPulled(pull: Pull, answer: PullAnswer): Promise<RuntimeImage | undefined> {
    const image = await this.#lookUp(answer.response.imageRef, pull.runtimeHandler);
    this.journal.end(pull, () => this.listener.succeeded?.(pull, { ...answer, image }));
    return image;
  }

  #tellFailed(pull: Pull, failure: FailedPull): void {
    this.journal.end(pull, () => this.listener.failed?.(pull, failure));
  }

  #requireRuntime(): void {
    const { available, since, reason } = this.runtime.availability();
    if (available) return;
    throw new RuntimeUnavailableError(this.runtime.endpoint, since, reason ?? 'not connected');
  }

  /** Id and size of what was pulled, as kubelet asks after a pull: errors do not matter. */
  async #lookUp(imageRef: string, runtimeHandler = ''): Promise<RuntimeImage | undefined> {
    try {
      const { image } = await this.runtime.imageStatus(
        { image: { image: imageRef, runtimeHandler } },
        { timeoutMs: sizeLookupTimeoutMs },
      );
      return image;
    } catch {
      return undefined;
    }
  }
}

/** What of a request beside image and credential makes it another pull: the runtime handler, however it is told. */
function runtimeOf({ image, sandboxConfig }: PullImageRequest): string {
  const annotation = 'io.containerd.cri.runtime-handler';
  return [
    image?.runtimeHandler ?? '',
    image?.annotations[annotation] ?? '',
    sandboxConfig?.annotations[annotation] ?? '',
  ].join(' ');
}

function traceHeaders({ traceparent, tracestate }: TraceContext = {}): Record<string, string> {
  return {
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
  };
}
