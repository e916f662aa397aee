import { createHash, randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, statfsSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  eventually,
  ServiceFixture,
  type CrioOptions,
  type EventCollection,
  type Stack,
} from '@stowage/testing';

let fixture: ServiceFixture;
let stack: Stack;
let events: EventCollection;

const start = async (crio?: CrioOptions): Promise<void> => {
  fixture = await ServiceFixture.start({ filesystemMb: 300, crio });
  ({ stack, events } = fixture);
};

afterEach(() => fixture.down());

const startWorker = () =>
  fixture.start('gc-worker', {
    STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '80',
    STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: '70',
    STOWAGE_IMAGE_MINIMUM_GC_AGE: '1s',
    STOWAGE_DETECTION_INTERVAL: '300ms',
    STOWAGE_DISK_CHECK_INTERVAL: '200ms',
    STOWAGE_COLLECTION_RETRY: '500ms',
  });

/** Fills the image file system to so many percent. */
function fillTo(percent: number): void {
  const { bavail, bsize, blocks } = statfsSync(stack.runtime.root);
  const bytes = Math.floor(bavail * bsize - (blocks * bsize * (100 - percent)) / 100);
  const file = openSync(path.join(stack.runtime.root, 'filler'), 'w');
  ftruncateSync(file, 0);
  for (let written = 0; written < bytes; written += 1 << 20)
    writeSync(file, Buffer.alloc(1 << 20, 1));
  closeSync(file);
}

it.each([
  ['beside the containers', false],
  ['in a store of their own', true],
])(
  'collects images %s on the file system they are on, and not those in use',
  async (_, imageStore) => {
    await start({ imageStore });
    const used = await stack.pushImage({ name: 'team/used', sizeMb: 20 });
    await stack.runPod({
      image: used.reference,
      // What a container writes lies on the same file system where it has none of its own; it is no
      // leak.
      command: ['/bin/sh', '-c', 'dd if=/dev/zero of=/big bs=1M count=30; sleep 3600'],
    });
    const unused = await stack.pushImage({ name: 'team/unused', sizeMb: 60 });
    await stack.pullImage(unused.reference);
    await startWorker();
    const detected = await events.waitFor(
      'ImageDetected',
      ({ data }) => data.imageId === unused.imageId,
    );
    await eventually(() => Date.now() > Number(detected.time) + 1500, { timeoutMs: 5000 });
    fillTo(85);

    // With a store of its own the containers are on the machine's disk, which may be over the mark
    // too.
    await events.waitFor('ThresholdExceeded', ({ data }) =>
      data.filesystem.mountpoint.startsWith(`${stack.runtime.root}/`),
    );
    const collected = await events.waitFor('GarbageCollected', undefined, { timeoutMs: 30_000 });
    expect(collected.data.removed.map(({ imageId }) => imageId)).toEqual([unused.imageId]);
    expect(collected.data.measuredBytes).toBeGreaterThan(50 << 20);
    expect(collected.data.leakedBytes ?? 0).toBeLessThan(20 << 20);
    const names = String(await stack.runtime.imageNames());
    expect(names).toContain('team/used');
    expect(names).toContain(stack.sandboxImage);
    expect(names).not.toContain('team/unused');
    expect(events.invalid).toEqual([]);
  },
);

/**
 * Pushes an OCI artifact of one random layer, which CRI-O lists with its images. Returns its
 * reference.
 */
async function pushArtifact(name: string, sizeMb: number): Promise<string> {
  const { url, host } = stack.registry.open;
  const push = async (content: Buffer): Promise<{ digest: string; size: number }> => {
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    const opened = await fetch(`${url}/v2/${name}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(opened.headers.get('location') ?? '', url);
    location.searchParams.set('digest', digest);
    const { status } = await fetch(location, { method: 'PUT', body: content });
    expect(status).toBe(201);
    return { digest, size: content.length };
  };
  const layer = await push(randomBytes(sizeMb << 20));
  const config = await push(Buffer.from('{}'));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = {
    ...{ schemaVersion: 2, mediaType, artifactType: 'application/vnd.example.data' },
    config: { mediaType: 'application/vnd.oci.empty.v1+json', ...config },
    layers: [{ mediaType: 'application/vnd.example.data', ...layer }],
  };
  const { status } = await fetch(`${url}/v2/${name}/manifests/1`, {
    method: 'PUT',
    body: JSON.stringify(manifest),
    headers: { 'content-type': mediaType },
  });
  expect(status).toBe(201);
  return `${host}/${name}:1`;
}

it('an artifact is told as removed only when it is gone, and is not tried again and again where it stays', async () => {
  await start();
  await stack.pullImage(await pushArtifact('team/data', 60));
  await startWorker();
  const detected = await events.waitFor('ImageDetected', ({ data }) =>
    String(data.repoTags).includes('team/data'),
  );
  const { imageId } = detected.data;
  await eventually(() => Date.now() > Number(detected.time) + 1500, { timeoutMs: 5000 });
  fillTo(85);
  const collections = () => [
    ...events.named('GarbageCollected'),
    ...events.named('GarbageCollectionFailed'),
  ];
  await eventually(() => collections().length > 0, { what: 'a collection', timeoutMs: 30_000 });
  await pause(15_000);

  const isThere = String(await stack.runtime.imageNames()).includes('team/data');
  const removals = events.named('ImageRemoved').filter(({ data }) => data.imageId === imageId);
  expect(removals).toHaveLength(isThere ? 0 : 1);
  // In this time there were dozens without a pause that grows.
  expect(collections().length).toBeLessThan(8);
  const again = events.named('ImageDetected').filter(({ data }) => data.imageId === imageId);
  expect(again).toHaveLength(1);
  expect(events.invalid).toEqual([]);
});
