import path from 'node:path';
import { sendCommand } from '@stowage/commands/client';
import {
  eventually,
  ServiceFixture,
  type AppProcess,
  type EventCollection,
  type Stack,
} from '@stowage/testing';
import { count } from '../../testdata/image-census/commands.controller';

/**
 * A whole service on the ready parts of the kit (testdata/image-census), on the real runtime and
 * NATS.
 */

const workspace = path.resolve(__dirname, '../../../..');
const program = path.join(workspace, 'libs/service-kit/testdata/image-census/main.ts');

let fixture: ServiceFixture;
let stack: Stack;
let events: EventCollection;
let app: AppProcess;

const start = (env: Record<string, string> = {}) =>
  fixture.start(
    program,
    {
      NODE_OPTIONS: '--import tsx',
      TSX_TSCONFIG_PATH: path.join(workspace, 'tsconfig.json'),
      STOWAGE_STATE_DIR: path.join(stack.dir, 'state'),
      ...env,
    },
    { ready: 'spawned' },
  );

const line = (msg: string) => app.logLines().find((fields) => fields.msg === msg);
const components = async () =>
  (JSON.parse((await app.get('/readyz')).body) as { components: Record<string, { state: string }> })
    .components;

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node: 'node-1' });
  ({ stack, events } = fixture);
  app = await start();
  await eventually(async () => (await app.get('/readyz')).status === 200, { what: 'ready' });
});

afterAll(() => fixture.down());

it('publishes, counts, and answers a command', async () => {
  const image = await stack.pushImage({ name: 'team/app' });
  await stack.pullImage(image.reference);
  const { data } = await events.waitFor(
    'ImageDetected',
    ({ subject }) => subject === image.imageId,
  );
  expect(data).toMatchObject({ repoTags: [image.reference] });
  const { images, runtime } = await sendCommand(
    fixture.nats,
    'node-1',
    count,
    {},
    { timeoutMs: 20_000, strict: true },
  );
  expect(runtime).toBe(stack.runtime.name);
  const metrics = (await app.get('/metrics')).body;
  expect(metrics).toContain(`stowage_census_images ${images}\n`);
  expect(metrics).toMatch(/^stowage_events_recorded_total\{event="ImageDetected"\} \d+$/m);
  // Both clients count in the same metrics.
  expect(metrics).toMatch(/^stowage_cri_operations_total\{operation="version"\} \d+$/m);
  expect(metrics).toMatch(/^stowage_cri_operations_total\{operation="list_images"\} \d+$/m);
});

it('says which of its connections is down, and which only degrades it', async () => {
  expect(Object.keys(await components()).sort()).toEqual([
    'census',
    'image-runtime',
    'nats',
    'runtime',
  ]);
  await Promise.all([stack.runtime.stop(), stack.nats.stop()]);
  await eventually(async () => (await app.get('/readyz')).status === 503, { what: 'down' });
  await eventually(async () => (await components()).nats?.state === 'degraded', {
    what: 'degraded',
  });
  expect(await components()).toMatchObject({
    runtime: { state: 'down' },
    'image-runtime': { state: 'down' },
  });
  await Promise.all([stack.runtime.start(), stack.nats.start()]);
  await eventually(
    async () => Object.values(await components()).every(({ state }) => state === 'ok'),
    { what: 'all to be well' },
  );
});

it('ends in the order of its parts, and what it published stays', async () => {
  expect(await app.stop()).toBe(0);
  const messages = app.logLines().map(({ msg }) => msg);
  expect(messages.filter((msg) => msg === 'census ended' || msg === 'stopped')).toEqual([
    'census ended',
    'stopped',
  ]);
  expect(line('stopping')).toMatchObject({ signal: 'SIGTERM' });
  expect(events.invalid).toEqual([]);
});
