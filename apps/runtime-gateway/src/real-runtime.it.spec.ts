import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { VersionRequest, VersionResponse } from '@stowage/cri-proto';
import {
  eventually,
  eventuallyPasses,
  startStack,
  testOn,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import { GatewayProcess } from './testing/gateway-process';
import { callPath } from './testing/plain-client';

const withCancelledCommands = testOn(
  'containerd',
  'CRI-O lets the command of a cancelled ExecSync go on to its end or its own time limit',
);

const versionPath = '/runtime.v1.RuntimeService/Version';

describe('what clients of containerd do, through the gateway', () => {
  let stack: Stack;
  let image: PushedImage;
  let pods = 0;
  const gateways: GatewayProcess[] = [];

  const startGateway = async (node: string, env: Record<string, string> = {}) => {
    const gateway = new GatewayProcess(stack, { node });
    gateways.push(gateway);
    await gateway.start({ env });
    return gateway;
  };

  beforeAll(async () => {
    stack = await startStack();
    image = await stack.pushImage({ name: 'team/app', tag: '1' });
    await stack.pullImage(image.reference);
  });

  afterAll(async () => {
    for (const gateway of gateways) await gateway.end();
    await stack.down();
  });

  /** A pod that writes a line and waits, with its log in a folder of the test. */
  const runPod = async ({ client }: GatewayProcess) => {
    const name = `pod-${(pods += 1)}`;
    const logDirectory = path.join(stack.dir, name);
    const config = {
      metadata: { name, namespace: 'shop', uid: name, attempt: 0 },
      hostname: name,
      logDirectory,
      linux: {},
    };
    const { podSandboxId } = await client.runPodSandbox({ config });
    const { containerId } = await client.createContainer({
      podSandboxId,
      config: {
        metadata: { name: 'main', attempt: 0 },
        image: { image: image.imageId },
        command: ['/bin/sh', '-c', 'echo a line; trap "exit 0" TERM; sleep 3600 & wait'],
        logPath: 'main.log',
        stdin: true,
        linux: {},
      },
      sandboxConfig: config,
    });
    await client.startContainer({ containerId });
    return { podSandboxId, containerId, log: path.join(logDirectory, 'main.log') };
  };

  /** Speaks to a streaming URL: what the server said, up to `until` or the end. */
  const upgrade = (url: string, protocol: 'websocket' | 'SPDY/3.1', until = '') =>
    new Promise<string>((resolve, reject) => {
      const headers =
        protocol === 'websocket'
          ? {
              'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
              'Sec-WebSocket-Version': '13',
              'Sec-WebSocket-Protocol': 'v4.channel.k8s.io',
            }
          : {
              'X-Stream-Protocol-Version': url.includes('portforward')
                ? 'portforward.k8s.io'
                : 'v4.channel.k8s.io',
            };
      const request = http.request(url, {
        method: protocol === 'websocket' ? 'GET' : 'POST',
        headers: { Connection: 'Upgrade', Upgrade: protocol, ...headers },
      });
      request.once('error', reject);
      request.once('response', ({ statusCode }) => resolve(`status ${statusCode}`));
      request.once('upgrade', (response, socket, head: Buffer) => {
        let text = `status ${response.statusCode} ${head.toString('latin1')}`;
        const finish = () => {
          socket.destroy();
          resolve(text);
        };
        socket.once('error', finish);
        socket.once('end', finish);
        if (text.includes(until)) finish();
        socket.on('data', (chunk: Buffer) => {
          text += chunk.toString('latin1');
          if (text.includes(until)) finish();
        });
      });
      request.end();
    });

  describe.each([
    ['piped', {}],
    ['terminating', { STOWAGE_IMAGE_ROUTING: 'true' }],
  ] as const)('on a %s socket', (mode, env) => {
    let gateway: GatewayProcess;
    let pod: Awaited<ReturnType<typeof runPod>>;

    beforeAll(async () => {
      gateway = await startGateway(mode, { ...env });
      pod = await runPod(gateway);
    });

    afterAll(async () => {
      await gateway.client.stopPodSandbox({ podSandboxId: pod.podSandboxId });
      await gateway.client.removePodSandbox({ podSandboxId: pod.podSandboxId });
      expect(await gateway.stop()).toBe(0);
    });

    it('gives URLs for exec, attach and port-forward that work', async () => {
      const { client } = gateway;
      const { containerId, podSandboxId } = pod;
      const exec = await client.exec({
        containerId,
        cmd: ['/bin/sh', '-c', 'echo hello from exec'],
        stdout: true,
        stderr: true,
      });
      expect(await upgrade(exec.url, 'websocket', 'hello from exec')).toMatch(
        /^status 101 [^]*hello from exec/,
      );
      const attach = await client.attach({ containerId, stdout: true, stderr: true });
      expect(await upgrade(attach.url, 'SPDY/3.1')).toMatch(/^status 101/);
      const forward = await client.portForward({ podSandboxId, port: [8080] });
      expect(await upgrade(forward.url, 'SPDY/3.1')).toMatch(/^status 101/);
    });

    it('runs commands, returns stats, and reopens logs', async () => {
      const { client } = gateway;
      const { containerId, log } = pod;
      const { stdout } = await client.execSync({ containerId, cmd: ['echo', 'hi'], timeout: 10n });
      expect(String(Buffer.from(stdout))).toBe('hi\n');
      await eventuallyPasses(async () => {
        const { stats } = await client.containerStats({ containerId });
        expect(stats?.attributes?.id).toBe(containerId);
        expect(Number(stats?.memory?.workingSetBytes?.value)).toBeGreaterThan(0);
      });
      await eventually(() => readFileSync(log, 'utf8').includes(' stdout F a line\n'), {
        what: 'the line in the log',
      });
      await client.reopenContainerLog({ containerId });
    });

    withCancelledCommands('lets a cancellation reach the runtime', async () => {
      const { client } = gateway;
      const abort = new AbortController();
      const seconds = mode === 'piped' ? '71001' : '71002';
      const running = () => commandLines().some((line) => line === `sleep\0${seconds}\0`);
      const call = client.execSync(
        { containerId: pod.containerId, cmd: ['sleep', seconds], timeout: 0n },
        { signal: abort.signal },
      );
      const failure = expect(call).rejects.toMatchObject({ grpcStatus: 'CANCELLED' });
      // containerd forgets a command that is cancelled while runc still starts it, and the command
      // goes on.
      const starting = () =>
        commandLines().some((line) => line.includes('\0exec\0') && line.includes(pod.containerId));
      await eventually(() => running() && !starting(), { what: 'the command to run' });
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      abort.abort();
      await failure;
      await eventually(() => !running(), { what: 'the command to be ended' });
    });
  });

  /** Calls one after the other on connections of their own until stopped; counts how they ended. */
  const load = (socket: string, callers: number) => {
    const codes = new Map<number | string, number>();
    let isOver = false;
    const call = async () => {
      const code = await callPath(socket, versionPath, VersionRequest, VersionResponse, {
        version: '',
      }).then(
        () => 0,
        (error: unknown) => {
          const { code, details } = error as { code: number; details: string };
          // containerd's own words while it starts, passed on.
          if (code === 2 && details === 'server is not initialized yet') return 14;
          return code === 14 ? code : `${code} ${details}`;
        },
      );
      codes.set(code, (codes.get(code) ?? 0) + 1);
    };
    const ended = Promise.all(
      Array.from({ length: callers }, async () => {
        while (!isOver) await call();
      }),
    );
    return {
      codes,
      ok: () => codes.get(0) ?? 0,
      stop: async () => {
        isOver = true;
        await ended;
      },
    };
  };

  it('gets over a runtime that is killed and restarted under load', async () => {
    const gateway = await startGateway('killed-runtime');
    const calls = [load(gateway.socket, 3), load(gateway.readonlySocket, 2)];
    for (let round = 0; round < 2; round++) {
      await eventually(() => calls.every(({ ok }) => ok() > 20), { what: 'calls' });
      await stack.runtime.kill();
      await eventually(() => calls.every(({ codes }) => (codes.get(14) ?? 0) > 5), {
        what: 'calls to be refused',
      });
      await stack.runtime.start();
      const before = calls.map(({ ok }) => ok());
      await eventually(() => calls.every(({ ok }, i) => ok() > (before[i] ?? 0) + 20), {
        what: 'calls to succeed again',
        timeoutMs: 60_000,
      });
    }
    for (const { stop } of calls) await stop();
    for (const { codes } of calls) expect([...codes.keys()].sort()).toEqual([0, 14]);
    expect(await gateway.stop()).toBe(0);
  });

  it('is killed and restarted under load: its clients and the pods get over it', async () => {
    const gateway = await startGateway('killed-gateway');
    const { containerId, podSandboxId } = await runPod(gateway);
    const calls = load(gateway.socket, 3);
    await eventually(() => calls.ok() > 20, { what: 'calls' });
    await gateway.kill();
    await eventually(() => (calls.codes.get(14) ?? 0) > 5, { what: 'calls to be refused' });
    await gateway.start();
    const before = calls.ok();
    await eventually(() => calls.ok() > before + 20, { what: 'calls to succeed again' });
    await calls.stop();
    expect([...calls.codes.keys()].sort()).toEqual([0, 14]);
    const { status } = await gateway.client.containerStatus({ containerId });
    expect(status?.exitCode).toBe(0);
    await gateway.client.stopPodSandbox({ podSandboxId });
    await gateway.client.removePodSandbox({ podSandboxId });
    expect(await gateway.stop()).toBe(0);
  });
});

/** Command lines of all processes. */
function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    });
}
