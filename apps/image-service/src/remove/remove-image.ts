import { withoutUserInfo } from '@stowage/image-ref';
import type { RemoveImageRequest, RemoveImageResponse } from '@stowage/cri-proto';
import type { ImageRuntime, RuntimeImage } from '../runtime/image-runtime';
import { checkImageArgument } from '../runtime/image-names';
import { asReferenceError } from '../pull/refused-reference';

/** What a removal took away. */
export interface RemovedImage {
  readonly requestedReference: string;
  /** The image as it was before. */
  readonly image: RuntimeImage;
  readonly traceparent?: string;
}

/** An image that is still there after a removal that the runtime answered with success. */
export interface RemainingImage extends RemovedImage {
  /**
   * Tags and digests that it had before and has no more; empty where the removal changed nothing.
   */
  readonly untagged: readonly string[];
}

/** Is notified of removals: events, metrics and log. Must not throw. */
export interface RemoveListener {
  removed?(removed: RemovedImage): void;
  /** The runtime took the name away, or nothing at all, and has the image still. */
  remained?(remaining: RemainingImage): void;
  /** The runtime took the removal, and then did not say what is left. */
  unconfirmed?(removed: RemovedImage, error: unknown): void;
  /** The runtime refused the removal. */
  failed?(requestedReference: string, error: unknown): void;
}

/**
 * The runtime's answer, and what it shows afterwards; none of these when it did not know the image
 * before.
 */
export interface Removal {
  readonly response: RemoveImageResponse;
  readonly removed?: RemovedImage;
  readonly remaining?: RemainingImage;
  /** Why it is not known whether the image is gone. */
  readonly unconfirmed?: Error;
}

/**
 * Longest wait for what is known about an image before and after its removal, milliseconds each.
 */
const lookupTimeoutMs = 5000;

/**
 * RemoveImage: by contract idempotent, removes all tags of the image. Runtimes differ: CRI-O takes
 * away the name that was asked for, and the image only with its last name; for an OCI artifact it
 * answers with success and removes nothing. So what is reported is what the runtime shows
 * afterwards. What is not there is removed without an event. When the runtime cannot say what the
 * reference stands for, it is still asked to remove it.
 */
export class RemoveImage {
  constructor(
    private readonly runtime: ImageRuntime,
    private readonly listener: RemoveListener,
    /**
     * Resolves when every pull that was answered is published: an image's events keep their order.
     */
    private readonly pullsPublished: () => Promise<void> = () => Promise.resolve(),
  ) {}

  /** Throws what the runtime refuses the removal with. */
  async remove(
    request: RemoveImageRequest,
    options: { signal: AbortSignal; traceparent?: string },
  ): Promise<Removal> {
    const given = request.image?.image ?? '';
    const requestedReference = withoutUserInfo(given);
    // Names no image, and must not be repeated by anybody: the runtime is not asked.
    if (requestedReference !== given) checkImageArgument(given);
    await this.pullsPublished();
    const image = await this.#lookUp(request, options.signal);
    let response: RemoveImageResponse;
    try {
      response = await this.runtime.removeImage(request, { signal: options.signal });
    } catch (error) {
      this.listener.failed?.(requestedReference, error);
      throw asReferenceError(error, requestedReference);
    }
    if (image === undefined) return { response };
    const removed = { requestedReference, image, traceparent: options.traceparent };
    return { response, ...(await this.#lookAgain(removed)) };
  }

  async #lookUp(
    { image }: RemoveImageRequest,
    signal: AbortSignal,
  ): Promise<RuntimeImage | undefined> {
    if ((image?.image ?? '') === '') return undefined;
    try {
      const status = await this.runtime.imageStatus(
        { image },
        { signal, timeoutMs: lookupTimeoutMs },
      );
      return status.image;
    } catch {
      return undefined;
    }
  }

  /**
   * By id, and without the caller's signal: what was done is reported also when the caller has
   * gone.
   */
  async #lookAgain(removed: RemovedImage): Promise<Omit<Removal, 'response'>> {
    const { id, spec, repoTags, repoDigests } = removed.image;
    let left: RuntimeImage | undefined;
    try {
      const status = await this.runtime.imageStatus(
        { image: { image: id, runtimeHandler: spec?.runtimeHandler ?? '' } },
        { timeoutMs: lookupTimeoutMs },
      );
      left = status.image;
    } catch (error) {
      this.listener.unconfirmed?.(removed, error);
      return { unconfirmed: error as Error };
    }
    if (left === undefined) {
      this.listener.removed?.(removed);
      return { removed };
    }
    const names = new Set([...left.repoTags, ...left.repoDigests]);
    const untagged = [...repoTags, ...repoDigests].filter((name) => !names.has(name));
    const remaining = { ...removed, untagged };
    this.listener.remained?.(remaining);
    return { remaining };
  }
}
