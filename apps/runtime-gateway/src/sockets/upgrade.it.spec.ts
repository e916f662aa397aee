import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { createTerminatingEndpoint, type Endpoint } from '@stowage/cri-endpoint';
import { VersionRequest, VersionResponse } from '@stowage/cri-proto';
import { eventually, eventuallyPasses, ServiceFixture, type AppProcess } from '@stowage/testing';
import { GatewayProcess } from '../testing/gateway-process';
import { callPath } from '../testing/plain-client';

const versionPath = '/runtime.v1.RuntimeService/Version';
const answer = VersionResponse.encode({
  version: '0.1.0',
  runtimeName: 'fake',
  runtimeVersion: '1.0.0',
  runtimeApiVersion: 'v1',
}).finish();

/** Calls without a pause on a connection of its own until it is stopped. */
function keepCalling(socket: string) {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  const failures: string[] = [];
  const counts = { calls: 0 };
  let isOver = false;
  const call = () =>
    new Promise<void>((resolve) => {
      client.makeUnaryRequest(
        versionPath,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.alloc(0),
        (error: ServiceError | null) => {
          if (error != null) failures.push(error.message);
          counts.calls++;
          resolve();
        },
      );
    });
  const ended = (async () => {
    while (!isOver) await call();
    client.close();
  })();
  return {
    failures,
    counts,
    stop: () => {
      isOver = true;
      return ended;
    },
  };
}

describe('runtime-gateway is replaced', () => {
  let fixture: ServiceFixture;
  let runtime: Endpoint;

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ containerd: false, registries: false });
    runtime = await createTerminatingEndpoint({
      socketPath: path.join(fixture.stack.dir, 'rt.sock'),
      upstream: { address: () => '/nonexistent' },
      handlers: { [versionPath]: () => Promise.resolve(answer) },
      unavailableReason: () => undefined,
    });
  });

  afterAll(async () => {
    await runtime.close();
    await fixture.down();
  });

  const settings = () => {
    const runtimeEndpoint = `unix://${runtime.socketPath}`;
    return new GatewayProcess(fixture.stack, { node: 'node-1', runtimeEndpoint }).environment;
  };
  const start = (env: Record<string, string>, ready?: (app: AppProcess) => boolean) =>
    fixture.start('runtime-gateway', env, { ready });
  const logged = (app: AppProcess, message: string) =>
    app.logLines().some(({ msg }) => msg === message);

  it('by one that takes over its sockets: no call fails, and the old one ends with 0', async () => {
    const env = settings();
    let current = await start(env);
    const callers = [env.STOWAGE_LISTEN, env.STOWAGE_LISTEN, env.STOWAGE_LISTEN_READONLY].map(
      keepCalling,
    );
    for (let round = 0; round < 2; round++) {
      const next = await start({ ...env, STOWAGE_TAKE_OVER: 'true' });
      expect(await current.exited).toEqual({ code: 0, signal: null });
      expect(logged(current, 'another process has taken over the socket')).toBe(true);
      const before = callers.map(({ counts }) => counts.calls);
      await eventually(
        () => callers.every(({ counts }, i) => counts.calls > (before[i] ?? 0) + 20),
        {
          what: 'calls on the new instance',
        },
      );
      current = next;
    }
    for (const caller of callers) await caller.stop();
    expect(callers.flatMap(({ failures }) => failures)).toEqual([]);
    expect(existsSync(env.STOWAGE_LISTEN)).toBe(true);
    expect(await current.stop()).toBe(0);
    expect(existsSync(env.STOWAGE_LISTEN)).toBe(false);
  });

  it('by one that is not to take over: refused, and nothing happens to the first', async () => {
    const env = settings();
    const first = await start(env);
    await expect(
      start({ ...env, STOWAGE_STATE_DIR: path.join(fixture.stack.dir, 'other-state') }),
    ).rejects.toThrow(`socket ${env.STOWAGE_LISTEN_READONLY} is in use`);
    expect(await first.stop()).toBe(0);
  });

  it('by one that is replaced itself before it got the state folder: no call fails', async () => {
    const env = settings();
    const first = await start(env);
    const caller = keepCalling(env.STOWAGE_LISTEN);
    const takeOver = { ...env, STOWAGE_TAKE_OVER: 'true' };
    const serves = (app: AppProcess) => logged(app, 'serving CRI');
    // It is stopped, so that it does not give up the state folder.
    process.kill(first.pid, 'SIGSTOP');
    const second = await start(takeOver, serves);
    const third = await start(takeOver, serves);
    expect(await second.exited).toEqual({ code: 0, signal: null });
    process.kill(first.pid, 'SIGCONT');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    await eventually(() => logged(third, 'ready'), { what: 'the third to be ready' });
    await caller.stop();
    expect(caller.failures).toEqual([]);
    expect(await third.stop()).toBe(0);
  });

  it('takes over where nobody is, too', async () => {
    const app = await start({ ...settings(), STOWAGE_TAKE_OVER: 'true' });
    expect(await app.stop()).toBe(0);
  });

  it('listens on the sockets that systemd made, and leaves their files alone', async () => {
    const env = settings();
    const main = path.resolve('dist/apps/runtime-gateway/main.js');
    // Binds as systemd does with two socket units, and hands the descriptors over without accepting
    // anything.
    const supervisor = `
      const { Pipe, constants } = process.binding('pipe_wrap');
      const fds = [process.argv[1], process.argv[2]].map((file) => {
        const pipe = new Pipe(constants.SERVER);
        pipe.bind(file);
        (globalThis.kept ??= []).push(pipe);
        return pipe.fd;
      });
      const { spawn } = require('node:child_process');
      const child = spawn('/bin/sh', ['-c', 'LISTEN_PID=$$ exec "$0" "$@"', process.execPath, process.argv[3]], {
        stdio: ['ignore', 'inherit', 'inherit', ...fds],
        env: { ...process.env, LISTEN_FDS: '2', LISTEN_FDNAMES: 'stowage.socket:runtime-ro' },
      });
      process.on('SIGTERM', () => child.kill('SIGTERM'));
      child.on('exit', (code) => process.kill(process.pid, code === 0 ? 'SIGKILL' : 'SIGABRT'));`;
    const process_ = spawn(
      process.execPath,
      ['-e', supervisor, env.STOWAGE_LISTEN, path.join(fixture.stack.dir, 'elsewhere.sock'), main],
      { env: { ...env, PATH: process.env.PATH, STOWAGE_HTTP_ADDR: '' }, stdio: 'pipe' },
    );
    let output = '';
    process_.stdout.on('data', (chunk: Buffer) => (output += String(chunk)));
    process_.stderr.on('data', (chunk: Buffer) => (output += String(chunk)));
    const exited = new Promise((resolve) =>
      process_.once('exit', (_code, signal) => resolve(signal)),
    );
    try {
      await eventually(() => output.includes('"msg":"ready"'), { what: 'the gateway to be ready' });
      const inode = statSync(env.STOWAGE_LISTEN).ino;
      const version = (socket: string) =>
        callPath(socket, versionPath, VersionRequest, VersionResponse, { version: '' });
      await eventuallyPasses(async () => {
        expect(await version(env.STOWAGE_LISTEN)).toMatchObject({ runtimeName: 'fake' });
      });
      expect(await version(path.join(fixture.stack.dir, 'elsewhere.sock'))).toMatchObject({
        runtimeName: 'fake',
      });
      expect(existsSync(env.STOWAGE_LISTEN_READONLY)).toBe(false);
      process_.kill('SIGTERM');
      expect(await exited).toBe('SIGKILL');
      expect(statSync(env.STOWAGE_LISTEN).ino).toBe(inode);
    } finally {
      process_.kill('SIGTERM');
    }
  });
});
