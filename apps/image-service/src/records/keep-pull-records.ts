import type { ImageServiceClient } from '@stowage/cri-client';
import { errorMessage } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { ImagePullRecords } from './image-pull-records';
import type { RecordListener } from './image-pull-records';
import { FsRecordStore } from './record-store';
import { verificationPolicy } from './verification-policy';
import type { VerificationPolicyName } from './verification-policy';

/** Where pull records are, and whose use of an image is checked against them. */
export interface RecordSettings {
  readonly dir: string;
  readonly policy: VerificationPolicyName;
  /** Kubelet's `preloadedImagesVerificationAllowlist`. */
  readonly allowlist: readonly string[];
}

/** Opens the pull records. Throws VerificationPolicyError for an allow list that cannot be. */
export function openPullRecords(
  { dir, policy, allowlist }: RecordSettings,
  listener: RecordListener,
): ImagePullRecords {
  const store = new FsRecordStore(dir, (error) =>
    listener.problem?.('a pull record could not be read', error),
  );
  return new ImagePullRecords(store, verificationPolicy(policy, allowlist), listener);
}

/** After a failure, milliseconds. */
const retryAfterMs = 5000;

/**
 * As soon as the runtime answers: ends what an earlier process left behind. Then, and every
 * `pruneIntervalMs`: drops the records of images that are gone. Ends with the signal.
 */
export function keepPullRecords(
  records: ImagePullRecords,
  runtime: Pick<ImageServiceClient, 'availability' | 'listImages' | 'onAvailability'>,
  options: {
    pruneIntervalMs: number;
    /** Whether the process that left pull intents behind has ended; asked each time. */
    mayRecover: () => boolean;
    log: Logger;
    signal: AbortSignal;
  },
): void {
  const { pruneIntervalMs, mayRecover, log, signal } = options;
  let isRecovered = false;
  let busy = false;
  let retry: NodeJS.Timeout | undefined;
  const isStopping = () => signal.aborted;
  const keep = async () => {
    if (busy || isStopping() || !runtime.availability().available) return;
    busy = true;
    clearTimeout(retry);
    try {
      if (!isRecovered && mayRecover()) {
        await records.recover(runtime, { signal });
        isRecovered = true;
      }
      const before = new Date();
      const { images } = await runtime.listImages({}, { signal });
      records.prune(
        images.flatMap(({ id, repoDigests }) => [id, ...repoDigests]),
        before,
      );
    } catch (error) {
      if (!isStopping()) {
        log.warn({ reason: errorMessage(error) }, 'pull records could not be brought up to date');
        retry = setTimeout(() => void keep(), Math.min(retryAfterMs, pruneIntervalMs)).unref();
      }
    } finally {
      busy = false;
    }
  };
  const removeListener = runtime.onAvailability(() => {
    if (!isRecovered) void keep();
  });
  const timer = setInterval(() => void keep(), pruneIntervalMs).unref();
  signal.addEventListener(
    'abort',
    () => {
      clearInterval(timer);
      clearTimeout(retry);
      removeListener();
    },
    { once: true },
  );
  void keep();
}
