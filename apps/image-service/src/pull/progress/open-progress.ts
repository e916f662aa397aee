import path from 'node:path';
import type { ImageServiceConfig } from '../../config';
import type { ImageRuntime } from '../../runtime/image-runtime';
import type { Pull } from '../pull-image';
import { ContentStore } from './content-store';
import { PullProgressWatch } from './pull-progress';
import type { PullProgress } from './pull-progress';

/** containerd's name of the folder. */
const contentFolder = 'io.containerd.content.v1.content';

/**
 * The watch of a configuration. `auto` finds containerd's content store beside the snapshots that ImageFsInfo names. It asks as soon as
 * the runtime is there, so that a runtime that freezes later is seen to stand still.
 */
export function openProgressWatch(
  config: Pick<
    ImageServiceConfig,
    | 'containerdContentDir'
    | 'imagePullProgressDeadlineMs'
    | 'imagePullProgressIntervalMs'
    | 'imagePullProgressSource'
  >,
  runtime: Pick<ImageRuntime, 'imageFsInfo' | 'listImages' | 'whenAvailable'>,
  tell: (pull: Pull, progress: PullProgress) => void,
  signal: AbortSignal,
): PullProgressWatch {
  const stores = new Map<string, ContentStore>();
  const find = async (mountpoint: string): Promise<ContentStore | undefined> => {
    if (config.imagePullProgressSource === 'image-fs') return undefined;
    const root =
      config.containerdContentDir === ''
        ? path.join(path.dirname(mountpoint), contentFolder)
        : config.containerdContentDir;
    if (!path.isAbsolute(root)) return undefined;
    const store = stores.get(root) ?? new ContentStore(root);
    stores.set(root, store);
    return (await store.isReachable()) ? store : undefined;
  };
  const watch = new PullProgressWatch(
    {
      deadlineMs: config.imagePullProgressDeadlineMs,
      intervalMs: config.imagePullProgressIntervalMs,
      trustImageFs: config.imagePullProgressSource === 'image-fs',
    },
    runtime,
    find,
    tell,
  );
  runtime.whenAvailable({ signal }).then(
    () => watch.look(),
    () => undefined, // stopped before
  );
  return watch;
}
