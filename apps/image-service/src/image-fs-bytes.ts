import type { Image, ImageFsInfoResponse } from '@stowage/cri-proto';

/** Images smaller than this prove nothing: what a runtime notes about its images can be as large. */
const smallestProof = 1024 * 1024;

/** Bytes that ImageFsInfo says the images use, all image file systems together. */
export function imageFsBytes({ imageFilesystems }: ImageFsInfoResponse): number {
  return imageFilesystems.reduce((sum, { usedBytes }) => sum + Number(usedBytes?.value ?? 0n), 0);
}

/**
 * Whether a runtime's ImageFsInfo counts the images. CRI-O's counts the folder of its notes about them, some kB for each; snapshotters
 * that fetch files when they are read keep little on the disk. By CRI the bytes are those of the images, so they cannot be less than the
 * largest one takes; half of its size leaves room for compression. Undefined where the images there are prove neither.
 */
export function countsImages(
  usedBytes: number,
  images: readonly Pick<Image, 'size'>[],
): boolean | undefined {
  const largest = images.reduce((size, image) => Math.max(size, Number(image.size)), 0);
  if (usedBytes < largest / 2) return false;
  return largest < smallestProof ? undefined : true;
}
