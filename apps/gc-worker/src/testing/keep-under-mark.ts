import assert from 'node:assert/strict';
import { statfsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { connectImageService } from '@stowage/cri-client';
import {
  eventuallyPasses,
  ServiceFixture,
  type PushedImage,
  type RunningPod,
  randomFrom,
} from '@stowage/testing';

export interface KeepOptions {
  /** How long images are pulled; longer where it takes that for {@link leastPulls}. */
  readonly seconds: number;
  readonly seed: number;
  readonly say?: (line: string) => void;
}

export interface KeepReport {
  readonly pulls: number;
  readonly removals: number;
  readonly collections: number;
  /** Most that was in use at any look, and what it must not be above. */
  readonly peakBytes: number;
  readonly limitBytes: number;
}

const highPercent = 75;
const lowPercent = 65;
const imageCount = 30;
/** Sizes in MiB of what is packed; unpacked beside it an image takes twice that. */
const [smallest, largest] = [10, 25];
/** More than fit below the mark. */
const leastPulls = 20;
const lookEveryMs = 50;

/**
 * A file system of 600 MB on which an image is pulled at random every second, and a real worker
 * that keeps it under its mark. Every five pulls the image just pulled is used by a pod, which
 * lives until there are three younger ones. Throws when at any look more is in use than the high
 * mark and one image, when an image in use is gone, or when the events are not what happened.
 */
export async function keepUnderMark(options: KeepOptions): Promise<KeepReport> {
  const { seconds, seed, say = () => undefined } = options;
  const random = randomFrom(seed);
  const fixture = await ServiceFixture.start({ filesystemMb: 600 });
  const { stack, events } = fixture;
  const images = connectImageService({ endpoint: stack.runtime.endpoint });
  const used = () => {
    const { blocks, bavail, bsize } = statfsSync(stack.runtime.root);
    return (blocks - bavail) * bsize;
  };
  const capacity = () => {
    const { blocks, bsize } = statfsSync(stack.runtime.root);
    return blocks * bsize;
  };
  const limitBytes = capacity() * (highPercent / 100) + 2 * largest * 2 ** 20;
  const listed = async () => new Set((await images.listImages({})).images.map(({ id }) => id));
  let peakBytes = 0;
  const look = setInterval(() => {
    peakBytes = Math.max(peakBytes, used());
  }, lookEveryMs);
  try {
    const pushed: PushedImage[] = [];
    for (let at = 0; at < imageCount; at += 1) {
      const sizeMb = smallest + Math.floor(random() * (largest - smallest + 1));
      const layersMb = (2 * sizeMb) / stack.runtime.layerCopies;
      pushed.push(await stack.pushImage({ name: `team/keep-${at}`, sizeMb: layersMb }));
    }
    await fixture.start('gc-worker', {
      STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: String(highPercent),
      STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: String(lowPercent),
      // So that an image that was just pulled is still there when its pod is made.
      STOWAGE_IMAGE_MINIMUM_GC_AGE: '3s',
      STOWAGE_DETECTION_INTERVAL: '500ms',
      STOWAGE_DISK_CHECK_INTERVAL: '100ms',
      STOWAGE_COLLECTION_RETRY: '200ms',
    });
    const pods: { pod: RunningPod; imageId: string }[] = [];
    const checkUse = async () => {
      const present = await listed();
      for (const { imageId } of pods) {
        assert.ok(present.has(imageId), `image ${imageId} is gone although a container uses it`);
      }
    };
    let pulls = 0;
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end || pulls < leastPulls) {
      const nextAt = performance.now() + 1000;
      const there = await listed();
      const absent = pushed.filter(({ imageId }) => !there.has(imageId));
      const chosen = absent[Math.floor(random() * absent.length)];
      if (chosen !== undefined) {
        await stack.pullImage(chosen.reference);
        pulls += 1;
        if (pulls % 5 === 1) {
          pods.push({
            pod: await stack.runPod({ image: chosen.reference }),
            imageId: chosen.imageId,
          });
          if (pods.length > 3) await pods.shift()?.pod.remove();
        }
      }
      await checkUse();
      const percent = Math.round((used() * 100) / capacity());
      say(`${pulls} pulls, ${events.named('ImageRemoved').length} removals, ${percent} % used`);
      await pause(Math.max(0, nextAt - performance.now()));
    }
    const collections = () => [
      ...events.named('GarbageCollected'),
      ...events.named('GarbageCollectionFailed'),
    ];
    await eventuallyPasses(
      async () => {
        await checkUse();
        assert.ok(used() <= (capacity() * highPercent) / 100 + 1, 'it stays over the mark');
        const present = await listed();
        const told = new Map<string, boolean>();
        for (const { name, subject } of events.all) {
          if (name === 'ImageDetected') told.set(subject, true);
          if (name === 'ImageRemoved') told.set(subject, false);
        }
        const there = [...told].filter(([, isThere]) => isThere).map(([imageId]) => imageId);
        assert.deepEqual(there.sort(), [...present].sort(), 'events are not what is there');
        // A collection that still runs has reported its removals, and comes to its own end after
        // them.
        const summed = collections().reduce((sum, { data }) => sum + data.removedCount, 0);
        const removed = events.named('ImageRemoved').length;
        assert.equal(summed, removed, 'collections report other removals than there were');
      },
      { timeoutMs: 60_000 },
    );
    const ours = new Set(pushed.map(({ imageId }) => imageId));
    const removals = events.named('ImageRemoved');
    for (const { data } of removals) {
      assert.equal(data.reason, 'threshold');
      assert.ok(ours.has(data.imageId ?? ''), `${String(data.imageId)} is none of the pulled ones`);
    }
    const detections = events.named('ImageDetected').filter(({ subject }) => ours.has(subject));
    assert.equal(detections.length, pulls, 'not every pull was detected once');
    assert.deepEqual(events.invalid, []);
    const own = events.all.filter(({ app }) => app === 'gc-worker');
    assert.deepEqual(
      own.map(({ sequence }) => sequence),
      own.map((_, at) => at + 1),
    );
    const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    assert.ok(
      peakBytes <= limitBytes,
      `${megabytes(peakBytes)} were in use, above the high mark and one image (${megabytes(limitBytes)})`,
    );
    return {
      pulls,
      removals: removals.length,
      collections: collections().length,
      peakBytes,
      limitBytes,
    };
  } finally {
    clearInterval(look);
    images.close();
    await fixture.down();
  }
}
