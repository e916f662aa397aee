import path from 'node:path';
import { gcWorker } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { eventuallyPasses, ServiceFixture, type AppProcess, type Stack } from '@stowage/testing';

/**
 * gc-worker with the least rights there are: runtime calls go to the read-only socket of
 * runtime-gateway, image calls to image-service, and nothing else of the runtime is in reach.
 */
let fixture: ServiceFixture;
let stack: Stack;
let worker: AppProcess;

const socket = (name: string) => path.join(stack.dir, `${name}.sock`);

beforeAll(async () => {
  fixture = await ServiceFixture.start();
  ({ stack } = fixture);
  await fixture.start('runtime-gateway', {
    STOWAGE_LISTEN: socket('runtime'),
    STOWAGE_LISTEN_READONLY: socket('runtime-ro'),
  });
  await fixture.start('image-service', { STOWAGE_LISTEN: socket('image') });
});
afterAll(() => fixture.down());

const start = async (values: Record<string, string> = {}) => {
  worker = await fixture.start('gc-worker', {
    STOWAGE_RUNTIME_ENDPOINT: `unix://${socket('runtime-ro')}`,
    STOWAGE_IMAGE_ENDPOINT: `unix://${socket('image')}`,
    STOWAGE_COMMANDS: 'plan,run,images,status',
    STOWAGE_IMAGE_MINIMUM_GC_AGE: '0',
    // The images lie on the file system of this machine, which may be full beyond any mark.
    STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '100',
    ...values,
  });
};

/** Asks for all bytes; ids of what was removed. */
async function collectEverything(): Promise<string[]> {
  const options = { timeoutMs: 60_000, strict: true };
  const { nats, node } = fixture;
  const { images } = await sendCommand(nats, node, gcWorker.run, { bytes: 2 ** 40 }, options);
  return images.filter(({ result }) => result === 'removed').map(({ imageId }) => imageId);
}

it('on the read-only socket nothing is removed, and said so, until the sandbox image is named; then all that is unused', async () => {
  const used = await stack.pushImage({ name: 'team/used', tag: '1' });
  const unused = await stack.pushImage({ name: 'team/unused', tag: '1' });
  for (const { reference } of [used, unused]) await stack.pullImage(reference);
  const pod = await stack.runPod({ image: used.reference });
  const knows = (imageId: string) =>
    fixture.events.waitFor('ImageDetected', ({ data }) => data.imageId === imageId);

  await start();
  await knows(unused.imageId);
  expect(await collectEverything()).toEqual([]);
  const { body, status } = await worker.get('/readyz');
  expect(status).toBe(200);
  expect(body).toContain('image-use');
  expect(body).toContain('name it with sandboxImage (STOWAGE_SANDBOX_IMAGE)');
  await worker.stop();

  await start({ STOWAGE_SANDBOX_IMAGE: stack.sandboxImage });
  await eventuallyPasses(async () => {
    expect((await worker.get('/readyz')).body).not.toContain('sandboxImage');
  });
  expect(await collectEverything()).toEqual([unused.imageId]);
  const listed = String(await stack.runtime.imageNames());
  expect(listed).toContain('team/used');
  expect(listed).toContain(stack.sandboxImage);
  expect(listed).not.toContain('team/unused');
  const removed = await fixture.events.waitFor(
    'ImageRemoved',
    ({ data }) => data.imageId === unused.imageId && data.removedBy === 'gc-worker',
  );
  expect(removed.data.reason).toBe('request');
  await pod.remove();
});
