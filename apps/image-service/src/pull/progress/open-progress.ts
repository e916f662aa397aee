import path from 'node:path';
import type { ImageRuntime } from '../../runtime/image-runtime';
import type { Pull, PullProgress } from '../pull';
import { ContentStore } from './content-store';
import { PullProgressWatch } from './pull-progress';
import type { ProgressPolicy } from './pull-progress';

/** containerd's name of the folder. */
const contentFolder = 'io.containerd.content.v1.content';

/** How the progress of pulls is watched, and from where. */
export interface ProgressSettings extends Omit<ProgressPolicy, 'trustImageFs'> {
  readonly source: 'auto' | 'image-fs';
  /** containerd's content store; absent: beside the snapshots that ImageFsInfo names. */
  readonly contentDir?: string;
}

/**
 * Opens the watch. `auto` finds containerd's content store beside the snapshots that ImageFsInfo
 * names. It asks as soon as the runtime is there, so that a runtime that freezes later is seen to
 * stand still.
 */
export function openProgressWatch(
  { source, contentDir, deadlineMs, intervalMs }: ProgressSettings,
  runtime: Pick<ImageRuntime, 'imageFsInfo' | 'listImages' | 'whenAvailable'>,
  report: (pull: Pull, progress: PullProgress) => void,
  signal: AbortSignal,
): PullProgressWatch {
  const stores = new Map<string, ContentStore>();
  const find = async (mountpoint: string): Promise<ContentStore | undefined> => {
    if (source === 'image-fs') return undefined;
    const root = contentDir ?? path.join(path.dirname(mountpoint), contentFolder);
    if (!path.isAbsolute(root)) return undefined;
    const store = stores.get(root) ?? new ContentStore(root);
    stores.set(root, store);
    return (await store.isReachable()) ? store : undefined;
  };
  const watch = new PullProgressWatch(
    { deadlineMs, intervalMs, trustImageFs: source === 'image-fs' },
    runtime,
    find,
    report,
  );
  runtime.whenAvailable({ signal }).then(
    () => watch.look(),
    () => undefined, // stopped before
  );
  return watch;
}
