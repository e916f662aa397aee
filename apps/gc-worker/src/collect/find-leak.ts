import { setTimeout as sleep } from 'node:timers/promises';
import type { ImageDetector } from '../detect/detect-images';
import type { DiskWatch } from '../disk/disk-watch';
import type { Runtime, RuntimeUsage } from '../runtime/runtime';

export interface LeakSearchParts {
  readonly runtime: Pick<Runtime, 'usage' | 'writableLayers'>;
  readonly detector: Pick<ImageDetector, 'knownBytes'>;
  readonly disks: Pick<DiskWatch, 'imageUse'>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /**
   * How long to wait for a report of the runtime's usage that was sampled after the removals.
   * Milliseconds.
   */
  readonly usageWaitMs: number;
  /** Whether somebody waits for this collection to end; then there is no wait. */
  readonly isAwaited: () => boolean;
}

/** Default of `usageWaitMs`: containerd samples every 10 s, which takes a while on a busy node. */
export const defaultUsageWaitMs = 15_000;

/** Pause between two reports of the runtime's usage. */
const usagePollMs = 250;

/**
 * Bytes in use on the image file systems that neither known images nor containers account for.
 * Undefined where runtime or file system do not report enough; throws where they cannot be asked,
 * or the runtime reports only an old usage.
 */
export async function findLeakedBytes(
  parts: LeakSearchParts,
  { signal }: { signal: AbortSignal },
): Promise<number | undefined> {
  const { detector, disks, now } = parts;
  const usage = await usageSince(now(), parts, signal);
  const use = usage && (await disks.imageUse(usage.byMountpoint, { signal }));
  if (use === undefined) return undefined;
  const imageBytes = detector.knownBytes();
  const containerBytes = await writtenByContainers(use.storedBytes, imageBytes, parts, signal);
  if (containerBytes === undefined) return undefined;
  // The runtime's usage is of unpacked images and containers; images' sizes are (for containerd) of
  // the packed content. Runtimes that count a byte in both make this too low, never too high.
  return Math.max(0, use.usedBytes - use.storedBytes - imageBytes - containerBytes);
}

/**
 * The runtime's usage as sampled at `since` or later; undefined where it reports none. An older one
 * still holds what was removed since: containerd samples every 10 s (`stats_collect_period`) and
 * says when. Throws when none comes in time, or somebody waits for this collection to end.
 */
async function usageSince(
  since: number,
  { runtime, usageWaitMs, isAwaited }: LeakSearchParts,
  signal: AbortSignal,
): Promise<RuntimeUsage | undefined> {
  const until = performance.now() + usageWaitMs;
  for (;;) {
    const usage = await runtime.usage({ signal });
    if (usage === undefined || usage.sampledAt >= since) return usage;
    if (performance.now() >= until || isAwaited()) {
      throw new Error('the runtime reported only its usage before the removals');
    }
    await sleep(usagePollMs, undefined, { signal });
  }
}

/**
 * What containers wrote, where the runtime's usage does not include it: that of CRI-O is of a
 * folder with metadata alone, which is much less than the images. Undefined where it is not
 * reported.
 */
async function writtenByContainers(
  storedBytes: number,
  imageBytes: number,
  { runtime, disks }: LeakSearchParts,
  signal: AbortSignal,
): Promise<number | undefined> {
  if (storedBytes >= imageBytes / 2) return 0;
  const layers = await runtime.writableLayers({ signal });
  return layers && (await disks.imageUse(layers, { signal }))?.storedBytes;
}
