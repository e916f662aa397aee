import { statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import type { ServiceError } from '@grpc/grpc-js';
import { createTerminatingEndpoint, type Endpoint } from '@stowage/cri-endpoint';
import {
  ExecSyncRequest,
  ExecSyncResponse,
  VersionRequest,
  VersionResponse,
} from '@stowage/cri-proto';
import { commandSubject } from '@stowage/events';
import { eventually, freePort, ServiceFixture, type AppProcess } from '@stowage/testing';
import { GatewayProcess } from '../testing/gateway-process';
import { callPath } from '../testing/plain-client';

const versionPath = '/runtime.v1.RuntimeService/Version';
const execPath = '/runtime.v1.RuntimeService/ExecSync';

const answer = VersionResponse.encode({
  version: '0.1.0',
  runtimeName: 'fake',
  runtimeVersion: '1.0.0',
  runtimeApiVersion: 'v1',
}).finish();

const logged = (app: AppProcess, message: string) =>
  app.logLines().some(({ msg }) => msg === message);
const isReady = (app: AppProcess) => logged(app, 'ready');
const serves = (app: AppProcess) => logged(app, 'serving CRI');
const handedOver = 'handed over: ends when the calls in flight have ended';
/** Of the process that answers on the address of metrics, whole seconds. */
const startTime = async (app: AppProcess) => {
  const { body } = await app.get('/metrics');
  return Number(/^process_start_time_seconds (\S+)$/m.exec(body)?.[1]);
};
const endedWell = { code: 0, signal: null };

describe('a take-over of runtime-gateway', () => {
  let fixture: ServiceFixture;
  let runtime: Endpoint;
  /**
   * Calls that the runtime works on, by container: what ends each, and those that were cancelled.
   */
  const running = new Map<string, () => void>();
  const givenUp = new Set<string>();
  let nodes = 0;
  const overs: AbortController[] = [];

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ containerd: false, registries: false });
    runtime = await createTerminatingEndpoint({
      socketPath: path.join(fixture.stack.dir, 'rt.sock'),
      upstream: { address: () => '/nonexistent' },
      handlers: {
        [versionPath]: () => Promise.resolve(answer),
        [execPath]: (bytes, { signal }) => {
          const { containerId } = ExecSyncRequest.decode(bytes);
          signal.addEventListener('abort', () => givenUp.add(containerId));
          return new Promise((resolve) => {
            running.set(containerId, () => {
              const response = ExecSyncResponse.fromPartial({ exitCode: 3 });
              resolve(ExecSyncResponse.encode(response).finish());
            });
          });
        },
      },
      unavailableReason: () => undefined,
    });
  });

  afterAll(async () => {
    for (const over of overs) over.abort();
    await runtime.close();
    await fixture.down();
  });

  const settings = async (env: Record<string, string> = {}) => {
    const options = {
      node: `node-${(nodes += 1)}`,
      runtimeEndpoint: `unix://${runtime.socketPath}`,
    };
    return {
      ...new GatewayProcess(fixture.stack, options).environment,
      STOWAGE_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      ...env,
    };
  };
  const start = (
    env: Record<string, string>,
    ready: (app: AppProcess) => boolean = isReady,
  ): Promise<AppProcess> => fixture.start('runtime-gateway', env, { ready });
  const takeOver = (env: Record<string, string>, ready = isReady) =>
    start({ ...env, STOWAGE_TAKE_OVER: 'true' }, ready);

  /**
   * A call through the socket that lasts until the test ends it; resolves with how it ends, in an
   * object, once it runs.
   */
  const longCall = async (socket: string, containerId: string) => {
    const request = ExecSyncRequest.fromPartial({ containerId });
    const ended = callPath(socket, execPath, ExecSyncRequest, ExecSyncResponse, request).then(
      ({ exitCode }) => ({ exitCode }),
      (error: unknown) => {
        const { code, details } = error as ServiceError;
        return { code, details };
      },
    );
    await eventually(() => running.has(containerId), { what: `the call ${containerId}` });
    return { ended };
  };
  const version = (socket: string) =>
    callPath(socket, versionPath, VersionRequest, VersionResponse, { version: '' });
  /** Calls on new connections, one after the other, until it is stopped. */
  const keepConnecting = (socket: string) => {
    const failures: string[] = [];
    const over = new AbortController();
    overs.push(over);
    const ended = (async () => {
      while (!over.signal.aborted) {
        await version(socket).catch((error: unknown) => failures.push(String(error)));
      }
    })();
    return {
      failures,
      stop: () => {
        over.abort();
        return ended;
      },
    };
  };

  it('leaves calls in flight to the old one until they end, over three generations and one address of metrics', async () => {
    const env = await settings({ STOWAGE_STOP_TIMEOUT: '1s' });
    let newest = await start(env);
    const callers = [env.STOWAGE_LISTEN, env.STOWAGE_LISTEN_READONLY].map(keepConnecting);
    const startTimes = new Set([await startTime(newest)]);
    const replaced: AppProcess[] = [];
    const ids = ['first', 'second', 'third'];
    const calls: { ended: Promise<unknown> }[] = [];
    for (const id of ids) {
      calls.push(await longCall(env.STOWAGE_LISTEN, id));
      // So that the start time of the next one is another: it has whole seconds.
      const youngest = Math.max(...startTimes);
      await eventually(() => Date.now() / 1000 >= youngest + 1, { what: 'the next second' });
      const next = await takeOver(env);
      const before = newest;
      await eventually(() => logged(before, handedOver), { what: handedOver });
      await eventually(() => logged(next, 'serving metrics and health'), { what: 'its metrics' });
      expect((await next.get('/readyz')).status).toBe(200);
      startTimes.add(await startTime(next));
      replaced.push(newest);
      newest = next;
    }
    expect(startTimes.size).toBe(4);
    // Each of them has lasted longer than a stop may take by now.
    for (const id of [...ids].reverse()) running.get(id)?.();
    for (const { ended } of calls) expect(await ended).toEqual({ exitCode: 3 });
    for (const app of replaced) expect(await app.exited).toEqual(endedWell);
    for (const caller of callers) await caller.stop();
    expect(callers.flatMap(({ failures }) => failures)).toEqual([]);
    expect(await newest.stop()).toBe(0);
  });

  it('has no moment without service where the old one may take longer to stop than the new one', async () => {
    const env = await settings({ STOWAGE_STOP_TIMEOUT: '2m' });
    const old = await start(env);
    const { ended } = await longCall(env.STOWAGE_LISTEN, 'long-stop');
    const next = await takeOver({ ...env, STOWAGE_STOP_TIMEOUT: '5s' });
    await version(env.STOWAGE_LISTEN);
    running.get('long-stop')?.();
    expect(await ended).toEqual({ exitCode: 3 });
    expect(await old.exited).toEqual(endedWell);
    expect(await next.stop()).toBe(0);
  });

  it('cuts calls when takeOverDrain is over, and at a stop of the old one after half of stopTimeout', async () => {
    const env = await settings();
    const cut = { code: 14, details: 'runtime-gateway is shutting down' };
    const first = await start({ ...env, STOWAGE_TAKE_OVER_DRAIN: '300ms' });
    const bounded = await longCall(env.STOWAGE_LISTEN, 'bounded');
    const second = await takeOver({ ...env, STOWAGE_STOP_TIMEOUT: '10s' });
    expect(await bounded.ended).toEqual(cut);
    expect(await first.exited).toEqual(endedWell);

    const stopped = await longCall(env.STOWAGE_LISTEN, 'stopped');
    const third = await takeOver(env);
    expect(givenUp).not.toContain('stopped');
    expect(await second.stop()).toBe(0);
    expect(await stopped.ended).toEqual(cut);
    await eventually(() => givenUp.has('stopped'), {
      what: 'the runtime to see the cancelled call',
    });
    await version(env.STOWAGE_LISTEN);
    expect(await third.stop()).toBe(0);
  });

  it('moves the NATS commands, and hands over the address of metrics on a unix socket too', async () => {
    const env = await settings();
    const httpSocket = path.join(path.dirname(env.STOWAGE_LISTEN), 'http.sock');
    const onSocket = { ...env, STOWAGE_HTTP_ADDR: `unix://${httpSocket}` };
    const old = await start(onSocket);
    const { ended } = await longCall(env.STOWAGE_LISTEN, 'beside-commands');
    // The new file may get the inode of the old one, which is gone by then.
    const madeAt = statSync(httpSocket).ctimeMs;
    const next = await takeOver(onSocket);
    await eventually(() => logged(next, 'serving metrics and health'), { what: 'its metrics' });
    expect(statSync(httpSocket).ctimeMs).toBeGreaterThan(madeAt);
    const subject = commandSubject(env.STOWAGE_NODE_NAME, 'runtime-gateway', 'version');
    const version = () => fixture.nats.request(subject, '{}', { timeout: 5_000 });
    await eventually(async () => (await version()).json<{ ok: boolean }>().ok, {
      what: 'an answer of the new one',
    });
    running.get('beside-commands')?.();
    await ended;
    expect(await old.exited).toEqual(endedWell);
    expect(statSync(httpSocket).isSocket()).toBe(true);
    expect(await next.stop()).toBe(0);
  });

  describe('by one that cannot start leaves the old one as it is:', () => {
    let env: Awaited<ReturnType<typeof settings>>;
    let old: AppProcess;
    let call: { ended: Promise<unknown> };
    let inode: number;

    beforeAll(async () => {
      env = await settings();
      old = await start(env);
      call = await longCall(env.STOWAGE_LISTEN, 'kept');
      inode = statSync(env.STOWAGE_LISTEN).ino;
    });

    afterAll(async () => {
      running.get('kept')?.();
      expect(await call.ended).toEqual({ exitCode: 3 });
      expect(await old.stop()).toBe(0);
    });

    afterEach(async () => {
      await version(env.STOWAGE_LISTEN);
      expect(statSync(env.STOWAGE_LISTEN).ino).toBe(inode);
      expect((await old.get('/readyz')).status).toBe(200);
      expect(logged(old, 'another process has taken over the socket')).toBe(false);
    });

    it('a wrong configuration', async () => {
      await expect(takeOver({ ...env, STOWAGE_RELIST_INTERVAL: 'soon' })).rejects.toThrow(
        'exit code 78',
      );
    });

    it('a state directory that is none', async () => {
      const file = path.join(path.dirname(env.STOWAGE_LISTEN), 'file');
      writeFileSync(file, '');
      await expect(takeOver({ ...env, STOWAGE_STATE_DIR: file })).rejects.toThrow(
        `state directory ${file} cannot be used`,
      );
    });

    it('a read-only socket whose folder cannot be made', async () => {
      const file = path.join(path.dirname(env.STOWAGE_LISTEN), 'file');
      await expect(
        takeOver({ ...env, STOWAGE_LISTEN_READONLY: path.join(file, 'ro.sock') }),
      ).rejects.toThrow(`cannot listen on ${path.join(file, 'ro.sock')}`);
    });

    it.each([
      ['answers HTTP', () => createServer((_request, response) => response.end('hello'))],
      ['says nothing', () => net.createServer()],
    ])('an address of metrics that is held by a program that %s', async (_what, make) => {
      const other = make();
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
      const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
      await expect(takeOver({ ...env, STOWAGE_HTTP_ADDR: address })).rejects.toThrow(
        `cannot listen on ${address}`,
      );
      other.close();
    });
  });

  it('goes on when the old one is killed before it has handed over', async () => {
    const env = await settings();
    const old = await start(env);
    process.kill(old.pid, 'SIGSTOP');
    // With another address, because the old one does not answer on its own.
    const next = await takeOver(
      { ...env, STOWAGE_HTTP_ADDR: `127.0.0.1:${await freePort()}` },
      serves,
    );
    await version(env.STOWAGE_LISTEN);
    expect(isReady(next)).toBe(false);
    await old.kill();
    await eventually(() => isReady(next), { what: 'the new one to be ready' });
    expect(await next.stop()).toBe(0);
  });

  it('whose new one is killed leaves nothing that keeps a third from starting, and cuts no call', async () => {
    const env = await settings();
    const old = await start(env);
    const { ended } = await longCall(env.STOWAGE_LISTEN, 'outlives');
    const next = await takeOver(env, serves);
    await next.kill();
    const third = await takeOver(env);
    await version(env.STOWAGE_LISTEN);
    running.get('outlives')?.();
    expect(await ended).toEqual({ exitCode: 3 });
    expect(await old.exited).toEqual(endedWell);
    expect(await third.stop()).toBe(0);
  });
});
