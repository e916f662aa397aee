import type { CheckedInput, CommandAnswer, imageService } from '@stowage/commands';
import { kubeletErrorText } from '@stowage/cri-client';
import { PullImageRequest } from '@stowage/cri-proto';
import {
  errorMessage,
  InternalError,
  RuntimeUnavailableError,
  StowageError,
  toGrpcStatus,
} from '@stowage/errors';
import { ImageReferenceError, isHexIdentifier, withoutUserInfo } from '@stowage/image-ref';
import { formatGoDuration } from '@stowage/go-duration';
import { inSpan } from '@stowage/tracing';
import type { TraceContext } from '@stowage/tracing';
import { BackOff } from './back-off';
import { chooseCredentials, requestCredential } from '../credentials/credentials';
import type { CredentialChoice, NodeCredentials, PullAuth } from '../credentials/credentials';
import { EnsureImageError, pullFailure } from './ensure-error';
import { imageNames } from '../runtime/image-names';
import type { ImageNames } from '../runtime/image-names';
import type { ImageRuntime, RuntimeImage } from '../runtime/image-runtime';
import { ImagePullError } from '../pull/pull-attempts';
import type { Coalesced } from '../pull/pull-coalescer';
import type { FinishedPull, PullOptions } from '../pull/pull-image';
import { defaultPullPolicy } from './pull-policy';
import type { PullPolicy } from './pull-policy';
import { callerCredentials } from '../records/pull-records';
import type { PullRecords } from '../records/pull-records';
import { asReferenceError } from '../pull/refused-reference';
import type { ShortNames } from '../runtime/short-names';

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

/** Hears of ensures: events, metrics and log. Must not throw. */
export interface EnsureListener {
  /** The image was there: its last use is now. Also told to put a hold on an image that another's pull brought. */
  present?(present: PresentImage): void;
  backedOff?(pull: BackedOffPull): void;
  noted?(note: EnsureNote): void;
  ended?(findings: EnsureFindings): void;
}

/** The pull that an ensure uses; `PullImage` fits. */
export interface Puller {
  pull(request: PullImageRequest, options: PullOptions): Promise<Coalesced<FinishedPull>>;
}

/** What {@link EnsureImage} works with. */
export interface EnsureImageParts {
  readonly runtime: Pick<ImageRuntime, 'imageStatus'>;
  readonly puller: Puller;
  readonly node: NodeCredentials;
  readonly hashOf: (auth: PullAuth) => string;
  readonly listener: EnsureListener;
  /** Absent: whoever asks for an image that is there may use it. */
  readonly records?: PullRecords;
  readonly backOff?: BackOff;
  readonly now?: () => number;
  /** As for the puller. Absent: short names are Docker Hub's. */
  readonly shortNames?: Pick<ShortNames, 'isHub'>;
}

type Findings = { -readonly [K in keyof EnsureFindings]: EnsureFindings[K] };

/** One ensure on its way. */
interface Ensuring {
  readonly request: EnsureRequest;
  readonly image: string;
  /** The string that goes to the runtime, and the normalised one. */
  readonly tagged: string;
  readonly reference: string;
  readonly holdUntil?: Date;
  readonly credentials: CredentialChoice;
  readonly findings: Findings;
  readonly trace: TraceContext;
  readonly signal: AbortSignal;
  readonly startedAt: number;
}

/** Kubelet's EnsureImageExists: policy, presence, who may use what is present, back-off, pull, and its reasons for failures. */
export class EnsureImage {
  readonly #parts: EnsureImageParts;
  readonly #backOff: BackOff;
  readonly #now: () => number;

  constructor(parts: EnsureImageParts) {
    this.#parts = parts;
    this.#backOff = parts.backOff ?? new BackOff();
    this.#now = parts.now ?? Date.now;
  }

  /**
   * Makes sure that an image is on the node and that the caller may use it. Throws EnsureImageError with kubelet's reason and message; as
   * they are: what a look-up of credentials throws, a pull intent that cannot be written, RuntimeUnavailableError of a pull, and the
   * signal's reason when the caller gives up. These last two do not count for the back-off.
   */
  ensure(
    request: EnsureRequest,
    { signal, trace: parent }: { signal: AbortSignal; trace?: TraceContext },
  ): Promise<EnsuredImage> {
    const attributes = { 'stowage.image.reference': withoutUserInfo(request.image) };
    return inSpan('image.ensure', { parent, attributes }, async ({ trace, set }) => {
      const findings = newFindings(request);
      try {
        return await this.#ensure(request, findings, { signal, trace });
      } finally {
        const { pullPolicy, presentLocally, result } = findings;
        set({
          'stowage.image.pull_policy': pullPolicy,
          'stowage.image.present_locally': String(presentLocally),
          'stowage.ensure.result': result,
        });
        this.#parts.listener.ended?.(findings);
      }
    });
  }

  async #ensure(
    request: EnsureRequest,
    findings: Findings,
    call: { signal: AbortSignal; trace: TraceContext },
  ): Promise<EnsuredImage> {
    const ensuring = await this.#begin(request, findings, call);
    const present = await this.#present(ensuring);
    if (present !== undefined) {
      const needsProof = await this.#needsProof(ensuring, present);
      if (!needsProof) return this.#use(ensuring, present);
      if (findings.pullPolicy === 'Never') {
        findings.pullRequired = true;
        // Whether the image is there is nobody's business who may not use it.
        throw this.#refusal(ensuring);
      }
    } else if (findings.pullPolicy === 'Never') {
      throw this.#refusal(ensuring);
    }
    findings.pullRequired = true;
    // An id can be used, but no registry has it.
    if (isHexIdentifier(request.image))
      this.#read(request.image, () => imageNames(request.image, true));
    return this.#pull(ensuring);
  }

  async #begin(
    request: EnsureRequest,
    findings: Findings,
    { signal, trace }: { signal: AbortSignal; trace: TraceContext },
  ): Promise<Ensuring> {
    const startedAt = performance.now();
    const { image, holdSeconds = 0 } = request;
    const isHubShort = (await this.#parts.shortNames?.isHub(image, signal)) ?? true;
    const { tagged, reference, repository } = this.#read(image, () => namesOf(image, isHubShort));
    return {
      request,
      image,
      tagged,
      reference,
      holdUntil: holdSeconds === 0 ? undefined : new Date(this.#now() + holdSeconds * 1000),
      credentials: chooseCredentials(
        repository,
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

  /** What is read from an image's name; a name that cannot be read is an error in kubelet's words. */
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

  /** The image if the policy wants to know of it and it is there. */
  async #present({ tagged, findings, signal }: Ensuring): Promise<RuntimeImage | undefined> {
    if (findings.pullPolicy !== 'IfNotPresent' && findings.pullPolicy !== 'Never') return undefined;
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
    { image, credentials, signal }: Ensuring,
    { id }: RuntimeImage,
  ): Promise<boolean> {
    const { records } = this.#parts;
    if (records === undefined) return false;
    return records.mustAttemptPull(image, id, async () =>
      callerCredentials(await credentials.list({ signal })),
    );
  }

  #use(ensuring: Ensuring, present: RuntimeImage): EnsuredImage {
    const { image, findings, startedAt } = ensuring;
    findings.pullRequired = false;
    findings.result = 'present';
    const may = this.#parts.records === undefined ? '' : ' and can be accessed by the pod';
    this.#note('Normal', 'Pulled', `Container image "${image}" already present on machine${may}`);
    this.#tellPresent(ensuring, present);
    return answer(present.id, present, false, performance.now() - startedAt);
  }

  #refusal({ image, findings }: Ensuring): EnsureImageError {
    const message = `Container image "${image}" is not present with pull policy of Never`;
    this.#note('Warning', 'ErrImageNeverPull', message);
    findings.result = 'refused';
    return new EnsureImageError('ErrImageNeverPull', message, {
      grpcStatus: 'FAILED_PRECONDITION',
    });
  }

  async #pull(ensuring: Ensuring): Promise<EnsuredImage> {
    const { image, credentials, signal } = ensuring;
    const { records } = this.#parts;
    await credentials.list({ signal });
    await this.#recordIntent(image);
    let recorded = false;
    try {
      const pulled = await this.#pullUnlessBackedOff(ensuring);
      recorded = true;
      const { response, owner } = pulled.value;
      const present = await pulled.value.image;
      await records?.recordPulled(image, present?.id ?? response.imageRef, owner);
      return this.#pulled(ensuring, pulled, present);
    } finally {
      if (!recorded) await records?.recordFailed(image);
    }
  }

  /** No pull without its intent on disk: after a crash nobody would know of it. */
  async #recordIntent(image: string): Promise<void> {
    try {
      await this.#parts.records?.recordIntent(image);
    } catch (cause) {
      throw new InternalError(
        `Failed to record image pull intent for container image "${image}": ${errorMessage(cause)}`,
        { cause },
      );
    }
  }

  async #pullUnlessBackedOff(ensuring: Ensuring): Promise<Coalesced<FinishedPull>> {
    const { image, request, credentials, tagged, holdUntil, signal, trace } = ensuring;
    const key = `${request.caller ?? credentials.key}_${image}`;
    this.#refuseInBackOff(ensuring, key);
    this.#note('Normal', 'Pulling', `Pulling image "${image}"`);
    try {
      return await this.#parts.puller.pull(
        PullImageRequest.fromPartial({ image: { image: tagged }, auth: request.auth }),
        { signal, holdUntil, credentials, trace, priority: request.priority },
      );
    } catch (error) {
      const text = error instanceof ImagePullError ? error.kubeletText : kubeletErrorText(error);
      this.#note('Warning', 'Failed', `Failed to pull image "${image}": ${text}`);
      if (signal.aborted || error instanceof RuntimeUnavailableError) throw error;
      const { reason, message } = pullFailure(image, text);
      this.#backOff.failed(key, this.#now(), `${reason}: ${message}`);
      throw new EnsureImageError(reason, message, {
        grpcStatus: toGrpcStatus(error).name,
        tried: error instanceof ImagePullError ? error.tried : undefined,
        retryable: error instanceof StowageError && error.retryable,
        // No cause: the pull has been told, and logs print causes.
      });
    }
  }

  #refuseInBackOff({ image, reference, findings, trace }: Ensuring, key: string): void {
    const last = this.#backOff.inBackOff(key, this.#now());
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
      retryAfter: new Date(last.until),
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
    const { image, findings, holdUntil, startedAt } = ensuring;
    const totalMs = performance.now() - startedAt;
    const [inPuller, total] = [value.durationMs, totalMs].map((ms) =>
      formatGoDuration(Math.floor(ms)),
    );
    const sizeBytes = Number(present?.size ?? 0n);
    this.#note(
      'Normal',
      'Pulled',
      `Successfully pulled image "${image}" in ${inPuller} (${total} including waiting). Image size: ${sizeBytes} bytes.`,
    );
    this.#backOff.forgetExpired(this.#now());
    // The pull that was joined was told without this hold.
    if (joined && holdUntil !== undefined && present !== undefined) {
      this.#tellPresent(ensuring, present);
    }
    findings.result = 'pulled';
    return answer(value.response.imageRef, present, true, totalMs);
  }

  #tellPresent(ensuring: Ensuring, present: RuntimeImage): void {
    const { image, reference, findings, holdUntil, trace } = ensuring;
    this.#parts.listener.present?.({
      requestedReference: image,
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

/**
 * An image id stands for itself; anything else is a name. Without `sha256:` it is an id over runtimes that write ids so, which are those with
 * rules of their own for short names; over the others it is kubelet's error.
 */
function namesOf(image: string, isHubShort: boolean): ImageNames {
  if (isHexIdentifier(image) && !isHubShort) return { tagged: image, reference: `sha256:${image}` };
  const names = imageNames(image, isHubShort);
  return image.startsWith('sha256:') && isHexIdentifier(image.slice(7))
    ? { ...names, reference: image }
    : names;
}

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
