import type { ImageRuntime } from './image-runtime';
import { checkImageArgument, imageView } from './list-images';
import type { ImageView } from './list-images';

/** One image by reference or id; null when it is not on the node. */
export async function imageStatus(
  runtime: ImageRuntime,
  image: string,
  options: { signal: AbortSignal },
): Promise<{ image: ImageView | null }> {
  checkImageArgument(image);
  const status = await runtime.imageStatus({ image: { image } }, options);
  return { image: status.image === undefined ? null : imageView(status.image) };
}
