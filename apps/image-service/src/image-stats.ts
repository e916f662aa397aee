import type { FilesystemUsage } from '@stowage/cri-proto';
import { isFolderOfNotes } from './image-fs-bytes';
import type { ImageRuntime } from './image-runtime';

/** Use of one file system of the runtime. */
export interface FilesystemView {
  readonly mountpoint: string;
  /** Both are absent where the runtime counts its notes about images and containers instead of these themselves (CRI-O). */
  readonly usedBytes?: number;
  readonly inodesUsed?: number;
}

/** Totals of a node's images. */
export interface ImageStats {
  readonly imageCount: number;
  /** Sum of the sizes the runtime reports, one for each image id, as kubelet's ImageStats. Shared layers count in each. */
  readonly totalStorageBytes: number;
  /** What the images take on disk, as the runtime measures it. */
  readonly imageFilesystems: readonly FilesystemView[];
  readonly containerFilesystems: readonly FilesystemView[];
}

/** Asks the runtime for both. */
export async function imageStats(
  runtime: ImageRuntime,
  options: { signal: AbortSignal },
): Promise<ImageStats> {
  const [{ images }, filesystems] = await Promise.all([
    runtime.listImages({}, options),
    runtime.imageFsInfo({}, options),
  ]);
  const sizes = new Map(images.map(({ id, size }) => [id, size]));
  return {
    imageCount: sizes.size,
    totalStorageBytes: Number([...sizes.values()].reduce((sum, size) => sum + size, 0n)),
    imageFilesystems: filesystems.imageFilesystems.map(filesystemView),
    containerFilesystems: filesystems.containerFilesystems.map(filesystemView),
  };
}

function filesystemView({ fsId, usedBytes, inodesUsed }: FilesystemUsage): FilesystemView {
  const mountpoint = fsId?.mountpoint ?? '';
  if (isFolderOfNotes(mountpoint)) return { mountpoint };
  return {
    mountpoint,
    usedBytes: Number(usedBytes?.value ?? 0n),
    inodesUsed: Number(inodesUsed?.value ?? 0n),
  };
}
