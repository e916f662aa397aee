import { withoutUserInfo } from '@stowage/image-ref';
import type { RemoveImageRequest, RemoveImageResponse } from '@stowage/cri-proto';
import type { ImageRuntime, RuntimeImage } from './image-runtime';
import { checkImageArgument } from './list-images';
import { asReferenceError } from './refused-reference';

/** What a removal took away. */
export interface RemovedImage {
  readonly requestedReference: string;
  /** The image as it was before. */
  readonly image: RuntimeImage;
  readonly traceparent?: string;
}

/** Hears of removals: events, metrics and log. Must not throw. */
export interface RemoveListener {
  removed?(removed: RemovedImage): void;
  /** The runtime refused the removal. */
  failed?(requestedReference: string, error: unknown): void;
}

/** Longest wait for what is known about an image before it goes, milliseconds. */
const lookupTimeoutMs = 5000;

/**
 * RemoveImage: by contract idempotent, removes all tags of the image. What is not there is removed without an event. When the
 * runtime cannot say what the reference stands for, it is still asked to remove it.
 */
export class RemoveImage {
  constructor(
    private readonly runtime: ImageRuntime,
    private readonly listener: RemoveListener,
    /** Resolves when every pull that was answered has been told: an image's events keep their order. */
    private readonly pullsTold: () => Promise<void> = () => Promise.resolve(),
  ) {}

  async remove(
    request: RemoveImageRequest,
    options: { signal: AbortSignal; traceparent?: string },
  ): Promise<{ response: RemoveImageResponse; removed?: RemovedImage }> {
    const given = request.image?.image ?? '';
    const requestedReference = withoutUserInfo(given);
    // Names no image, and must not be repeated by anybody: the runtime is not asked.
    if (requestedReference !== given) checkImageArgument(given);
    await this.pullsTold();
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
    this.listener.removed?.(removed);
    return { response, removed };
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
}
