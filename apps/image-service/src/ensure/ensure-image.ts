import type { CheckedInput, CommandAnswer, imageService } from '@stowage/commands';
import { kubeletErrorText } from '@stowage/cri-client';
import { PullImageRequest } from '@stowage/cri-proto';
import { RuntimeUnavailableError, StowageError, toGrpcStatus } from '@stowage/errors';
import { ImageReferenceError, isHexIdentifier, withoutUserInfo } from '@stowage/image-ref';
import { formatGoDuration } from '@stowage/go-duration';
import { currentTrace, traced, type TraceContext, type TracedCall } from '@stowage/tracing';
import { BackOff } from './back-off';
import {
  chooseCredentials,
  requestCredential,
  type CredentialChoice,
  type NodeCredentials,
  type PullAuth,
} from '../credentials/credentials';
import { EnsureImageError, pullFailure } from './ensure-error';
import { imageNames, type ImageNames } from '../runtime/image-names';
import type { ImageRuntime, RuntimeImage } from '../runtime/image-runtime';
import type { FinishedPull, Puller } from '../pull/pull';
import { ImagePullError } from '../pull/pull-attempts';
import type { Coalesced } from '../pull/pull-coalescer';
import { defaultPullPolicy, type PullPolicy } from './pull-policy';
import { callerCredentials, type PullRecords } from '../records/pull-records';
import { PullIntentError } from '../records/recorded-pull';
import { asReferenceError } from '../pull/refused-reference';
import type { ShortNames } from '../runtime/short-names';

/** What comes with an ensure beside the command's input. */
export interface EnsureCall {
  readonly signal: AbortSignal;
  readonly trace?: TraceContext;
}

/** What is to be made sure of. */
export type EnsureRequest = CheckedInput<typeof imageService.ensure>;

type EnsuredImage = CommandAnswer<typeof imageService.ensure>;

/** An image that was there already. */
export interface PresentImage {
  readonly requestedReference: string;
  readonly reference: string;
  readonly image: RuntimeImage;
  readonly pullPolicy: PullPolicy;
  readonly holdUntil?: Date;
  readonly traceparent?: string;
}

/** A pull that was not begun because one failed not long ago. */
export interface BackedOffPull {
  readonly requestedReference: string;
  readonly reference: string;
  readonly retryAfter: Date;
  readonly error: EnsureImageError;
  readonly traceparent?: string;
}

/** What kubelet would emit as a Kubernetes event, word for word. */
export interface EnsureNote {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** What was found out about an image, as kubelet counts it. */
export interface EnsureFindings {
  readonly pullPolicy: PullPolicy;
  readonly presentLocally: boolean | 'unknown';
  readonly pullRequired: boolean | 'unknown';
  readonly result: 'present' | 'pulled' | 'refused' | 'backed-off' | 'failed';
}

/** Is notified of ensures: events, metrics, log and traces. Must not throw. */
export interface EnsureListener {
  /**
   * The image was there: its last use is now. Also called for a hold on an image that the pull of
   * another caller brought.
   */
  present?(present: PresentImage): void;
  backedOff?(pull: BackedOffPull): void;
  noted?(note: EnsureNote): void;
  /** Called while the span of the ensure is active. */
  ended?(findings: EnsureFindings): void;
}

/** What {@link EnsureImage} works with. */
export interface EnsureImageParts {
  readonly runtime: Pick<ImageRuntime, 'imageStatus'>;
  /** Where there are records, `RecordedPull`: what an ensure pulls is recorded. */
  readonly puller: Puller;
  readonly node: NodeCredentials;
  readonly hashOf: (auth: PullAuth) => string;
  readonly listener: EnsureListener;
  /** Absent: whoever asks for an image that is there may use it. */
  readonly records?: Pick<PullRecords, 'mustAttemptPull'>;
  readonly backOff?: BackOff;
  /** Milliseconds since the epoch, for holds. */
  readonly now?: () => number;
  /** Milliseconds of a clock that never jumps, for the back-off. Default: the process's own. */
  readonly elapsedMs?: () => number;
  /** As for the puller. Absent: short names are Docker Hub's. */
  readonly shortNames?: Pick<ShortNames, 'isHub'>;
}

type Findings = { -readonly [K in keyof EnsureFindings]: EnsureFindings[K] };

/** One ensure on its way. */
interface Ensuring {
  readonly request: EnsureRequest;
  readonly names: ImageNames;
  /** For events; of an image id the id itself. */
  readonly reference: string;
  readonly holdUntil?: Date;
  readonly credentials: CredentialChoice;
  readonly findings: Findings;
  readonly trace: TraceContext;
  readonly signal: AbortSignal;
  readonly startedAt: number;
}

/**
 * Kubelet's EnsureImageExists: policy, presence, who may use what is present, back-off, pull, and
 * its reasons for failures.
 */
export class EnsureImage {
  readonly #parts: EnsureImageParts;
  readonly #backOff: BackOff;
  readonly #now: () => number;
  readonly #elapsedMs: () => number;

  constructor(parts: EnsureImageParts) {
    this.#parts = parts;
    this.#backOff = parts.backOff ?? new BackOff();
    this.#now = parts.now ?? Date.now;
    this.#elapsedMs = parts.elapsedMs ?? (() => performance.now());
  }

  /**
   * Makes sure that an image is on the node and that the caller may use it. Throws EnsureImageError
   * with kubelet's reason and message; as they are: what a look-up of credentials throws,
   * PullIntentError, RuntimeUnavailableError of a pull, and the signal's reason when the caller
   * gives up. These last three do not count for the back-off.
   */
  readonly ensure = traced(
    'image.ensure',
    ensureSpan,
    async (request: EnsureRequest, { signal, trace }: EnsureCall): Promise<EnsuredImage> => {
      const findings = newFindings(request);
      try {
        const ensuring = await this.#begin(request, findings, {
          signal,
          trace: currentTrace(trace),
        });
        const present = await this.#presentFor(ensuring);
        return present === undefined ? await this.#pull(ensuring) : this.#use(ensuring, present);
      } finally {
        this.#parts.listener.ended?.(findings);
      }
    },
  );

  async #begin(
    request: EnsureRequest,
    findings: Findings,
    { signal, trace }: { signal: AbortSignal; trace: TraceContext },
  ): Promise<Ensuring> {
    const startedAt = performance.now();
    const { image, holdSeconds = 0 } = request;
    const isHubShort = (await this.#parts.shortNames?.isHub(image, signal)) ?? true;
    const names = this.#read(image, () => namesOf(image, isHubShort));
    return {
      request,
      names,
      reference: isImageId(image) ? image : names.reference,
      holdUntil: holdSeconds === 0 ? undefined : new Date(this.#now() + holdSeconds * 1000),
      credentials: chooseCredentials(
        names.repository,
        requestCredential(request.auth, this.#parts.hashOf),
        this.#parts.node,
        { secretName: request.credentialsRef },
      ),
      findings,
      trace,
      signal,
      startedAt,
    };
  }

  /**
   * What is read from an image's name; a name that cannot be read is an error in kubelet's words.
   */
  #read(image: string, names: () => ImageNames): ImageNames {
    try {
      return names();
    } catch (cause) {
      if (!(cause instanceof ImageReferenceError)) throw cause;
      const shown = JSON.stringify(withoutUserInfo(image));
      const message = `Failed to apply default image tag ${shown}: ${cause.message}`;
      this.#note('Warning', 'InspectFailed', message);
      throw new EnsureImageError('InvalidImageName', message, {
        grpcStatus: 'INVALID_ARGUMENT',
        cause,
      });
    }
  }

  /** The image that the caller may use without a pull; undefined when it has to be pulled. */
  async #presentFor(ensuring: Ensuring): Promise<RuntimeImage | undefined> {
    const { findings, request } = ensuring;
    const present = await this.#inspect(ensuring);
    if (present !== undefined) {
      if (!(await this.#needsProof(ensuring, present))) return present;
      findings.pullRequired = true;
    }
    // Whether the image is there is nobody's business who may not use it.
    if (findings.pullPolicy === 'Never') throw this.#refusal(ensuring);
    findings.pullRequired = true;
    // An id can be used, but no registry has it.
    if (isHexIdentifier(request.image)) {
      this.#read(request.image, () => imageNames(request.image, true));
    }
    return undefined;
  }

  /** The image if the policy wants to know of it and it is there. */
  async #inspect({ names, findings, signal }: Ensuring): Promise<RuntimeImage | undefined> {
    if (findings.pullPolicy !== 'IfNotPresent' && findings.pullPolicy !== 'Never') return undefined;
    const { tagged } = names;
    try {
      const { image } = await this.#parts.runtime.imageStatus(
        { image: { image: tagged } },
        { signal },
      );
      findings.presentLocally = image !== undefined;
      return image;
    } catch (cause) {
      signal.throwIfAborted();
      // Kubelet's text has no name between the quotation marks.
      const message = `Failed to inspect image "": ${kubeletErrorText(cause)}`;
      this.#note('Warning', 'InspectFailed', message);
      throw new EnsureImageError('ImageInspectError', message, {
        grpcStatus: toGrpcStatus(asReferenceError(cause, tagged)).name,
        retryable: cause instanceof StowageError && cause.retryable,
        cause,
      });
    }
  }

  async #needsProof(
    { request, credentials, signal }: Ensuring,
    { id }: RuntimeImage,
  ): Promise<boolean> {
    const { records } = this.#parts;
    if (records === undefined) return false;
    return records.mustAttemptPull(request.image, id, async () =>
      callerCredentials(await credentials.list({ signal })),
    );
  }

  #use(ensuring: Ensuring, present: RuntimeImage): EnsuredImage {
    const { request, findings, startedAt } = ensuring;
    findings.pullRequired = false;
    findings.result = 'present';
    const may = this.#parts.records === undefined ? '' : ' and can be accessed by the pod';
    this.#note(
      'Normal',
      'Pulled',
      `Container image "${request.image}" already present on machine${may}`,
    );
    this.#notifyPresent(ensuring, present);
    return answer(present.id, present, false, performance.now() - startedAt);
  }

  #refusal({ request, findings }: Ensuring): EnsureImageError {
    const message = `Container image "${request.image}" is not present with pull policy of Never`;
    this.#note('Warning', 'ErrImageNeverPull', message);
    findings.result = 'refused';
    return new EnsureImageError('ErrImageNeverPull', message, {
      grpcStatus: 'FAILED_PRECONDITION',
    });
  }

  async #pull(ensuring: Ensuring): Promise<EnsuredImage> {
    const { request, names, credentials, holdUntil, signal, trace } = ensuring;
    const { image, auth, caller, priority } = request;
    await credentials.list({ signal });
    const backOffKey = `${request.caller ?? credentials.key}_${image}`;
    this.#refuseInBackOff(ensuring, backOffKey);
    this.#note('Normal', 'Pulling', `Pulling image "${image}"`);
    let pulled: Coalesced<FinishedPull>;
    try {
      pulled = await this.#parts.puller.pull(
        PullImageRequest.fromPartial({ image: { image: names.tagged }, auth }),
        { signal, holdUntil, names, credentials, trace, by: 'command', caller, priority },
      );
    } catch (error) {
      throw this.#pullError(ensuring, backOffKey, error);
    }
    return this.#pulled(ensuring, pulled, await pulled.value.image);
  }

  /**
   * What a pull threw, in kubelet's words; counts it for the back-off where it was the pull's
   * fault.
   */
  #pullError(
    { request: { image }, signal }: Ensuring,
    backOffKey: string,
    error: unknown,
  ): unknown {
    if (error instanceof PullIntentError) return error;
    const text = error instanceof ImagePullError ? error.kubeletText : kubeletErrorText(error);
    this.#note('Warning', 'Failed', `Failed to pull image "${image}": ${text}`);
    if (signal.aborted || error instanceof RuntimeUnavailableError) return error;
    const { reason, message } = pullFailure(image, text);
    this.#backOff.failed(backOffKey, this.#elapsedMs(), `${reason}: ${message}`);
    return new EnsureImageError(reason, message, {
      grpcStatus: toGrpcStatus(error).name,
      tried: error instanceof ImagePullError ? error.tried : undefined,
      retryable: error instanceof StowageError && error.retryable,
      // No cause: the failed pull is logged already, and logs print causes.
    });
  }

  #refuseInBackOff(ensuring: Ensuring, backOffKey: string): void {
    const { request, reference, findings, trace } = ensuring;
    const { image } = request;
    const elapsedMs = this.#elapsedMs();
    const last = this.#backOff.inBackOff(backOffKey, elapsedMs);
    if (last === undefined) return;
    const note = `Back-off pulling image "${image}"`;
    this.#note('Normal', 'BackOff', note);
    findings.result = 'backed-off';
    const message = last.message === '' ? note : `${note}: ${last.message}`;
    const error = new EnsureImageError('ImagePullBackOff', message, {
      grpcStatus: 'RESOURCE_EXHAUSTED',
      retryable: true,
    });
    this.#parts.listener.backedOff?.({
      requestedReference: image,
      reference,
      retryAfter: new Date(this.#now() + last.until - elapsedMs),
      error,
      traceparent: trace.traceparent,
    });
    throw error;
  }

  #pulled(
    ensuring: Ensuring,
    { value, joined }: Coalesced<FinishedPull>,
    present: RuntimeImage | undefined,
  ): EnsuredImage {
    const { request, findings, holdUntil, startedAt } = ensuring;
    const totalMs = performance.now() - startedAt;
    const [inPuller, total] = [value.durationMs, totalMs].map((ms) =>
      formatGoDuration(Math.floor(ms)),
    );
    const sizeBytes = Number(present?.size ?? 0n);
    this.#note(
      'Normal',
      'Pulled',
      `Successfully pulled image "${request.image}" in ${inPuller} (${total} including waiting). Image size: ${sizeBytes} bytes.`,
    );
    this.#backOff.forgetExpired(this.#elapsedMs());
    // The events of the pull that was joined do not have this hold.
    if (joined && holdUntil !== undefined && present !== undefined) {
      this.#notifyPresent(ensuring, present);
    }
    findings.result = 'pulled';
    return answer(value.response.imageRef, present, true, totalMs);
  }

  #notifyPresent(ensuring: Ensuring, present: RuntimeImage): void {
    const { request, reference, findings, holdUntil, trace } = ensuring;
    this.#parts.listener.present?.({
      requestedReference: request.image,
      reference,
      image: present,
      pullPolicy: findings.pullPolicy,
      holdUntil,
      traceparent: trace.traceparent,
    });
  }

  #note(type: EnsureNote['type'], reason: string, message: string): void {
    this.#parts.listener.noted?.({ type, reason, message });
  }
}

const ensureSpan: TracedCall<[EnsureRequest, EnsureCall], EnsuredImage> = {
  parent: (_request, { trace }) => trace,
  attributes: ({ image }) => ({ 'stowage.image.reference': withoutUserInfo(image) }),
};

/**
 * The names of an image. Without `sha256:` an image id is one over runtimes that write ids so,
 * which are those with rules of their own for short names; over the others it is kubelet's error.
 */
function namesOf(image: string, isHubShort: boolean): ImageNames {
  return isHexIdentifier(image) && !isHubShort
    ? { image, tagged: image, reference: `sha256:${image}` }
    : imageNames(image, isHubShort);
}

/** Whether this is an image id with its algorithm, which stands for itself. */
const isImageId = (image: string): boolean =>
  image.startsWith('sha256:') && isHexIdentifier(image.slice('sha256:'.length));

function newFindings({ image, pullPolicy }: EnsureRequest): Findings {
  return {
    pullPolicy: pullPolicy ?? defaultPullPolicy(image),
    presentLocally: 'unknown',
    pullRequired: 'unknown',
    result: 'failed',
  };
}

function answer(
  imageRef: string,
  image: RuntimeImage | undefined,
  pulled: boolean,
  durationMs: number,
): EnsuredImage {
  return {
    imageRef,
    imageId: image?.id ?? imageRef,
    pulled,
    bytes: Number(image?.size ?? 0n),
    durationMs: Math.round(durationMs),
  };
}
