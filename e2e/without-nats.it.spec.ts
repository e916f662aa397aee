import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import {
  commandApps,
  commandsOf,
  gcWorker,
  imageService,
  runtimeGateway,
  type CommandApp as App,
  type CommandDefinition,
  type CommandInput,
} from '@stowage/commands';
import { askLocalService, sendLocalCommand } from '@stowage/commands/local';
import { eventually, ServiceFixture, type AppProcess, type Stack } from '@stowage/testing';

/** The services on a node that has no NATS, or one that is away, asked through their sockets. */

/** docker-shim has an engine below it; its own tests ask it without NATS. */
const apps = commandApps.filter((app) => app !== 'docker-shim');

let fixture: ServiceFixture;
let stack: Stack;
const running = new Map<App, AppProcess>();

const socketOf = (app: string) => path.join(stack.dir, `${app}.cmd.sock`);

/** Commands that were sent, for the test that none is left out. */
const sent = new Set<CommandDefinition>();

function send<C extends CommandDefinition>(command: C, input: CommandInput<C>) {
  sent.add(command);
  const options = { timeoutMs: 60_000, strict: true };
  return sendLocalCommand(socketOf(command.app), command, input, options);
}

async function startApp(app: App, more: Record<string, string> = {}): Promise<AppProcess> {
  const service = await fixture.start(app, {
    STOWAGE_COMMAND_SOCKET: socketOf(app),
    ...(app === 'gc-worker'
      ? {
          STOWAGE_IMAGE_MINIMUM_GC_AGE: '0',
          // The disk of the machine may be full already.
          STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '100',
          STOWAGE_INODES_HIGH_THRESHOLD_PERCENT: '100',
        }
      : { STOWAGE_LISTEN: path.join(stack.dir, `${app}.sock`) }),
    ...(app === 'runtime-gateway' ? { STOWAGE_LISTEN_READONLY: '' } : {}),
    STOWAGE_NATS_SERVERS: 'none',
    ...more,
  });
  running.set(app, service);
  return service;
}

const pulled = async (name: string) => {
  const { reference, imageId } = await stack.pushImage({ name, tag: '1' });
  expect(await send(imageService.ensure, { image: reference })).toMatchObject({ imageId });
  return imageId;
};
const listed = async () => (await send(imageService.list, {})).images.map(({ imageId }) => imageId);

beforeAll(async () => {
  fixture = await ServiceFixture.start();
  ({ stack } = fixture);
  chmodSync(stack.dir, 0o755);
});
afterAll(() => fixture.down());
afterEach(() => fixture.stopServices());

it('without NATS nothing is degraded, nothing waits, and the last events are on the node', async () => {
  for (const app of apps) await startApp(app);
  const image = await pulled('team/local');
  for (const app of apps) {
    const { health, version } = await askLocalService(socketOf(app), app, { timeoutMs: 10_000 });
    expect(version).toBe(
      (await askLocalService(socketOf('gc-worker'), app, { timeoutMs: 10_000 })).version,
    );
    expect(health.components).toContainEqual(
      expect.objectContaining({ name: 'nats', state: 'ok' }),
    );
    expect(await running.get(app)?.readiness()).toMatchObject({ status: 200, text: '' });
    expect(await running.get(app)?.metric('stowage_events_pending')).toBe(0);
  }
  const { events } = await send(imageService.events, { types: ['ImagePulled'], subject: image });
  expect(events).toMatchObject([{ type: 'io.stowage.node.v1.ImagePulled', subject: image }]);
  await eventually(async () => {
    const detected = await send(gcWorker.events, { types: ['ImageDetected'], subject: image });
    return detected.events.length === 1;
  });

  // A restart keeps them, and the sequence goes on.
  const { next } = await send(imageService.events, { limit: 1 });
  await running.get('image-service')?.kill();
  await startApp('image-service');
  const other = await pulled('team/other');
  const after = await send(imageService.events, { after: next });
  expect(after.events.map(({ subject }) => subject)).toContain(other);
  const all = await send(imageService.events, { limit: 1000 });
  const sequences = all.events.map(({ sequence }) => Number(sequence));
  expect(sequences).toEqual(sequences.map((_, index) => (sequences[0] ?? 0) + index));
});

it('with NATS away every command is answered to root, and to nobody else', async () => {
  await stack.nats.stop();
  try {
    sent.clear();
    for (const app of apps) await startApp(app, { STOWAGE_NATS_SERVERS: stack.nats.url });
    const image = await pulled('team/away');
    const used = await stack.pushImage({ name: 'team/used', tag: '1' });
    const pod = await stack.runPod({ image: used.reference });
    const { containerId } = pod;
    const command = ['/bin/sh', '-c', 'echo here'];
    expect(await send(runtimeGateway.exec, { containerId, command })).toMatchObject({
      ...{ exitCode: 0, stdout: 'here\n' },
    });
    const { pods } = await send(runtimeGateway.pods, {});
    expect(pods.flatMap(({ containers }) => containers)).toContainEqual(
      expect.objectContaining({ id: containerId, state: 'running' }),
    );
    expect(await send(runtimeGateway.status, {})).toMatchObject({ available: true });
    await eventually(async () => (await send(runtimeGateway.events, {})).kept > 0);
    await pod.remove();
    const present = await send(imageService.status, { image: used.reference });
    expect(present.image).toMatchObject({ imageId: used.imageId });
    expect((await send(imageService.stats, {})).imageCount).toBeGreaterThan(1);
    expect((await send(imageService.events, {})).kept).toBeGreaterThan(0);
    await eventually(async () => {
      const reply = await send(gcWorker.images, {});
      return 'total' in reply && reply.images.some(({ imageId }) => imageId === image);
    });
    const pause = await send(gcWorker.pause, { minutes: 5, reason: 'a test' });
    expect((await send(gcWorker.status, {})).paused).toEqual(pause);
    expect(await send(gcWorker.resume, {})).toEqual({ ended: pause });
    expect(await send(runtimeGateway.version, {})).toMatchObject({
      runtimeName: expect.any(String),
    });
    expect(await send(imageService.pulls, {})).toEqual({ pulls: [] });
    const request = { image, minutes: 1, reason: 'a test' };
    expect((await send(gcWorker.hold, request)).held).toHaveLength(1);
    expect((await send(gcWorker.release, { image })).released).toHaveLength(1);
    const plan = await eventually(async () => {
      const { images, planId } = await send(gcWorker.plan, { bytes: 2 ** 40 });
      const found = images.find(({ imageId }) => imageId === image);
      return found?.verdict === 'remove' ? planId : undefined;
    });
    // Changes too, which no configuration allows here for callers on NATS.
    expect(await send(gcWorker.run, { planId: plan })).toMatchObject({ planId: plan });
    expect(await listed()).not.toContain(image);
    expect(await send(imageService.remove, { image: 'reg.io/none:1' })).toEqual({ removed: false });
    expect((await send(gcWorker.events, { types: ['ImageRemoved'] })).events).toContainEqual(
      expect.objectContaining({ subject: image }),
    );
    const named = ({ app, verb }: CommandDefinition) => `${app}.${verb}`;
    expect([...sent].map(named).sort()).toEqual(apps.flatMap(commandsOf).map(named).sort());

    for (const app of apps) {
      const script = `require('net').connect(${JSON.stringify(socketOf(app))}).on('error', ({ code }) => console.log(code)).on('connect', () => process.exit(1));`;
      const other = spawnSync(process.execPath, ['-e', script], { uid: 65534, gid: 65534 });
      expect([app, other.stdout.toString().trim()]).toEqual([app, 'EACCES']);
    }
  } finally {
    await stack.nats.start();
  }
});
