import type { PullImageRequest } from '@stowage/cri-proto';
import type { Coalesced } from '../pull/pull-coalescer';
import type { FinishedPull, PullImage, PullOptions } from '../pull/pull-image';
import type { PullRecords } from './pull-records';
import { withoutTagAndDigest } from './verification-policy';

/** Pulls asked for on the CRI socket, noted in the pull records: what came this way is not "preloaded" for those who ensure it. */
export class RecordedPull implements Pick<PullImage, 'pull'> {
  constructor(
    private readonly puller: Pick<PullImage, 'pull'>,
    private readonly records: PullRecords,
  ) {}

  /** Throws what a pull throws, and what keeps its intent from being written. */
  async pull(
    request: PullImageRequest,
    { answered, ...options }: PullOptions,
  ): Promise<Coalesced<FinishedPull>> {
    const image = request.image?.image ?? '';
    // The pull says what is wrong with it.
    if (withoutTagAndDigest(image) === undefined) {
      return this.puller.pull(request, { ...options, answered });
    }
    await this.records.recordIntent(image);
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
}
