import { contextToken, token } from '@stowage/service-kit';
import type { ImageServiceConfig } from './config';
import type { NodeCredentials } from './credentials/credentials';
import type { ImageSocket } from './endpoint/image-socket';
import type { Serving } from './endpoint/serving';
import type { EnsureImage } from './ensure/ensure-image';
import type { ImageListeners } from './listeners/listeners';
import type { PullsInProgress } from './listeners/pulls-in-progress';
import type { ImageMetrics } from './metrics';
import type { PullProgressWatch } from './pull/progress/pull-progress';
import type { Puller } from './pull/pull';
import type { PullImage } from './pull/pull-image';
import type { OpenPullJournal } from './pull/pull-journal';
import type { PullQueue } from './pull/pull-queue';
import type { ImagePullRecords } from './records/image-pull-records';
import type { RemoveImage } from './remove/remove-image';
import type { ShortNames } from './runtime/short-names';

export const CONTEXT = contextToken<ImageServiceConfig>();
export const QUEUE = token<PullQueue>('PullQueue');
export const METRICS = token<ImageMetrics>('ImageMetrics');
export const NODE = token<NodeCredentials>('NodeCredentials');
/** Undefined when the configuration wants no records. */
export const RECORDS = token<ImagePullRecords | undefined>('ImagePullRecords');
export const SOCKET = token<ImageSocket>('ImageSocket');
export const JOURNAL = token<OpenPullJournal>('PullJournal');
export const PULLS_IN_PROGRESS = token<PullsInProgress>('PullsInProgress');
export const LISTENERS = token<Required<ImageListeners>>('ImageListeners');
export const SHORT_NAMES = token<ShortNames>('ShortNames');
export const PROGRESS = token<PullProgressWatch>('PullProgressWatch');
export const PULL = token<PullImage>('PullImage');
/** {@link PULL}, recorded where there are records. */
export const PULLER = token<Puller>('Puller');
export const REMOVE = token<RemoveImage>('RemoveImage');
export const ENSURE = token<EnsureImage>('EnsureImage');
export const SERVING = token<Serving>('Serving');
