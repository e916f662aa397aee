import path from 'node:path';
import { findMarked, ownerMarker } from './cleanup/processes';
import { runApp, spawnApp } from './spawn-app';

const script = path.join(__dirname, '../testdata/app.js');

const children = () => findMarked(ownerMarker, (token) => token.startsWith(`${process.pid}-`));

afterEach(() => expect(children()).toEqual([]));

it('it waits for /readyz, shows what the app says, and stops it with its exit code', async () => {
  process.env.STOWAGE_SPEC = 'must not reach the app';
  const app = await spawnApp(script, { env: { MODE: 'ready' } });
  expect(children().map(({ pid }) => pid)).toEqual([app.pid]);
  expect(await app.get('/metrics')).toEqual({ status: 200, body: '/metrics' });
  expect(app.httpUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(app.logLines()).toEqual([{ level: 'info', msg: 'starting' }]);
  expect(app.stdout).toContain('not JSON\n');
  expect(await app.stop()).toBe(3);
  expect(await app.exited).toEqual({ code: 3, signal: null });
});

it('it can wait for /healthz, for a condition, or for nothing', async () => {
  const env = { MODE: 'late' };
  const apps = await Promise.all([
    spawnApp(script, { env, ready: 'healthz' }),
    spawnApp(script, { env, ready: 'spawned' }),
    spawnApp(script, { env, ready: (app) => app.logLines().length > 0 }),
  ]);
  await Promise.all(apps.map((app) => app.kill()));
  expect(await apps[0].exited).toEqual({ code: null, signal: 'SIGKILL' });
});

it('an app that ends before it is ready is an error with what it printed', async () => {
  await expect(spawnApp(script, { env: { MODE: 'crash' } })).rejects.toThrow(
    /^.*app\.js ended before it was ready: exit code 78\n.*"starting"}\nnot JSON\nSTOWAGE_LISTEN: "x" is not a path$/s,
  );
});

it('an app that never gets ready is ended', async () => {
  await expect(spawnApp(script, { env: { MODE: 'late' }, readyTimeoutMs: 500 })).rejects.toThrow(
    /app\.js to be ready/,
  );
});

it('an app that does not end is an error, and can be killed', async () => {
  const app = await spawnApp(script, { env: { MODE: 'deaf' } });
  await expect(app.stop({ timeoutMs: 50 })).rejects.toThrow(
    /app\.js did not end within 50 ms of SIGTERM/,
  );
  await app.kill();
});

it('runApp runs an app to its end', async () => {
  expect(await runApp(script, { env: { MODE: 'crash' } })).toMatchObject({
    code: 78,
    signal: null,
    stderr: 'STOWAGE_LISTEN: "x" is not a path\n',
  });
});

it('an app that is not built says how to build it', async () => {
  await expect(spawnApp('no-such-app')).rejects.toThrow(
    /dist\/apps\/no-such-app\/main\.js is absent: run `npm run build` first$/,
  );
});
