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

const image = z
  .string()
  .min(1)
  .max(maxReferenceLength)
  .describe('Image reference as a user writes it, or an image id');

/** Thirty days: a hold outlives the one that asked for it, and somebody has to clean up. */
const maxHoldSeconds = 30 * 86_400;

/** A pod UID has 36 characters; namespace and name together 317. */
const maxCallerLength = 512;

const auth = z.strictObject({
  username: z.string().optional().describe('With `password`'),
  password: z.string().optional().describe('With `username`'),
  auth: z.string().optional().describe('Both, as base64 of `username:password`'),
  serverAddress: z.string().optional().describe('Registry they are for, as in docker config files'),
  identityToken: z.string().optional().describe('Token that the registry exchanges for another'),
  registryToken: z.string().optional().describe('Bearer token sent to the registry as it is'),
});

const ensureInput = z
  .strictObject({
    image,
    pullPolicy: z
      .enum(pullPolicies)
      .optional()
      .describe('Absent: Always for the tag `latest`, else IfNotPresent'),
    auth: auth.optional().describe('Credentials for this pull, in place of those of the node'),
    credentialsRef: z
      .string()
      .min(1)
      .max(maxCallerLength)
      .optional()
      .describe('`namespace/name` of a mounted pull secret that alone is used; not with `auth`'),
    caller: z
      .string()
      .min(1)
      .max(maxCallerLength)
      .optional()
      .describe('For whom back-off counts, such as a pod UID'),
    priority: z
      .int()
      .min(pullPriorities.min)
      .max(pullPriorities.max)
      .optional()
      .describe('Place in the queue of pulls; more is sooner'),
    holdSeconds: z
      .int()
      .min(0)
      .max(maxHoldSeconds)
      .optional()
      .describe('gc-worker does not collect the image for so long'),
  })
  .refine((input) => input.auth === undefined || input.credentialsRef === undefined, {
    path: ['credentialsRef'],
    message: 'not together with auth',
  });
const listInput = z.strictObject({
  image: image.optional().describe('Only this image; absent: all'),
});
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

  @Command('ensure', ensureInput, {
    does: 'Pulls the image unless it is there already, by the pull policy.',
    answers: '`{imageRef, imageId, pulled, bytes, durationMs}`',
    timeoutMs: 'own', // by progress of the pull
  })
  ensure(input: z.infer<typeof ensureInput>, { signal, trace }: CommandCall) {
    return this.ensureImage.ensure(input, { signal, trace });
  }

  @Command('list', listInput, {
    does: 'Lists the images of the runtime.',
    answers: '`{images}`',
  })
  list(input: z.infer<typeof listInput>, { signal }: CommandCall) {
    return listImages(this.runtime, input, { signal });
  }

  @Command('status', imageInput, {
    does: 'Tells one image.',
    answers: '`{image}`, which is null when the runtime does not have it',
  })
  status(input: z.infer<typeof imageInput>, { signal }: CommandCall) {
    return imageStatus(this.runtime, input.image, { signal });
  }

  @Command('remove', imageInput, {
    does: 'Removes an image. One that is not there is no error.',
    answers:
      '`{removed, imageId?, untagged?}`; `untagged` where the runtime still has the image: the names that it took away',
    timeoutMs: 'own', // by the limit of calls to the runtime
  })
  async remove(input: z.infer<typeof imageInput>, { signal, trace }: CommandCall) {
    checkImageArgument(input.image);
    const request = RemoveImageRequest.fromPartial({ image: { image: input.image } });
    const { removed, remaining, unconfirmed } = await this.removeImage.remove(request, {
      signal,
      traceparent: trace.traceparent,
    });
    if (unconfirmed !== undefined) throw unconfirmed;
    const { image } = removed ?? remaining ?? {};
    return { removed: removed !== undefined, imageId: image?.id, untagged: remaining?.untagged };
  }

  @Command('stats', noInput, {
    does: 'Tells number and size of images and the image file systems.',
    answers: '`{imageCount, totalStorageBytes, imageFilesystems}`',
  })
  stats(_input: object, { signal }: CommandCall) {
    return imageStats(this.runtime, { signal });
  }
}
