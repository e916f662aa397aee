import { statfsSync } from 'node:fs';
import { eventually, ServiceFixture, type EventCollection, type Stack } from '@stowage/testing';

/**
 * containerd on an ext4 file system of 200 MB that has 8000 inodes, and images of many empty files.
 */
let fixture: ServiceFixture;
let stack: Stack;
let events: EventCollection;

beforeAll(async () => {
  fixture = await ServiceFixture.start({ filesystemMb: 200, filesystemInodes: 8000 });
  ({ stack, events } = fixture);
});

afterAll(() => fixture.down());

const filesPerImage = 1400;

async function pullManyFiles(name: string): Promise<string> {
  const files = Array.from({ length: filesPerImage }, (_, at) => [`/${name}/${at}`, '']);
  const image = {
    name: `team/${name}`,
    files: Object.fromEntries(files) as Record<string, string>,
  };
  return stack.pullImage((await stack.pushImage(image)).reference);
}

function used(): { bytesPercent: number; inodesPercent: number; inodes: number } {
  const { blocks, bavail, files, ffree } = statfsSync(stack.runtime.root);
  const percent = (total: number, free: number) => 100 - Math.trunc((free * 100) / total);
  return {
    bytesPercent: percent(blocks, bavail),
    inodesPercent: percent(files, ffree),
    inodes: files - ffree,
  };
}

it('a file system that runs out of inodes, with its bytes far below their marks, is brought below the mark of inodes', async () => {
  const images: string[] = [];
  for (const name of ['one', 'two', 'three', 'four']) images.push(await pullManyFiles(name));
  const before = used();
  expect(before.inodesPercent).toBeGreaterThanOrEqual(65);
  expect(before.bytesPercent).toBeLessThan(50);
  // Two of the four have to go.
  const lowPercent = before.inodesPercent - 20;
  const worker = await fixture.start('gc-worker', {
    STOWAGE_IMAGE_MINIMUM_GC_AGE: '1ms',
    STOWAGE_INODES_HIGH_THRESHOLD_PERCENT: String(before.inodesPercent - 5),
    STOWAGE_INODES_LOW_THRESHOLD_PERCENT: String(lowPercent),
    STOWAGE_DISK_CHECK_INTERVAL: '200ms',
    STOWAGE_COLLECTION_RETRY: '500ms',
  });
  const exceeded = await events.waitFor('ThresholdExceeded');
  expect(exceeded.data).toMatchObject({
    resource: 'inodes',
    mark: 'high',
    thresholdPercent: before.inodesPercent - 5,
  });
  expect(exceeded.data.filesystem.usedPercent).toBeLessThan(50);
  const collected = await events.waitFor('GarbageCollected');
  const recovered = await events.waitFor('ThresholdRecovered');
  expect(recovered.data).toMatchObject({ resource: 'inodes', mark: 'high' });

  const after = used();
  expect(after.inodesPercent).toBeLessThanOrEqual(lowPercent);
  expect(after.inodes).toBeLessThanOrEqual(before.inodes - 2 * filesPerImage);
  const removed = collected.data.removed.map(({ imageId }) => imageId);
  expect(removed).toHaveLength(2);
  const left = await stack.runtime.imageNames();
  for (const imageId of images) expect(left.includes(imageId)).toBe(!removed.includes(imageId));
  expect(events.named('ThresholdExceeded').map(({ data }) => data.resource)).toEqual(['inodes']);
  expect(events.named('GarbageCollectionFailed')).toEqual([]);
  expect(events.invalid).toEqual([]);
  await eventually(async () => (await worker.get('/readyz')).status === 200, {
    what: 'readiness',
  });
});
