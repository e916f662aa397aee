import { RuntimeUnavailableError } from '@stowage/errors';
import { eventually, FakeEngine } from '@stowage/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EngineConnection, retryDelayMs } from './engine-connection';

describe('EngineConnection', () => {
  let folder: string;
  let fake: FakeEngine;
  let connection: EngineConnection;
  const connect = () =>
    (connection = new EngineConnection({ socketPath: fake.socketPath, timeoutMs: 30_000 }));
  const available = (is: boolean) =>
    eventually(() => connection.availability().available === is, { timeoutMs: 6000 });
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'engine-connection-'));
    fake = new FakeEngine(path.join(folder, 'docker.sock'));
  });
  afterEach(async () => {
    await connection.close();
    await fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('refuses calls at once without an engine, and finds it when it comes', async () => {
    connect();
    expect(() => connection.engine()).toThrow(RuntimeUnavailableError);
    await eventually(() => connection.availability().reason?.includes('ENOENT') === true);
    expect(connection.availability()).toMatchObject({
      available: false,
      code: 'DockerDaemonNotReady',
      reason: expect.stringContaining(
        `Docker Engine is not reachable at unix://${fake.socketPath}: connect ENOENT`,
      ) as string,
    });
    expect(connection.lastKnown()).toBeUndefined();
    await fake.start();
    await available(true);
    expect(connection.engine()).toMatchObject({
      api: '1.41',
      version: { engine: '20.10.24', highestApi: '1.41', lowestApi: '1.12' },
      info: { ID: 'FAKE' },
    });
  });

  it('sees the end of the engine at once, tells what was known, and asks everything anew when it is back', async () => {
    await fake.start();
    const seen: boolean[] = [];
    connect();
    connection.onAvailability(() => {
      throw new Error('a listener that fails keeps nobody from hearing');
    });
    const stop = connection.onAvailability(({ available: is }) => seen.push(is));
    await available(true);
    const { lost } = connection.engine();
    await fake.stop();
    await available(false);
    expect(lost.aborted).toBe(true);
    // What goes on in its name fails as a call without an engine does.
    expect(lost.reason).toBeInstanceOf(RuntimeUnavailableError);
    expect(() => connection.engine()).toThrow('is unavailable since');
    expect(connection.lastKnown()?.version.engine).toBe('20.10.24');
    fake.version = { engine: '28.5.0', api: '1.51', lowestApi: '1.24' };
    await fake.start();
    await available(true);
    expect(connection.engine()).toMatchObject({ api: '1.51', version: { engine: '28.5.0' } });
    expect(connection.availability().connections).toBe(2);
    expect(seen).toEqual(expect.arrayContaining([true, false, true]));
    stop();
  });

  it('keeps the connection to an engine that ends those which say nothing', async () => {
    fake.silentMs = 50;
    await fake.start();
    connect();
    await available(true);
    const { lost } = connection.engine();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(lost.aborted).toBe(false);
    expect(connection.availability().connections).toBe(1);
  });

  it('keeps the connection while calls wait for answers on all that they have', async () => {
    fake.answer = ({ path: asked }) => asked.endsWith('/json');
    await fake.start();
    connect();
    await available(true);
    const { client, lost } = connection.engine();
    const calls = Array.from({ length: 64 }, () => client.inspectContainer('x'));
    const results = Promise.allSettled(calls);
    const before = fake.requests.filter(({ path: asked }) => asked === '/_ping').length;
    await eventually(
      () => fake.requests.filter(({ path: asked }) => asked === '/_ping').length > before,
      { timeoutMs: 8000 },
    );
    expect(lost.aborted).toBe(false);
    await connection.close();
    expect((await results).every(({ status }) => status === 'rejected')).toBe(true);
  }, 20_000);

  // D26
  it.each([
    ['1.60', '1.60', 'DockerApiTooNew'],
    ['1.12', '1.30', 'DockerApiTooOld'],
  ])(
    'does not use an engine that speaks %s to %s: %s, until it is another',
    async (lowestApi, api, code) => {
      await fake.start();
      const usable = fake.version;
      fake.version = { engine: 'x', api, lowestApi };
      connect();
      await eventually(() => connection.availability().code === code);
      const { reason } = connection.availability();
      for (const number of [lowestApi, api, '1.41', '1.54']) expect(reason).toContain(number);
      expect(() => connection.engine()).toThrow(reason);
      fake.version = usable;
      await available(true);
    },
  );
});

it('waits longer after each failure, from 100 ms to 5 s', () => {
  const delays = [1, 2, 3, 5, 9, 100].map((failures) => retryDelayMs(failures, () => 0.5));
  expect(delays.map(Math.round)).toEqual([100, 160, 256, 655, 4295, 5000]);
  expect([retryDelayMs(100, () => 0), retryDelayMs(100, () => 1)].map(Math.round)).toEqual([
    4000, 6000,
  ]);
});
