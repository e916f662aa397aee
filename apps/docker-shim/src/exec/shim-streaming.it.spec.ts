import { SpdyClient } from '@stowage/cri-streaming/testing';
import { eventually, startStack, type Stack } from '@stowage/testing';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { ShimProcess } from '../testing/shim-process';

/** Exec, attach and port-forward through docker-shim as a process, with its own configuration. */
let stack: Stack;
let shim: ShimProcess;
let podSandboxId: string;
let app: string;
const clients: SpdyClient[] = [];

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  shim = new ShimProcess(stack);
  await shim.start();
  const { reference } = await stack.pushImage({ name: 'team/app' });
  const { imageRef } = await shim.image.pullImage({ image: { image: reference } });
  const sandboxConfig = {
    metadata: { name: 'web-0', namespace: 'shop', uid: 'uid-web-0', attempt: 0 },
    linux: { sysctls: { 'net.ipv6.conf.all.disable_ipv6': '0' } },
  };
  const script =
    "echo from the pod > /hello; httpd -h / -p 127.0.0.1:8080; httpd -h / -p '[::1]:8081'; exec sleep 100000";
  ({ podSandboxId } = await shim.runtime.runPodSandbox({ config: sandboxConfig }));
  ({ containerId: app } = await shim.runtime.createContainer({
    podSandboxId,
    sandboxConfig,
    config: {
      metadata: { name: 'app', attempt: 0 },
      image: { image: imageRef },
      command: ['/bin/sh', '-c', script],
      stdin: true,
    },
  }));
  await shim.runtime.startContainer({ containerId: app });
}, 60_000);

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

async function open(url: string, protocol = 'v4.channel.k8s.io'): Promise<SpdyClient> {
  const client = await SpdyClient.open(url, { protocols: [protocol] });
  clients.push(client);
  return client;
}

const run = async (script: string, timeout = 10n) => {
  const cmd = ['/bin/sh', '-c', script];
  const { stdout } = await shim.runtime.execSync({ containerId: app, cmd, timeout });
  return Buffer.from(stdout).toString();
};
const processes = async () =>
  (await run('ps -o args')).split('\n').filter((line) => line.startsWith('sleep 300')).length;

/** Addresses of the TCP sockets on which a process listens, as the kernel writes them. */
function listening(pid: number): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return []; // it was closed meanwhile
      }
    }),
  );
  return ['tcp', 'tcp6'].flatMap((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode = '']) => state === '0A' && inodes.has(inode))
      .map(([, local = '']) => local.replace(/:.*/, '')),
  );
}

// D01
it('commands that do not end are killed at their time limit, however many there are', async () => {
  const before = await processes();
  for (let round = 0; round < 3; round += 1) {
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 5 }, () =>
        expect(
          shim.runtime.execSync({
            containerId: app,
            cmd: ['/bin/sh', '-c', 'sleep 300 & sleep 300'],
            timeout: 1n,
          }),
        ).rejects.toMatchObject({ grpcStatus: 'DEADLINE_EXCEEDED' }),
      ),
    );
    expect(performance.now() - began).toBeLessThan(3000);
  }
  await eventually(async () => (await processes()) === before, { timeoutMs: 2000 });
  const kills = 'stowage_shim_exec_kills_total{reason="time-limit"}';
  expect(await shim.app.metric(kills)).toBe(15);
}, 30_000);

// D02
it('a command that reads its input to the end ends with it', async () => {
  const { url } = await shim.runtime.exec({
    containerId: app,
    cmd: ['cat'],
    stdin: true,
    stdout: true,
    stderr: true,
  });
  const client = await open(url);
  const [error, stdin, stdout] = await Promise.all(
    ['error', 'stdin', 'stdout', 'stderr'].map((streamType) => client.createStream({ streamType })),
  );
  const before = performance.now();
  client.write(stdin!, 'abc');
  client.end(stdin!);
  await eventually(() => error!.isEnded && stdout!.isEnded);
  expect(performance.now() - before).toBeLessThan(2000);
  expect([stdout!.text, JSON.parse(error!.text)]).toMatchObject(['abc', { status: 'Success' }]);
});

// D03
it.each([
  ['127.0.0.1', 8080],
  ['::1', 8081],
])('a server of the pod that listens on %s is reached', async (_address, port) => {
  const { url } = await shim.runtime.portForward({ podSandboxId, port: [port] });
  const client = await open(url, 'portforward.k8s.io');
  const of = (streamType: string) =>
    client.createStream({ streamType, port: String(port), requestID: '1' });
  const error = await of('error');
  const data = await of('data');
  client.write(data, 'GET /hello HTTP/1.0\r\n\r\n');
  await eventually(() => data.isEnded && error.isEnded, { timeoutMs: 5000 });
  expect([error.text, data.text.split('\r\n\r\n').at(-1)]).toEqual(['', 'from the pod\n']);
});

// D04
it('listens on loopback alone, and a URL is good for one session', async () => {
  const { url } = await shim.runtime.attach({ containerId: app, stdin: true, stdout: true });
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/cri\/attach\/[\w-]{22}$/);
  const addresses = listening(shim.app.pid);
  // Of metrics and of streams.
  expect(addresses.length).toBeGreaterThanOrEqual(2);
  expect(new Set(addresses)).toEqual(new Set(['0100007F']));
  expect((await open(url)).status).toBe(101);
  expect((await open(url)).status).toBe(404);
});

// D04
it('gives no more than a thousand URLs that nobody uses', async () => {
  const exec = () =>
    shim.runtime.exec({ containerId: app, cmd: ['true'], stdout: true }).then(
      () => 'given',
      (error: unknown) => (error as { grpcStatus: string }).grpcStatus,
    );
  const answers = new Map<string, number>();
  for (let batch = 0; batch < 11; batch += 1) {
    for (const answer of await Promise.all(Array.from({ length: 100 }, exec))) {
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  }
  expect([...answers.keys()].sort()).toEqual(['RESOURCE_EXHAUSTED', 'given']);
  expect(answers.get('given')).toBeGreaterThanOrEqual(998);
  expect(answers.get('given')).toBeLessThanOrEqual(1000);
}, 60_000);
