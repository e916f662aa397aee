import type { ImageRuntime } from './image-runtime';
import { checkImageArgument, imageView, statusOf } from './list-images';
import type { ImageView } from './list-images';

/** One image by reference or id; null when it is not on the node. */
export async function imageStatus(
  runtime: ImageRuntime,
  image: string,
  options: { signal: AbortSignal },
): Promise<{ image: ImageView | null }> {
  checkImageArgument(image);
  const found = await statusOf(runtime, image, options);
  return { image: found === undefined ? null : imageView(found) };
}
