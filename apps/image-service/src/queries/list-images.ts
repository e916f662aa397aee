import type { CommandAnswer, imageService } from '@stowage/commands';
import { checkImageArgument } from '../runtime/image-names';
import type { ImageRuntime, RuntimeImage } from '../runtime/image-runtime';
import { asReferenceError } from '../pull/refused-reference';

type ListedImages = CommandAnswer<typeof imageService.list>;

/** Translates the runtime's image. */
export function imageView({
  id,
  repoTags,
  repoDigests,
  size,
  pinned,
  spec,
}: RuntimeImage): ListedImages['images'][number] {
  return {
    imageId: id,
    repoTags,
    repoDigests,
    sizeBytes: Number(size),
    pinned,
    runtimeHandler: (spec?.runtimeHandler ?? '') === '' ? undefined : spec?.runtimeHandler,
  };
}

/**
 * All images, or the one that `image` names; sorted by id, so that two answers can be compared. A
 * name is looked up by ImageStatus: runtimes ignore the filter of ListImages.
 */
export async function listImages(
  runtime: ImageRuntime,
  { image }: { image?: string },
  options: { signal: AbortSignal },
): Promise<ListedImages> {
  if (image !== undefined) {
    checkImageArgument(image);
    const named = await statusOf(runtime, image, options);
    return { images: named === undefined ? [] : [imageView(named)] };
  }
  const { images } = await runtime.listImages({}, options);
  return { images: images.map(imageView).sort((a, b) => (a.imageId < b.imageId ? -1 : 1)) };
}

/**
 * The runtime's word on one image; undefined when it is not there. Throws InvalidImageNameError
 * where the runtime cannot read the name.
 */
export async function statusOf(
  runtime: ImageRuntime,
  image: string,
  options: { signal: AbortSignal },
): Promise<RuntimeImage | undefined> {
  try {
    return (await runtime.imageStatus({ image: { image } }, options)).image;
  } catch (error) {
    throw asReferenceError(error, image);
  }
}
