import type { FileSystemRole } from '../runtime/runtime';
import { sizeText, type DiskAssessment } from './assess-disk';

/** What the bytes in use on one file system belong to; the three parts sum to `usedBytes`. */
export interface DiskBreakdown {
  readonly mountpoint: string;
  readonly role: FileSystemRole;
  /** Bytes that files take, blocks reserved for root not counted. */
  readonly usedBytes: number;
  /** Images, packed and unpacked. */
  readonly imageBytes: number;
  /** What containers wrote on top of their images. */
  readonly containerBytes: number;
  /** Everything else: logs, volumes, files of other programs, what the runtime lost track of. */
  readonly otherBytes: number;
}

/** What the runtime reports to keep on one file system. Bytes. */
export interface FileSystemUse {
  readonly mountpoint: string;
  readonly role: FileSystemRole;
  readonly usedBytes: number;
  /** By the runtime's account of its stores (ImageFsInfo). */
  readonly storedBytes: number;
  /** By its account of containers' writable layers (ListContainerStats). */
  readonly writtenBytes: number;
}

/**
 * Divides what is in use among images, containers and the rest. `listedBytes` is what the images
 * take by the sizes that the runtime lists, layers counted once. containerd's stores hold unpacked
 * images and containers beside the packed content that the sizes are of; the account of CRI-O's
 * store is of metadata alone, and far below the sizes. Where images lie on several file systems it
 * is not known how many on which: those are left out.
 */
export function breakDown(uses: readonly FileSystemUse[], listedBytes: number): DiskBreakdown[] {
  const isOnlyOne = uses.filter(({ role }) => role === 'image').length === 1;
  return uses.flatMap((use) => {
    if (use.role === 'container') {
      return [parts(use, 0, Math.max(use.storedBytes, use.writtenBytes))];
    }
    return isOnlyOne ? [ofImageFileSystem(use, listedBytes)] : [];
  });
}

function ofImageFileSystem(use: FileSystemUse, listedBytes: number): DiskBreakdown {
  const { storedBytes, writtenBytes } = use;
  if (storedBytes < listedBytes / 2) return parts(use, storedBytes + listedBytes, writtenBytes);
  const containerBytes = Math.min(writtenBytes, storedBytes);
  return parts(use, storedBytes - containerBytes + listedBytes, containerBytes);
}

/** The runtime's accounts are older than the file system's, and may exceed it. */
function parts(use: FileSystemUse, images: number, containers: number): DiskBreakdown {
  const { mountpoint, role, usedBytes } = use;
  const imageBytes = Math.min(images, usedBytes);
  const containerBytes = Math.min(containers, usedBytes - imageBytes);
  const otherBytes = usedBytes - imageBytes - containerBytes;
  return { mountpoint, role, usedBytes, imageBytes, containerBytes, otherBytes };
}

/**
 * Whether a file system would be down at its low threshold of bytes without any image, those in use
 * included; undefined where it is down there already.
 */
export function imagesSuffice(
  disk: Pick<DiskAssessment, 'bytesToFree'>,
  { imageBytes }: DiskBreakdown,
): boolean | undefined {
  return disk.bytesToFree <= 0 ? undefined : imageBytes >= disk.bytesToFree;
}

/** A breakdown in words, for people. */
export function breakdownText(
  disk: Pick<DiskAssessment, 'bytesToFree'>,
  breakdown: DiskBreakdown,
): string {
  const { usedBytes, imageBytes, containerBytes, otherBytes } = breakdown;
  const held =
    `of ${sizeText(usedBytes)} in use, images hold ${sizeText(imageBytes)}, ` +
    `containers ${sizeText(containerBytes)}, other files ${sizeText(otherBytes)}`;
  return imagesSuffice(disk, breakdown) === false
    ? `${held}: without any image it would still be above its low threshold`
    : held;
}
