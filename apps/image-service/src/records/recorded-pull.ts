import type { PullImageRequest } from '@stowage/cri-proto';
import { errorMessage, InternalError } from '@stowage/errors';
import type { FinishedPull, Puller, PullOptions } from '../pull/pull';
import type { Coalesced } from '../pull/pull-coalescer';
import type { PullRecords } from './pull-records';
import { withoutTagAndDigest } from './verification-policy';

/** The intent of a pull could not be written, so there was no pull. The message is kubelet's. */
export class PullIntentError extends InternalError {
  constructor(image: string, cause: unknown) {
    super(
      `Failed to record image pull intent for container image "${image}": ${errorMessage(cause)}`,
      { cause },
    );
  }
}

/** Pulls with an intent before and a record after, so that the image counts as pulled by us. */
export class RecordedPull implements Puller {
  constructor(
    private readonly puller: Puller,
    private readonly records: Omit<PullRecords, 'mustAttemptPull'>,
  ) {}

  /** Throws what a pull throws, and PullIntentError when its intent cannot be written. */
  async pull(
    request: PullImageRequest,
    { answered, ...options }: PullOptions,
  ): Promise<Coalesced<FinishedPull>> {
    const image = options.names?.image ?? request.image?.image ?? '';
    // The pull reports what is wrong with it.
    if (withoutTagAndDigest(image) === undefined) {
      return this.puller.pull(request, { ...options, answered });
    }
    await this.#recordIntent(image);
    let pulled: Coalesced<FinishedPull>;
    try {
      // Without `answered`: here the answer comes after the look at the image, not before it.
      pulled = await this.puller.pull(request, options);
    } catch (error) {
      await this.records.recordFailed(image);
      throw error;
    }
    const { response, owner } = pulled.value;
    const present = await pulled.value.image;
    await this.records.recordPulled(image, present?.id ?? response.imageRef, owner);
    return pulled;
  }

  /** No pull without its intent on disk: after a crash nobody would know of it. */
  async #recordIntent(image: string): Promise<void> {
    try {
      await this.records.recordIntent(image);
    } catch (cause) {
      throw new PullIntentError(image, cause);
    }
  }
}
