import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, ServiceFixture } from '@stowage/testing';
import { FakeRegistry } from '../testing/fake-registry';
import { ServiceProcess } from '../testing/service-process';

/** Credential helpers that hang, and a service that goes before them. */
describe('the programs that image-service runs', () => {
  let fixture: ServiceFixture;
  let service: ServiceProcess;
  let pidFile: string;

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ registries: false });
    service = new ServiceProcess(fixture.stack, 'programs');
    pidFile = path.join(service.dir, 'pids');
    const binDir = path.join(service.dir, 'bin');
    mkdirSync(binDir);
    writeFileSync(
      path.join(binDir, 'docker-credential-hanging'),
      `#!/bin/sh\nsleep 600 & echo "$$ $!" > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; wait\n`,
      { mode: 0o755 },
    );
    writeFileSync(
      path.join(service.dockerDir, 'config.json'),
      '{"credHelpers":{"reg.invalid":"hanging"}}',
    );
  });

  afterAll(() => fixture.down());

  const start = () =>
    service.start({
      env: {
        STOWAGE_CREDENTIAL_HELPERS: 'true',
        STOWAGE_CREDENTIAL_HELPER_DIR: path.join(service.dir, 'bin'),
        STOWAGE_STOP_TIMEOUT: '10s',
        STOWAGE_MAX_PARALLEL_IMAGE_PULLS: '1',
      },
    });
  /** Ids of a helper and of what it has started. */
  const hangingHelper = async (): Promise<string[]> => {
    rmSync(pidFile, { force: true });
    fixture
      .request('image-service', 'ensure', { image: 'reg.invalid/app:1' })
      .catch(() => undefined); // nobody is left to answer
    await eventually(() => existsSync(pidFile), { what: 'the helper to run' });
    return readFileSync(pidFile, 'utf8').trim().split(' ');
  };
  /** Not gone, nor gone and only waiting for its parent to notice. */
  const isRunning = (pid: string): boolean => {
    try {
      return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch {
      return false;
    }
  };
  const allGone = (pids: readonly string[]) =>
    eventually(() => !pids.some(isRunning), { what: 'the helper and its child to be gone' });

  it('hold up nobody who does not need them, and go with the last who does', async () => {
    await start();
    const registry = await FakeRegistry.start();
    try {
      rmSync(pidFile, { force: true });
      const leave = new AbortController();
      const waiting = service.client.pullImage(
        { image: { image: 'reg.invalid/app:1' } },
        { signal: leave.signal },
      );
      waiting.catch(() => undefined);
      await eventually(() => existsSync(pidFile), { what: 'the helper to run' });
      const pids = readFileSync(pidFile, 'utf8').trim().split(' ');
      // One pull at a time is allowed, and the first one is not at the runtime yet.
      const { reference } = registry.add('team/other', [1000]);
      await service.client.pullImage({ image: { image: reference } });
      expect(pids.map(isRunning)).toEqual([true, true]);
      leave.abort();
      await expect(waiting).rejects.toMatchObject({ grpcStatus: 'CANCELLED' });
      await allGone(pids);
    } finally {
      await registry.stop();
      await service.stop();
    }
  });

  it.each([
    ['is killed', () => service.app.kill()],
    ['stops', async () => expect(await service.stop()).toBe(0)],
  ])('are gone when it %s', async (_, end) => {
    await start();
    const pids = await hangingHelper();
    expect(pids.map(isRunning)).toEqual([true, true]);
    await end();
    service.client.close();
    await allGone(pids);
  });
});
