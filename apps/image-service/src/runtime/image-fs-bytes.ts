import path from 'node:path';
import type { Image, ImageFsInfoResponse } from '@stowage/cri-proto';

/** Bytes that ImageFsInfo says the images use, all image file systems together. */
export function imageFsBytes({ imageFilesystems }: ImageFsInfoResponse): number {
  return imageFilesystems.reduce((sum, { usedBytes }) => sum + Number(usedBytes?.value ?? 0n), 0);
}

/**
 * Images smaller than this prove nothing: what a runtime notes about its images can be as large.
 */
const smallestProof = 1024 * 1024;

/**
 * Whether the images that are there prove that a runtime's ImageFsInfo counts them. By CRI its
 * bytes are those of the images, so they cannot be less than the largest one takes; half of its
 * size leaves room for compression. CRI-O counts its notes about images, some kB for each;
 * snapshotters that fetch files when they are read keep little on the disk. False may change:
 * containerd counts every 10 s.
 */
export function provesCount(usedBytes: number, images: readonly Pick<Image, 'size'>[]): boolean {
  const largest = images.reduce((size, image) => Math.max(size, Number(image.size)), 0);
  return largest >= smallestProof && usedBytes >= largest / 2;
}

/**
 * Whether a mount point of ImageFsInfo is the folder in which CRI-O (containers/storage) notes what
 * images or containers it has, as in `/var/lib/containers/storage/overlay-images`. Their layers lie
 * beside it and are not in its bytes.
 */
export function isFolderOfNotes(mountpoint: string): boolean {
  return /^(overlay2?|vfs|btrfs|zfs|aufs)-(images|containers)$/.test(path.basename(mountpoint));
}
