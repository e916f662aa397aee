import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { connectRuntimeService } from '@stowage/cri-client';
import {
  dockerShimOn,
  eventually,
  spawnApp,
  startStack,
  type AppProcess,
  type Stack,
} from '@stowage/testing';

const apps = ['runtime-gateway', 'image-service', 'gc-worker'] as const;

const alarmingLevels = ['warn', 'error', 'fatal'];

/** Stops the service once all is well, and looks through what it logs from then on. */
async function stopsQuietly(app: AppProcess): Promise<void> {
  // Its connections are there: a stop while one is made is another matter.
  await eventually(async () => {
    const { body } = await app.get('/readyz');
    return (JSON.parse(body) as { status: string }).status === 'ok';
  });
  expect(await app.stop()).toBe(0);
  const lines = app.logLines();
  const stopping = lines.findIndex(({ msg }) => msg === 'stopping');
  expect(stopping).toBeGreaterThan(0);
  const after = lines.slice(stopping + 1);
  expect(after.at(-1)).toMatchObject({ msg: 'stopped' });
  const alarming = after.filter(
    ({ level, msg, reason }) =>
      alarmingLevels.includes(String(level)) ||
      /unavailable|lost|failed|closed|down\b|ended/i.test(`${String(msg)} ${String(reason)}`),
  );
  expect(alarming).toEqual([]);
}

describe('a stop', () => {
  let stack: Stack;

  beforeAll(async () => {
    stack = await startStack();
    const { reference } = await stack.pushImage({ name: 'team/app' });
    await stack.runPod({ image: reference });
  });

  afterAll(async () => {
    await stack.down();
  });

  it.each(apps)('of %s logs nothing that looks like an outage', async (name) => {
    const dir = mkdtempSync(path.join(stack.dir, 'app-'));
    const app = await spawnApp(name, {
      env: {
        STOWAGE_NODE_NAME: 'node-a',
        STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
        STOWAGE_NATS_SERVERS: stack.nats.url,
        STOWAGE_STATE_DIR: path.join(dir, 'state'),
        ...(name === 'gc-worker' ? {} : { STOWAGE_LISTEN: path.join(dir, 'cri.sock') }),
        ...(name === 'runtime-gateway'
          ? { STOWAGE_LISTEN_READONLY: path.join(dir, 'ro.sock') }
          : {}),
      },
    });
    await stopsQuietly(app);
  });
});

it('nor does a stop of docker-shim, with a pod that runs', async () => {
  const stack = await startStack({ docker: {} });
  try {
    const { endpoint, env } = dockerShimOn(stack);
    const app = await spawnApp('docker-shim', {
      env: { ...env, STOWAGE_NODE_NAME: 'node-a', STOWAGE_NATS_SERVERS: stack.nats.url },
    });
    const runtime = connectRuntimeService({ endpoint });
    const metadata = { name: 'web-0', namespace: 'default', uid: 'u', attempt: 0 };
    await runtime.runPodSandbox({ config: { metadata, linux: {} } });
    runtime.close();
    await stopsQuietly(app);
  } finally {
    await stack.down();
  }
});
