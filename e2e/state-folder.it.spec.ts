import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { openSqlite } from '@stowage/sqlite';
import {
  eventuallyPasses,
  runApp,
  spawnApp,
  startStack,
  type AppProcess,
  type Stack,
} from '@stowage/testing';

const apps = ['runtime-gateway', 'image-service', 'gc-worker'] as const;
type App = (typeof apps)[number];

/** What each keeps beside its outbox. */
const ownFile: Record<App, string> = {
  'runtime-gateway': 'objects.db',
  'image-service': 'pulls.db',
  'gc-worker': 'records.db',
};

describe('the state folder of a service', () => {
  let stack: Stack;
  let dir: string;

  beforeAll(async () => {
    stack = await startStack();
  });

  beforeEach(() => {
    dir = mkdtempSync(path.join(stack.dir, 'state-'));
  });

  afterAll(async () => {
    await stack.down();
  });

  const env = (app: App, stateDir: string): Record<string, string> => ({
    STOWAGE_NODE_NAME: 'node-a',
    STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
    STOWAGE_NATS_SERVERS: stack.nats.url,
    STOWAGE_STATE_DIR: stateDir,
    ...(app === 'gc-worker' ? {} : { STOWAGE_LISTEN: path.join(dir, 'cri.sock') }),
    ...(app === 'runtime-gateway' ? { STOWAGE_LISTEN_READONLY: '' } : {}),
    ...(app === 'image-service'
      ? { STOWAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY: 'NeverVerifyPreloadedImages' }
      : {}),
  });

  /** Asks the runtime through the service's socket. */
  const ask = async (app: App): Promise<void> => {
    const endpoint = `unix://${path.join(dir, 'cri.sock')}`;
    if (app === 'gc-worker') return;
    const client =
      app === 'image-service'
        ? connectImageService({ endpoint, versions: 'v1' })
        : connectRuntimeService({ endpoint, versions: 'v1' });
    try {
      await client.whenAvailable({ signal: AbortSignal.timeout(60_000) });
    } finally {
      client.close();
    }
  };

  const places: [string, (file: string) => string][] = [
    ['below a file', (file) => path.join(file, 'state')],
    ['that the system does not make', () => '/proc/stowage/state'],
  ];

  it.each(apps.flatMap((app) => places.map(([where, place]) => [app, where, place] as const)))(
    'of %s, %s: calls are served all the same, and /readyz says why nothing is kept',
    async (app, _where, place) => {
      const file = path.join(dir, 'file');
      writeFileSync(file, '');
      const service: AppProcess = await spawnApp(app, { env: env(app, place(file)) });
      try {
        await ask(app);
        await eventuallyPasses(async () => {
          const { status, body } = await service.get('/readyz');
          expect([status, body]).toEqual([200, expect.stringContaining('"degraded"')]);
          expect(body).toMatch(/outbox file cannot be written: (ENOTDIR|ENOENT): /);
        });
        expect(await service.stop()).toBe(0);
      } finally {
        await service.kill();
      }
    },
  );

  it.each(apps.flatMap((app) => [[app, 'outbox.db'] as const, [app, ownFile[app]] as const]))(
    'of %s: a named pipe in place of %s ends the start with the reason',
    async (app, name) => {
      execFileSync('mkfifo', [path.join(dir, name)]);
      const { code, stderr } = await runApp(app, { env: env(app, dir) });
      expect([code, stderr]).toEqual([
        1,
        `${app}: start failed: ${path.join(dir, name)} is a named pipe; a state file has to be a regular file\n`,
      ]);
    },
  );

  /**
   * A state folder of an earlier release, with one file whose schema no release has yet. Returns
   * that file.
   */
  const fromTheFuture = (name: string): string => {
    cpSync(path.join(__dirname, '../libs/sqlite/testdata/26c2345'), dir, { recursive: true });
    const file = path.join(dir, name);
    const database = openSqlite(file);
    database.pragma('user_version = 99');
    database.close();
    return file;
  };
  const refusal = (app: App, file: string): RegExp =>
    new RegExp(
      `^${app}: start failed: ${file} was written by a newer release: it has schema version 99, this release knows \\d+; ` +
        `start the newer release again, or move ${file} and ${file}-wal away, which loses [^\n]+\n$`,
    );

  it.each(apps.flatMap((app) => [[app, 'outbox.db'] as const, [app, ownFile[app]] as const]))(
    'of %s: %s of a newer release ends the start with the way out, and is left as it is',
    async (app, name) => {
      const file = fromTheFuture(name);
      const before = readFileSync(file);
      const { code, stderr } = await runApp(app, { env: env(app, dir) });
      expect([code, stderr]).toEqual([1, expect.stringMatching(refusal(app, file))]);
      expect(readFileSync(file)).toEqual(before);
      expect(readdirSync(dir).filter((other) => other.includes('unusable'))).toEqual([]);
      for (const log of ['', '-wal']) rmSync(file + log, { force: true });
      const service = await spawnApp(app, { env: env(app, dir) });
      expect(await service.stop()).toBe(0);
    },
  );

  it.each(
    (['runtime-gateway', 'image-service'] as const).flatMap((app) => [
      [app, 'outbox.db'] as const,
      [app, ownFile[app]] as const,
    ]),
  )(
    'of %s: with %s of a newer release it does not take the socket over from the one that serves',
    async (app, name) => {
      const served = path.join(dir, 'served');
      const serving = await spawnApp(app, { env: env(app, served) });
      try {
        const file = fromTheFuture(name);
        const { code, stderr } = await runApp(app, {
          env: { ...env(app, dir), STOWAGE_TAKE_OVER: 'true' },
        });
        expect([code, stderr]).toEqual([1, expect.stringMatching(refusal(app, file))]);
        await ask(app);
        expect((await serving.get('/readyz')).status).toBe(200);
        expect(await serving.stop()).toBe(0);
      } finally {
        await serving.kill();
      }
    },
  );

  it.each(apps)('of %s that others may enter holds no file that they may read', async (app) => {
    const stateDir = path.join(dir, 'open');
    mkdirSync(stateDir);
    chmodSync(stateDir, 0o755);
    for (const name of ['outbox.db', ownFile[app]]) {
      writeFileSync(path.join(stateDir, name), '');
      chmodSync(path.join(stateDir, name), 0o644);
    }
    const service = await spawnApp(app, { env: env(app, stateDir) });
    try {
      const files = readdirSync(stateDir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.join(entry.parentPath, entry.name));
      expect(files.map((file) => path.basename(file))).toEqual(
        expect.arrayContaining(['outbox.db', ownFile[app]]),
      );
      const open = files.filter((file) => (statSync(file).mode & 0o077) !== 0);
      expect(open).toEqual([]);
    } finally {
      await service.stop();
    }
  });
});
