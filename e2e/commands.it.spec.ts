import path from 'node:path';
import { commandSubject } from '@stowage/events';
import { eventually, spawnApp, startStack, type AppProcess, type Stack } from '@stowage/testing';
import { connect, type NatsConnection } from 'nats';

/** Design section 4 held against the three apps as they run with nothing configured about commands. */

const node = 'node-a.example';
const apps = ['runtime-gateway', 'image-service', 'gc-worker'] as const;
type App = (typeof apps)[number];

let stack: Stack;
let nats: NatsConnection;
const running: AppProcess[] = [];

interface Reply {
  ok: boolean;
  result?: Record<string, unknown>;
  error?: { code: string; message: string };
}

async function ask(app: App, verb: string, input: object = {}, of = node): Promise<Reply> {
  const request = JSON.stringify(input);
  return (await nats.request(commandSubject(of, app, verb), request, { timeout: 60_000 })).json();
}

beforeAll(async () => {
  stack = await startStack();
  nats = await connect({ servers: stack.nats.url });
  for (const app of apps) {
    const env = {
      STOWAGE_NODE_NAME: node,
      STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
      STOWAGE_NATS_SERVERS: stack.nats.url,
      STOWAGE_STATE_DIR: path.join(stack.dir, app),
      ...(app === 'gc-worker' ? {} : { STOWAGE_LISTEN: path.join(stack.dir, `${app}.sock`) }),
      ...(app === 'runtime-gateway' ? { STOWAGE_LISTEN_READONLY: '' } : {}),
    };
    running.push(await spawnApp(app, { env }));
    await eventually(() => ask(app, 'status', app === 'image-service' ? { image: 'a' } : {}), {
      what: `${app} to answer`,
    });
  }
});

afterAll(async () => {
  await Promise.all(running.map((app) => app.kill()));
  await nats.close();
  await stack.down();
});

describe('without configuration', () => {
  it.each<[App, string, object, string[]]>([
    ['runtime-gateway', 'pods', { all: true }, ['pods']],
    ['runtime-gateway', 'status', {}, ['available', 'conditions']],
    ['runtime-gateway', 'version', {}, ['runtimeName', 'runtimeVersion']],
    ['image-service', 'list', {}, ['images']],
    ['image-service', 'status', { image: 'reg.io/none:1' }, ['image']],
    ['image-service', 'stats', {}, ['imageCount']],
    ['gc-worker', 'plan', {}, ['planId', 'images']],
    ['gc-worker', 'images', {}, ['total', 'images']],
    ['gc-worker', 'status', {}, ['policy', 'disks', 'records', 'lastCollection']],
  ])('%s answers the query %s', async (app, verb, input, keys) => {
    const { ok, result } = await ask(app, verb, input);
    expect(ok).toBe(true);
    expect(Object.keys(result ?? {})).toEqual(expect.arrayContaining(keys));
  });

  it('image-service ensures an image', async () => {
    const { reference, imageId } = await stack.pushImage({ name: 'team/app', tag: '1' });
    expect(await ask('image-service', 'ensure', { image: reference })).toMatchObject({
      ok: true,
      result: { imageRef: imageId, imageId, pulled: true },
    });
  });

  it.each<[App, string, object]>([
    ['runtime-gateway', 'exec', { containerId: 'c', command: ['id'] }],
    ['image-service', 'remove', { image: 'a' }],
    ['gc-worker', 'run', {}],
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
    const { error } = await ask(app, verb, { ...right, surprise: 1 });
    expect(error?.code).toBe('INVALID_ARGUMENT');
    expect(error?.message).toContain('unknown key "surprise"');
  });

  it.each<[App, string, object, string, string]>([
    ['runtime-gateway', 'pods', { all: 'yes' }, 'INVALID_ARGUMENT', 'all: '],
    ['image-service', 'ensure', {}, 'INVALID_ARGUMENT', 'image: '],
    ['image-service', 'ensure', { image: 'a', holdSeconds: -1 }, 'INVALID_ARGUMENT', 'holdSeconds'],
    ['image-service', 'status', { image: 'A:B' }, 'INVALID_ARGUMENT', 'image reference "A:B"'],
    ['gc-worker', 'plan', { bytes: 0 }, 'INVALID_ARGUMENT', 'bytes: '],
    ['gc-worker', 'plan', { after: 'sha256:none' }, 'NOT_FOUND', 'sha256:none'],
    ['gc-worker', 'images', { limit: 5001 }, 'INVALID_ARGUMENT', 'limit: '],
    ['gc-worker', 'stats', {}, 'UNIMPLEMENTED', 'nearest: status'],
  ])('%s.%s %j gets %s', async (app, verb, input, code, message) => {
    const { ok, error } = await ask(app, verb, input);
    expect([ok, error?.code]).toEqual([false, code]);
    expect(error?.message).toContain(message);
  });
});

it.each(apps)('%s never answers a request for another node', async (app) => {
  for (const other of ['node-b.example', 'node-a', 'node-a.example.net', 'example']) {
    await expect(ask(app, 'status', {}, other)).rejects.toThrow('503');
  }
});
