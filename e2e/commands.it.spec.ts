import path from 'node:path';
import { sendCommand } from '@stowage/commands/client';
import {
  commandApps,
  commandsOf,
  gcWorker,
  imageService,
  runtimeGateway,
  verbsOf,
  type CommandApp as App,
  type CommandDefinition,
  type CommandInput,
} from '@stowage/commands';
import { commandSubject } from '@stowage/events';
import { eventually, ServiceFixture, type Stack } from '@stowage/testing';

/**
 * The contracts of all commands held against the three apps as they run, first with nothing
 * configured about commands.
 */

const node = 'node-a.example';

/** docker-shim has an engine below it; its own tests send it its commands. */
const apps = commandApps.filter((app) => app !== 'docker-shim');

let fixture: ServiceFixture;
let stack: Stack;

/** As a program in another language sends it: what the client would not let through, too. */
async function ask(app: App, verb: string, input: object = {}, of = node): Promise<unknown> {
  const request = JSON.stringify(input);
  const subject = commandSubject(of, app, verb);
  return (await fixture.nats.request(subject, request, { timeout: 60_000 })).json();
}

/** Commands that were sent, for the test that none is left out. */
const sent = new Set<CommandDefinition>();

/**
 * As the typed client sends it; a reply with a field that the contract does not name is refused.
 */
function send<C extends CommandDefinition>(command: C, input: CommandInput<C>) {
  sent.add(command);
  return sendCommand(fixture.nats, node, command, input, { timeoutMs: 20_000, strict: true });
}

async function startApps(more: (app: App) => Record<string, string> = () => ({})): Promise<void> {
  for (const app of apps) {
    await fixture.start(app, {
      ...(app === 'gc-worker' ? {} : { STOWAGE_LISTEN: path.join(stack.dir, `${app}.sock`) }),
      ...(app === 'runtime-gateway' ? { STOWAGE_LISTEN_READONLY: '' } : {}),
      ...more(app),
    });
    await eventually(() => ask(app, 'status', app === 'image-service' ? { image: 'a' } : {}), {
      what: `${app} to answer`,
    });
  }
}

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node });
  ({ stack } = fixture);
  await startApps();
});

afterAll(() => fixture.down());

describe('without configuration', () => {
  const queries: [string, () => Promise<object>][] = [
    ['runtime-gateway.pods', () => send(runtimeGateway.pods, { all: true })],
    ['runtime-gateway.status', () => send(runtimeGateway.status, {})],
    ['runtime-gateway.version', () => send(runtimeGateway.version, {})],
    ['image-service.list', () => send(imageService.list, {})],
    ['image-service.status', () => send(imageService.status, { image: 'reg.io/none:1' })],
    ['image-service.stats', () => send(imageService.stats, {})],
    ['image-service.pulls', () => send(imageService.pulls, {})],
    ['gc-worker.plan', () => send(gcWorker.plan, {})],
    ['gc-worker.images', () => send(gcWorker.images, {})],
    ['gc-worker.status', () => send(gcWorker.status, {})],
  ];
  it.each(queries)('the query %s is answered as its contract says', async (_name, query) => {
    expect(await query()).toEqual(expect.any(Object));
  });

  it('image-service ensures an image', async () => {
    const { reference, imageId } = await stack.pushImage({ name: 'team/app', tag: '1' });
    expect(await send(imageService.ensure, { image: reference })).toMatchObject({
      imageRef: imageId,
      imageId,
      pulled: true,
    });
  });

  it.each<[App, string, object]>([
    ['runtime-gateway', 'exec', { containerId: 'c', command: ['id'] }],
    ['image-service', 'remove', { image: 'a' }],
    ['gc-worker', 'run', {}],
    ['gc-worker', 'events', {}],
    ['gc-worker', 'pause', { minutes: 1, reason: 'x' }],
    ['gc-worker', 'resume', {}],
    ['gc-worker', 'hold', { image: 'a', minutes: 1, reason: 'x' }],
    ['gc-worker', 'release', { image: 'a' }],
  ])('%s refuses the change %s, and says how it is allowed', async (app, verb, input) => {
    expect(await ask(app, verb, input)).toEqual({
      ok: false,
      error: {
        code: 'PERMISSION_DENIED',
        message: `command ${app}.${verb} is not allowed: the configuration key commands (STOWAGE_COMMANDS) does not list it`,
      },
    });
  });
});

describe('a request that is not right', () => {
  it.each<[App, string, object]>([
    ['runtime-gateway', 'pods', {}],
    ['runtime-gateway', 'status', {}],
    ['runtime-gateway', 'version', {}],
    ['image-service', 'ensure', { image: 'a' }],
    ['image-service', 'list', {}],
    ['image-service', 'status', { image: 'a' }],
    ['image-service', 'stats', {}],
    ['gc-worker', 'plan', {}],
    ['gc-worker', 'images', {}],
    ['gc-worker', 'status', {}],
  ])('%s.%s: an unknown key is an error', async (app, verb, right) => {
    expect(await ask(app, verb, { ...right, surprise: 1 })).toEqual({
      ok: false,
      error: {
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('unknown key "surprise"'),
      },
    });
  });

  it.each<[App, string, object, string, string]>([
    ['runtime-gateway', 'pods', { all: 'yes' }, 'INVALID_ARGUMENT', 'all: '],
    ['image-service', 'ensure', {}, 'INVALID_ARGUMENT', 'image: '],
    ['image-service', 'ensure', { image: 'a', holdSeconds: -1 }, 'INVALID_ARGUMENT', 'holdSeconds'],
    ['image-service', 'status', { image: 'A:B' }, 'INVALID_ARGUMENT', 'image reference "A:B"'],
    ['gc-worker', 'plan', { bytes: 0 }, 'INVALID_ARGUMENT', 'bytes: '],
    ['gc-worker', 'plan', { assumedAge: '7d' }, 'INVALID_ARGUMENT', 'assumedAge: a duration'],
    ['gc-worker', 'plan', { after: 'sha256:none' }, 'NOT_FOUND', 'sha256:none'],
    ['gc-worker', 'images', { limit: 5001 }, 'INVALID_ARGUMENT', 'limit: '],
    ['gc-worker', 'stats', {}, 'UNIMPLEMENTED', 'nearest: status'],
  ])('%s.%s %j gets %s', async (app, verb, input, code, message) => {
    expect(await ask(app, verb, input)).toEqual({
      ok: false,
      error: { code, message: expect.stringContaining(message) },
    });
  });
});

it.each(apps)('%s never answers a request for another node', async (app) => {
  for (const other of ['node-b.example', 'node-a', 'node-a.example.net', 'example']) {
    await expect(ask(app, 'status', {}, other)).rejects.toThrow('503');
  }
});

describe('where the configuration allows every command, a node with an image, a pod and a collection', () => {
  let used: { reference: string; imageId: string };
  let containerId: string;
  const has = async (imageId: string): Promise<boolean> => {
    const { images } = await send(imageService.list, {});
    return images.some((image) => image.imageId === imageId);
  };

  beforeAll(async () => {
    await fixture.stopServices();
    await startApps((app) => ({
      STOWAGE_COMMANDS: verbsOf(app).allCommands.join(','),
      ...(app === 'gc-worker' && {
        STOWAGE_IMAGE_MINIMUM_GC_AGE: '0',
        STOWAGE_EXEMPT_RULES: '[{"image":"none.invalid/**","youngerThan":"1h"}]',
        STOWAGE_IMAGE_LIST_INTERVAL: '100ms',
      }),
    }));
    used = await stack.pushImage({ name: 'team/used', tag: '1' });
    ({ containerId } = await stack.runPod({ image: used.reference }));
  });

  it('runtime-gateway.pods and status', async () => {
    const { pods } = await send(runtimeGateway.pods, {});
    expect(pods.flatMap(({ containers }) => containers)).toContainEqual(
      expect.objectContaining({
        id: containerId,
        state: 'running',
        image: expect.objectContaining({ imageId: used.imageId }),
      }),
    );
    await eventually(async () => {
      const { observing } = await send(runtimeGateway.status, {});
      return observing.known.container > 0;
    });
  });

  it('runtime-gateway.exec', async () => {
    const command = ['/bin/sh', '-c', 'echo out; echo err >&2; exit 3'];
    expect(await send(runtimeGateway.exec, { containerId, command })).toEqual({
      exitCode: 3,
      stdout: 'out\n',
      stderr: 'err\n',
      truncated: false,
    });
  });

  it('image-service.status, list and remove', async () => {
    const { reference, imageId } = await stack.pushImage({ name: 'team/removed', tag: '1' });
    await send(imageService.ensure, { image: reference, holdSeconds: 1 });
    expect((await send(imageService.status, { image: reference })).image?.imageId).toBe(imageId);
    expect((await send(imageService.list, { image: reference })).images).toHaveLength(1);
    expect(await send(imageService.remove, { image: reference })).toEqual({
      removed: true,
      imageId,
    });
    expect(await send(imageService.remove, { image: reference })).toEqual({ removed: false });
    expect(await has(imageId)).toBe(false);
  });

  it('gc-worker.plan, run, images and status', async () => {
    const { reference, imageId } = await stack.pushImage({ name: 'team/unused', tag: '1' });
    await send(imageService.ensure, { image: reference });
    const bytes = 2 ** 40;
    // gc-worker keeps the image until the event that its pull has ended has come.
    const plan = await eventually(async () => {
      const { images } = await send(gcWorker.plan, { bytes });
      return images.some((image) => image.imageId === imageId && image.verdict === 'remove')
        ? images
        : undefined;
    });
    expect(plan).toContainEqual(
      expect.objectContaining({ imageId: used.imageId, verdict: 'keep', rule: 'in-use' }),
    );
    const first = await send(gcWorker.images, { limit: 1 });
    expect(first).toMatchObject({ next: expect.any(String) });
    expect(await send(gcWorker.images, { nodeStatus: true })).toMatchObject({
      listedAt: expect.any(String),
    });
    const outcome = await send(gcWorker.run, { bytes });
    expect(outcome.images).toContainEqual(expect.objectContaining({ imageId, result: 'removed' }));
    const { lastCollection, policy } = await send(gcWorker.status, {});
    expect(lastCollection).toEqual(outcome);
    expect(policy.exemptRules).toEqual([{ image: 'none.invalid/**', youngerThanMs: 3_600_000 }]);
    expect(await has(imageId)).toBe(false);
  });

  it.each([
    ['runtime-gateway', runtimeGateway.events, 'ContainerStarted'],
    ['image-service', imageService.events, 'ImagePulled'],
    ['gc-worker', gcWorker.events, 'ImageRemoved'],
  ])('%s.events', async (app, command, type) => {
    const { events, kept, next } = await eventually(async () => {
      const found = await send(command, { types: [type] });
      return found.events.length > 0 ? found : undefined;
    });
    expect(events.at(-1)).toMatchObject({
      type: `io.stowage.node.v1.${type}`,
      source: `/nodes/${node}/${app}`,
    });
    expect(kept).toBeGreaterThanOrEqual(events.length);
    expect(await send(command, { after: next, limit: 1 })).toMatchObject({ more: false });
    await expect(send(command, { types: ['ImageBurnt'] })).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
      reason: expect.stringMatching(/^INVALID_ARGUMENT: types: "ImageBurnt"/),
    });
  });

  it('gc-worker.pause and resume', async () => {
    const reason = 'looking into a disk';
    const pause = await send(gcWorker.pause, { minutes: 5, reason });
    expect(pause).toMatchObject({ reason });
    expect((await send(gcWorker.status, {})).paused).toEqual(pause);
    await expect(send(gcWorker.run, {})).rejects.toMatchObject({
      grpcStatus: 'FAILED_PRECONDITION',
      reason: expect.stringMatching(/is paused until .*looking into a disk.*gc-worker.resume/),
    });
    expect(await send(gcWorker.resume, {})).toEqual({ ended: pause });
    expect(await send(gcWorker.resume, {})).toEqual({ ended: null });
    const published = ['CollectionPaused', 'CollectionResumed'] as const;
    for (const name of published) await fixture.events.waitFor(name);
  });

  it('gc-worker.hold and release', async () => {
    const { reference, imageId } = await stack.pushImage({ name: 'team/held', tag: '1' });
    await stack.pullImage(reference);
    const request = { image: reference, minutes: 5, reason: 'looking into a crash' };
    const [held] = (await send(gcWorker.hold, request)).held;
    expect(held).toMatchObject({ imageId, image: reference, reason: request.reason });
    const { images } = await send(gcWorker.plan, { bytes: 2 ** 40 });
    expect(images).toContainEqual(
      expect.objectContaining({
        ...{ imageId, verdict: 'keep', rule: 'held' },
        why: `held until ${held?.until}: looking into a crash`,
      }),
    );
    expect((await send(gcWorker.status, {})).holds).toEqual([held]);
    const other = { ...request, image: 'reg.io/none:1' };
    await expect(send(gcWorker.hold, other)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
    expect(await send(gcWorker.release, { image: reference })).toEqual({ released: [held] });
    expect(await send(gcWorker.release, { image: reference })).toEqual({ released: [] });
    for (const name of ['ImageHeld', 'ImageReleased'] as const) await fixture.events.waitFor(name);
  });

  it('no command is left out', () => {
    const named = ({ app, verb }: CommandDefinition) => `${app}.${verb}`;
    expect([...sent].map(named).sort()).toEqual(apps.flatMap(commandsOf).map(named).sort());
  });

  it('an error of a service is one of the client, with code and message', async () => {
    await expect(send(gcWorker.run, { planId: 'none' })).rejects.toMatchObject({
      code: 'COMMAND_REFUSED',
      grpcStatus: 'FAILED_PRECONDITION',
      reason: expect.stringMatching(/^FAILED_PRECONDITION: plan none is not one of the last 32/),
    });
  });
});
