import { Controller, Inject } from '@nestjs/common';
import { RemoveImageRequest } from '@stowage/cri-proto';
import { Command } from '@stowage/service-kit';
import type { CommandCall } from '@stowage/service-kit';
import * as z from 'zod';
import type { EnsureImage } from './ensure-image';
import type { ImageRuntime } from './image-runtime';
import { imageStats } from './image-stats';
import { imageStatus } from './image-status';
import { checkImageArgument, listImages } from './list-images';
import { maxReferenceLength } from './pull-image';
import { pullPolicies } from './pull-policy';
import { pullPriorities } from './pull-queue';
import type { RemoveImage } from './remove-image';
import { ENSURE, REMOVE, RUNTIME } from './tokens';

const image = z.string().min(1).max(maxReferenceLength);

/** Thirty days: a hold outlives the one that asked for it, and somebody has to clean up. */
const maxHoldSeconds = 30 * 86_400;

/** A pod UID has 36 characters; namespace and name together 317. */
const maxCallerLength = 512;

const auth = z.strictObject({
  username: z.string().optional(),
  password: z.string().optional(),
  auth: z.string().optional(),
  serverAddress: z.string().optional(),
  identityToken: z.string().optional(),
  registryToken: z.string().optional(),
});

const ensureInput = z
  .strictObject({
    image,
    pullPolicy: z.enum(pullPolicies).optional(),
    auth: auth.optional(),
    credentialsRef: z.string().min(1).max(maxCallerLength).optional(),
    caller: z.string().min(1).max(maxCallerLength).optional(),
    priority: z.int().min(pullPriorities.min).max(pullPriorities.max).optional(),
    holdSeconds: z.int().min(0).max(maxHoldSeconds).optional(),
  })
  .refine((input) => input.auth === undefined || input.credentialsRef === undefined, {
    path: ['credentialsRef'],
    message: 'not together with auth',
  });
const listInput = z.strictObject({ image: image.optional() });
const imageInput = z.strictObject({ image });
const noInput = z.strictObject({});

/** The NATS commands of this app: `stowage.cmd.<node>.image-service.<verb>`. */
@Controller()
export class CommandsController {
  constructor(
    @Inject(RUNTIME) private readonly runtime: ImageRuntime,
    @Inject(ENSURE) private readonly ensureImage: EnsureImage,
    @Inject(REMOVE) private readonly removeImage: RemoveImage,
  ) {}

  @Command('ensure', ensureInput)
  ensure(input: z.infer<typeof ensureInput>, { signal }: CommandCall) {
    return this.ensureImage.ensure(input, { signal });
  }

  @Command('list', listInput)
  list(input: z.infer<typeof listInput>, { signal }: CommandCall) {
    return listImages(this.runtime, input, { signal });
  }

  @Command('status', imageInput)
  status(input: z.infer<typeof imageInput>, { signal }: CommandCall) {
    return imageStatus(this.runtime, input.image, { signal });
  }

  @Command('remove', imageInput)
  async remove(input: z.infer<typeof imageInput>, { signal }: CommandCall) {
    checkImageArgument(input.image);
    const request = RemoveImageRequest.fromPartial({ image: { image: input.image } });
    const { removed } = await this.removeImage.remove(request, { signal });
    return { removed: removed !== undefined, imageId: removed?.image.id };
  }

  @Command('stats', noInput)
  stats(_input: object, { signal }: CommandCall) {
    return imageStats(this.runtime, { signal });
  }
}
