import { Controller } from '@nestjs/common';
import { imageService, type CheckedInput } from '@stowage/commands';
import { RemoveImageRequest } from '@stowage/cri-proto';
import type { EventBus } from '@stowage/event-bus';
import {
  BUS,
  Handles,
  IMAGE_RUNTIME,
  Injects,
  recentEvents,
  type CommandCall,
} from '@stowage/service-kit';
import type { EnsureImage } from './ensure/ensure-image';
import type { ImageRuntime } from './runtime/image-runtime';
import { imageStats } from './queries/image-stats';
import { imageStatus } from './queries/image-status';
import { listImages } from './queries/list-images';
import { pullsInProgress } from './queries/pulls-in-progress';
import type { PullProgressWatch } from './pull/progress/pull-progress';
import type { PullImage } from './pull/pull-image';
import { checkImageArgument } from './runtime/image-names';
import type { RemoveImage } from './remove/remove-image';
import { ENSURE, PROGRESS, PULL, REMOVE } from './tokens';

/** The commands of this app: `stowage.cmd.<node>.image-service.<verb>`. */
@Controller()
export class CommandsController {
  constructor(
    @Injects(IMAGE_RUNTIME) private readonly runtime: ImageRuntime,
    @Injects(ENSURE) private readonly ensureImage: EnsureImage,
    @Injects(REMOVE) private readonly removeImage: RemoveImage,
    @Injects(BUS) private readonly bus: Pick<EventBus, 'recent'>,
    @Injects(PULL) private readonly pullImage: Pick<PullImage, 'inProgress'>,
    @Injects(PROGRESS) private readonly progress: Pick<PullProgressWatch, 'progress'>,
  ) {}

  @Handles(imageService.ensure)
  ensure(input: CheckedInput<typeof imageService.ensure>, { signal, trace }: CommandCall) {
    return this.ensureImage.ensure(input, { signal, trace });
  }

  @Handles(imageService.list)
  list(input: CheckedInput<typeof imageService.list>, { signal }: CommandCall) {
    return listImages(this.runtime, input, { signal });
  }

  @Handles(imageService.pulls)
  pulls() {
    return pullsInProgress(this.pullImage, this.progress);
  }

  @Handles(imageService.status)
  status({ image }: CheckedInput<typeof imageService.status>, { signal }: CommandCall) {
    return imageStatus(this.runtime, image, { signal });
  }

  @Handles(imageService.remove)
  async remove(
    { image: name }: CheckedInput<typeof imageService.remove>,
    { signal, trace }: CommandCall,
  ) {
    checkImageArgument(name);
    const request = RemoveImageRequest.fromPartial({ image: { image: name } });
    const { removed, remaining, unconfirmed } = await this.removeImage.remove(request, {
      signal,
      traceparent: trace.traceparent,
    });
    if (unconfirmed !== undefined) throw unconfirmed;
    const { image } = removed ?? remaining ?? {};
    return { removed: removed !== undefined, imageId: image?.id, untagged: remaining?.untagged };
  }

  @Handles(imageService.stats)
  stats(_input: object, { signal }: CommandCall) {
    return imageStats(this.runtime, { signal });
  }

  @Handles(imageService.events)
  events(input: CheckedInput<typeof imageService.events>) {
    return recentEvents(this.bus, input);
  }
}
