import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually, spawnApp, startStack, type AppProcess, type Stack } from '@stowage/testing';

const apps = ['runtime-gateway', 'image-service', 'gc-worker'] as const;

/** What an engineer on call must find, whichever service they ask. */
const causeAndRemedy =
  /answers but does not serve the CRI's (runtime|image) service.*take "?\\?"cri\\?" out of disabled_plugins in \/etc\/containerd\/config\.toml and restart containerd/;

/** Log lines are counted for this long, milliseconds. */
const countedMs = 20_000;

describe('a runtime that answers without serving the CRI', () => {
  let stack: Stack;
  const running = new Map<string, AppProcess>();

  beforeAll(async () => {
    stack = await startStack();
    await stack.containerd.stop();
    stack.containerd.serveCri(false);
    await stack.containerd.start();
  });

  afterAll(async () => {
    for (const app of running.values()) await app.kill();
    await stack.down();
  });

  const start = (app: string): Promise<AppProcess> => {
    const dir = mkdtempSync(path.join(stack.dir, 'app-'));
    return spawnApp(app, {
      ready: 'healthz',
      env: {
        STOWAGE_NODE_NAME: 'node-a',
        STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
        STOWAGE_NATS_SERVERS: stack.nats.url,
        STOWAGE_STATE_DIR: path.join(dir, 'state'),
        ...(app === 'gc-worker' ? {} : { STOWAGE_LISTEN: path.join(dir, 'cri.sock') }),
        ...(app === 'runtime-gateway' ? { STOWAGE_LISTEN_READONLY: '' } : {}),
      },
    });
  };

  const isDownInWords = async (app: AppProcess): Promise<boolean> => {
    const { status, body } = await app.get('/readyz');
    return status === 503 && causeAndRemedy.test(body);
  };

  it.each(apps)('%s is down within 5 s of its start, with cause and remedy', async (name) => {
    const app = await start(name);
    running.set(name, app);
    await eventually(() => isDownInWords(app), { timeoutMs: 5000, what: `${name} to be down` });
    expect(app.logLines()).toContainEqual(
      expect.objectContaining({
        msg: 'health changed',
        state: 'down',
        reason: expect.stringMatching(/take "cri" out of disabled_plugins/) as string,
      }),
    );
  });

  it('no service logs more than 10 lines a minute about it', async () => {
    const before = new Map([...running].map(([name, app]) => [name, app.logLines().length]));
    await pause(countedMs);
    for (const [name, app] of running) {
      const messages = app
        .logLines()
        .slice(before.get(name))
        .map(({ msg }) => msg);
      expect([name, messages.length <= (10 * countedMs) / 60_000 ? [] : messages]).toEqual([
        name,
        [],
      ]);
    }
    // From the start on as well, when everything that asks the runtime finds it out.
    for (const [name, app] of running) {
      const about = app.logLines().filter((line) => /serve the CRI/.test(JSON.stringify(line)));
      expect(about.length).toBeGreaterThan(0);
      const lines = about.map(({ msg }) => msg);
      expect([name, lines.length <= 10 ? [] : lines]).toEqual([name, []]);
    }
  });

  it('all are ready once it serves the CRI, and down within 5 s when it no longer does', async () => {
    stack.containerd.serveCri(true);
    await stack.containerd.restart();
    for (const [name, app] of running) {
      await eventually(async () => (await app.get('/readyz')).status === 200, {
        what: `${name} to be ready`,
      });
    }
    stack.containerd.serveCri(false);
    await stack.containerd.restart();
    const since = performance.now();
    for (const [name, app] of running) {
      await eventually(() => isDownInWords(app), {
        timeoutMs: Math.max(0, since + 5000 - performance.now()),
        what: `${name} to be down`,
      });
    }
  });
});
