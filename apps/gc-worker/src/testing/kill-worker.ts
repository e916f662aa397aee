import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { gcWorker } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectImageService } from '@stowage/cri-client';
import {
  eventually,
  eventuallyPasses,
  randomFrom,
  ServiceFixture,
  type PushedImage,
} from '@stowage/testing';

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  readonly say?: (line: string) => void;
}

/** What the kills met. */
export interface KillReport {
  /** Images that were removed at the runtime when the worker was killed, summed over all kills. */
  readonly removedBefore: number;
  /** Kills after which some images of a collection were gone and others not. */
  readonly midCollection: number;
}

const imageCount = 6;
const aboutOneRemovalMs = 30;

/**
 * Kills a real worker (SIGKILL) at random points of collections, again and again, and after each
 * restart holds records and events against the runtime. Throws where they disagree: an image gone
 * without ImageRemoved, or told removed while it is there; one that the worker removed told as
 * vanished; a detection or a removal told twice; records of other images than the runtime's; a gap
 * in the sequence; an image in use gone.
 */
export async function killWorkerAtRandom(options: KillOptions): Promise<KillReport> {
  const { kills, seed, say = () => undefined } = options;
  const random = randomFrom(seed);
  const fixture = await ServiceFixture.start({ filesystemMb: 300 });
  const { stack, events, nats, node } = fixture;
  const images = connectImageService({ endpoint: stack.runtime.endpoint });
  const startWorker = () =>
    fixture.start('gc-worker', {
      STOWAGE_COMMANDS: 'run,images',
      STOWAGE_IMAGE_MINIMUM_GC_AGE: '0',
      STOWAGE_DETECTION_INTERVAL: '200ms',
      STOWAGE_DISK_CHECK_INTERVAL: '1h',
    });
  /** Ids of the images that the worker has records of. */
  const recorded = async (): Promise<string[]> => {
    const options = { timeoutMs: 5000, strict: true };
    const reply = await sendCommand(nats, node, gcWorker.images, {}, options);
    assert.ok('total' in reply);
    return reply.images.map(({ imageId }) => imageId).sort();
  };
  const listed = async () => (await images.listImages({})).images.map(({ id }) => id).sort();
  let [removedBefore, midCollection] = [0, 0];
  try {
    const used = await stack.pushImage({ name: 'team/used', sizeMb: 3 });
    await stack.runPod({ image: used.reference });
    const pushed: PushedImage[] = [];
    for (let at = 0; at < imageCount; at += 1) {
      pushed.push(await stack.pushImage({ name: `team/kill-${at}`, sizeMb: 3 }));
    }
    const agree = async () => {
      await eventuallyPasses(
        async () => {
          const present = await listed();
          assert.deepEqual(await recorded(), present);
          assert.ok(present.includes(used.imageId), 'the image in use is gone');
          for (const { imageId } of pushed) {
            const told = events.all.filter(
              ({ subject, name }) =>
                subject === imageId && ['ImageDetected', 'ImageRemoved'].includes(name),
            );
            const [last, expected] = [
              told.at(-1)?.name,
              present.includes(imageId) ? 'ImageDetected' : 'ImageRemoved',
            ];
            if (told.length > 0 || present.includes(imageId)) assert.equal(last, expected, imageId);
            told.forEach(({ name }, at) => {
              const inTurn = at % 2 === 0 ? 'ImageDetected' : 'ImageRemoved';
              assert.equal(name, inTurn, `event ${at + 1} of ${imageId}`);
            });
          }
        },
        { timeoutMs: 60_000 },
      );
      const own = events.all.filter(({ app }) => app === 'gc-worker');
      assert.deepEqual(
        own.map(({ sequence }) => sequence),
        own.map((_, at) => at + 1),
      );
      const removals = events.named('ImageRemoved').map(({ data }) => data);
      for (const { reason } of removals) assert.equal(reason, 'request');
      const told = removals.map(({ planId, imageId }) => `${planId} ${imageId}`);
      assert.deepEqual(told, [...new Set(told)]);
      assert.deepEqual(events.invalid, []);
    };
    for (let kill = 1; kill <= kills; kill += 1) {
      const worker = await startWorker();
      const there = await listed();
      for (const { imageId, reference } of pushed) {
        if (!there.includes(imageId)) await stack.pullImage(reference);
      }
      await eventually(recorded, { what: 'the worker on NATS' });
      await agree();
      const before = (await listed()).length;
      const options = { timeoutMs: 20_000 };
      const answer = sendCommand(nats, node, gcWorker.run, { bytes: 1 << 30 }, options).catch(
        () => undefined, // killed before it could answer
      );
      // After so many removals, and then somewhere in the next one.
      const removals = Math.floor(random() * (imageCount + 1));
      await eventually(async () => before - (await listed()).length >= removals, {
        intervalMs: 1,
        what: `${removals} removals`,
      });
      await pause(random() * aboutOneRemovalMs);
      await worker.kill();
      const gone = before - (await listed()).length;
      removedBefore += gone;
      if (gone > 0 && gone < imageCount) midCollection += 1;
      say(`kill ${kill} of ${kills}: ${gone} of ${imageCount} images removed`);
      await startWorker();
      await eventually(recorded, { what: 'the worker on NATS' });
      await agree();
      await fixture.stopServices();
      void answer;
    }
    return { removedBefore, midCollection };
  } finally {
    images.close();
    await fixture.down();
  }
}
