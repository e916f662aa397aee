import type { CommandAnswer, imageService } from '@stowage/commands';
import { checkImageArgument } from '../runtime/image-names';
import type { ImageRuntime } from '../runtime/image-runtime';
import { imageView, statusOf } from './list-images';

/** One image by reference or id; null when it is not on the node. */
export async function imageStatus(
  runtime: ImageRuntime,
  image: string,
  options: { signal: AbortSignal },
): Promise<CommandAnswer<typeof imageService.status>> {
  checkImageArgument(image);
  const found = await statusOf(runtime, image, options);
  return { image: found === undefined ? null : imageView(found) };
}
