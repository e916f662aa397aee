import type { CommandAnswer, imageService } from '@stowage/commands';
import type { FilesystemUsage } from '@stowage/cri-proto';
import { isFolderOfNotes } from '../runtime/image-fs-bytes';
import type { ImageRuntime } from '../runtime/image-runtime';

type ImageStats = CommandAnswer<typeof imageService.stats>;

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

function filesystemView({
  fsId,
  usedBytes,
  inodesUsed,
}: FilesystemUsage): ImageStats['imageFilesystems'][number] {
  const mountpoint = fsId?.mountpoint ?? '';
  if (isFolderOfNotes(mountpoint)) return { mountpoint };
  return {
    mountpoint,
    usedBytes: Number(usedBytes?.value ?? 0n),
    inodesUsed: Number(inodesUsed?.value ?? 0n),
  };
}
