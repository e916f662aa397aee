import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { eventually, spawnApp, startStack, type Stack } from '@stowage/testing';

const apps = ['runtime-gateway', 'image-service', 'gc-worker'] as const;

const alarmingLevels = ['warn', 'error', 'fatal'];

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
    // Both connections are there: a stop while one is made is another matter.
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
  });
});
