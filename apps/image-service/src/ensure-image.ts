import { PullImageRequest } from '@stowage/cri-proto';
import { FailedPreconditionError, InvalidImageNameError } from '@stowage/errors';
import {
  applyDefaultTag,
  ImageReferenceError,
  parsePullReference,
  referenceToString,
} from '@stowage/image-ref';
import type { PullAuth } from './credentials';
import type { ImageRuntime, RuntimeImage } from './image-runtime';
import type { Coalesced } from './pull-coalescer';
import type { PulledImage, PullOptions } from './pull-image';
import { defaultPullPolicy, ensureStep, needsPresence } from './pull-policy';
import type { PullPolicy } from './pull-policy';

/** What is to be made sure of. */
export interface EnsureRequest {
  readonly image: string;
  /** Absent: as the Kubernetes API defaults it, see `defaultPullPolicy`. */
  readonly pullPolicy?: PullPolicy;
  readonly auth?: PullAuth;
  /** The image is not to be collected for so long. */
  readonly holdSeconds?: number;
}

/** The answer of the command `image-service.ensure`. */
export interface EnsuredImage {
  /** What to create containers with. */
  readonly imageRef: string;
  readonly imageId: string;
  /** False when the image was there already. */
  readonly pulled: boolean;
  /** Size the runtime reports; 0 when it does not. */
  readonly bytes: number;
  readonly durationMs: number;
}

/** An image that was there already. */
export interface PresentImage {
  readonly requestedReference: string;
  readonly reference: string;
  readonly image: RuntimeImage;
  readonly pullPolicy: PullPolicy;
  readonly holdUntil?: Date;
}

/** Hears of ensures: events and metrics. Must not throw. */
export interface EnsureListener {
  /** The image was there: its last use is now. Also told to put a hold on an image that another's pull brought. */
  present?(present: PresentImage): void;
  ended?(pullPolicy: PullPolicy, result: 'present' | 'pulled' | 'refused' | 'failed'): void;
}

/** The pull that an ensure uses; `PullImage` fits. */
export interface Puller {
  pull(request: PullImageRequest, options: PullOptions): Promise<Coalesced<PulledImage>>;
}

/** Kubelet's EnsureImageExists without back-off and pull records: policy, presence, pull. */
export class EnsureImage {
  constructor(
    private readonly runtime: ImageRuntime,
    private readonly puller: Puller,
    private readonly listener: EnsureListener,
    private readonly now: () => number = Date.now,
  ) {}

  /**
   * Makes sure that an image is on the node. Throws InvalidImageNameError, FailedPreconditionError with kubelet's text when
   * the policy is Never and the image is absent, the runtime's error when it cannot say whether the image is there, and what
   * a pull throws.
   */
  async ensure(request: EnsureRequest, options: { signal: AbortSignal }): Promise<EnsuredImage> {
    const startedAt = performance.now();
    const { image } = request;
    const pullPolicy = request.pullPolicy ?? defaultPullPolicy(image);
    const holdUntil =
      request.holdSeconds === undefined || request.holdSeconds === 0
        ? undefined
        : new Date(this.now() + request.holdSeconds * 1000);
    let result: 'present' | 'pulled' | 'refused' | 'failed' = 'failed';
    try {
      const { tagged, reference } = names(image);
      const present = needsPresence(pullPolicy)
        ? (await this.runtime.imageStatus({ image: { image: tagged } }, options)).image
        : undefined;
      const step = ensureStep(pullPolicy, present !== undefined);
      if (step === 'refuse') {
        result = 'refused';
        throw new FailedPreconditionError(
          `Container image "${image}" is not present with pull policy of Never`,
        );
      }
      const told = { requestedReference: image, reference, pullPolicy, holdUntil };
      if (present !== undefined) {
        this.listener.present?.({ ...told, image: present });
        result = 'present';
        return answer(present.id, present, false, performance.now() - startedAt);
      }
      const { value, joined } = await this.puller.pull(
        PullImageRequest.fromPartial({ image: { image: tagged }, auth: request.auth }),
        { ...options, holdUntil },
      );
      // The pull that was joined was told without this hold.
      if (joined && holdUntil !== undefined && value.image !== undefined) {
        this.listener.present?.({ ...told, image: value.image });
      }
      result = 'pulled';
      const { imageRef } = value.response;
      return answer(imageRef, value.image, true, performance.now() - startedAt);
    } finally {
      this.listener.ended?.(pullPolicy, result);
    }
  }
}

/** The string that goes to the runtime, and the normalised one. */
function names(image: string): { tagged: string; reference: string } {
  try {
    return {
      tagged: applyDefaultTag(image),
      reference: referenceToString(parsePullReference(image)),
    };
  } catch (error) {
    if (!(error instanceof ImageReferenceError)) throw error;
    throw new InvalidImageNameError(image, error.rule, { cause: error });
  }
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
