import { statfsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import {
  eventually,
  eventuallyPasses,
  spawnApp,
  startStack,
  subscribeEvents,
  type AppProcess,
  type EventCollection,
  type Stack,
} from '@stowage/testing';

/** A disk that other data fills, on which there are a few small images that nobody uses. */
let stack: Stack;
let events: EventCollection;
let worker: AppProcess | undefined;

const mebibyte = 2 ** 20;
const images = 3;

beforeAll(async () => {
  stack = await startStack({ filesystemMb: 400 });
  events = await subscribeEvents(stack.nats.url);
  for (let at = 0; at < images; at += 1) {
    const { reference } = await stack.pushImage({ name: `team/small-${at}`, sizeMb: 3 });
    await stack.pullImage(reference);
  }
  await fillTo(80);
});

afterEach(async () => {
  await worker?.stop();
  worker = undefined;
});

afterAll(async () => {
  await events.close();
  await stack.down();
});

async function fillTo(percent: number): Promise<void> {
  const { bavail, bsize, blocks } = statfsSync(stack.runtime.root);
  const bytes = bavail * bsize - Math.floor((blocks * bsize * (100 - percent)) / 100);
  const handle = await open(path.join(stack.runtime.root, 'other-data'), 'w');
  try {
    const chunk = Buffer.alloc(mebibyte, 1);
    for (let written = 0; written < bytes; written += chunk.length) {
      await handle.write(chunk, 0, Math.min(chunk.length, bytes - written));
    }
  } finally {
    await handle.close();
  }
}

async function start(values: Record<string, string>): Promise<AppProcess> {
  worker = await spawnApp('gc-worker', {
    ready: 'healthz',
    env: {
      STOWAGE_NODE_NAME: 'node-a',
      STOWAGE_RUNTIME_ENDPOINT: stack.runtime.endpoint,
      STOWAGE_NATS_SERVERS: stack.nats.url,
      STOWAGE_STATE_DIR: path.join(stack.dir, 'gc-worker'),
      STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '75',
      STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: '50',
      STOWAGE_IMAGE_MINIMUM_GC_AGE: '0s',
      STOWAGE_DISK_CHECK_INTERVAL: '200ms',
      ...values,
    },
  });
  return worker;
}

interface ReadyPage {
  status: string;
  components: Record<string, { state: string; reason?: string } | undefined>;
}

/** The page once it says what the last collection came to. */
function readyPage(app: AppProcess): Promise<ReadyPage> {
  return eventually(
    async () => {
      const { status, body } = await app.get('/readyz');
      const page = JSON.parse(body) as ReadyPage;
      return status === 200 && page.components.collection?.state === 'degraded' && page;
    },
    { what: 'the collection to be degraded' },
  );
}

/** Values of a metric by its labels. */
async function metric(app: AppProcess, name: string): Promise<Map<string, number>> {
  const { body } = await app.get('/metrics');
  const lines = body.split('\n').filter((line) => new RegExp(`^${name}[{ ]`).test(line));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(name.length, at), Number(line.slice(at + 1))];
    }),
  );
}

const failures = () => events.named('GarbageCollectionFailed');

it('with minReclaim no image goes; the disk is called full of other data everywhere', async () => {
  const before = (await stack.runtime.imageNames()).sort();
  const app = await start({ STOWAGE_MIN_RECLAIM: '200Mi' });
  const { status, components } = await readyPage(app);
  expect(status).toBe('degraded');
  expect(components.collection?.reason).toMatch(
    /is \d+ % used, beyond its threshold \(of \d+\.\d MiB in use, images hold \d+\.\d MiB, containers \d+ B, other files \d+\.\d MiB: without any image it would still be above its low threshold\); the last collection fell short \(removed 0 images, freed .* of \d+\.\d MiB asked\): insufficient-space-freed/,
  );
  const exceeded = await events.waitFor('ThresholdExceeded', ({ data }) => data.mark === 'high');
  const failed = await events.waitFor('GarbageCollectionFailed');
  for (const { data } of [exceeded, failed]) {
    expect(data.breakdown).toMatchObject({ containerBytes: 0, imagesSuffice: false });
    const { usedBytes = 0, imageBytes = 0, otherBytes = 0 } = data.breakdown ?? {};
    expect(imageBytes).toBeGreaterThan(images * mebibyte);
    expect(imageBytes).toBeLessThan(100 * mebibyte);
    expect(otherBytes).toBeGreaterThan(200 * mebibyte);
    expect(imageBytes + otherBytes).toBe(usedBytes);
  }
  expect(failed.data).toMatchObject({ removedCount: 0, keptByReason: { 'min-reclaim': images } });
  expect((await stack.runtime.imageNames()).sort()).toEqual(before);

  const held = await metric(app, 'stowage_gc_filesystem_held_bytes');
  const by = (what: string) => [...held].find(([labels]) => labels.includes(`by="${what}"`))?.[1];
  expect(by('other')).toBeGreaterThan(200 * mebibyte);
  expect(by('images')).toBeGreaterThan(images * mebibyte);
  expect([...(await metric(app, 'stowage_gc_filesystem_images_suffice')).values()]).toEqual([0]);
  const [collectable = 0] = (await metric(app, 'stowage_gc_collectable_bytes')).values();
  expect(collectable).toBeGreaterThan(images * mebibyte);
  const lines = app.logLines().map(({ msg }) => String(msg));
  expect(lines.filter((msg) => msg.startsWith('high threshold exceeded: of '))).toHaveLength(1);
  // One cause at the start: one collection.
  expect(lines.filter((msg) => msg === 'collection begins')).toHaveLength(1);
  expect(failures()).toHaveLength(1);
});

it('without it the images go, and it is degraded all the same', async () => {
  const app = await start({});
  const { components } = await readyPage(app);
  expect(components.collection?.reason).toContain(`removed ${images} images`);
  const metrics = await metric(app, 'stowage_gc_last_sufficient_collection_timestamp_seconds');
  expect(metrics.size).toBe(0);
  const [at = 0] = (await metric(app, 'stowage_gc_last_collection_timestamp_seconds')).values();
  expect(Math.abs(at - Date.now() / 1000)).toBeLessThan(120);
  await eventuallyPasses(() => {
    expect(failures().at(-1)?.data).toMatchObject({ removedCount: images });
  });
});
