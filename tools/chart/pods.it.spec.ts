import { execFileSync } from 'node:child_process';
import { readFileSync, statfsSync, statSync } from 'node:fs';
import { createServer, connect as connectTo, type Server } from 'node:net';
import path from 'node:path';
import {
  connectImageService,
  connectRuntimeService,
  type ImageServiceClient,
} from '@stowage/cri-client';
import {
  eventually,
  startStack,
  subscribeEvents,
  testRuntime,
  TestNatsServer,
  type EventCollection,
  type Stack,
} from '@stowage/testing';
import { nkeys } from 'nats';
import { chartApps } from './chart';
import { kubernetesPrograms } from './kubernetes-programs';
import { Chart } from './render';
import { Rendered } from './rendered';
import { folderIn, runService, shareMounts, type RunningService } from './run-service';
import { makeServiceImages } from './service-images';

/**
 * The pods of the chart, as Helm renders them, on a real containerd: users, capabilities, mounts
 * and the read-only root are those of the chart. Other than on a node of a cluster:
 *
 * - requests come from `criPod` and not from kubelet; the classes of control groups that kubelet
 *   makes are not there, and the pods lie in the runtime's own;
 * - where this machine may not lower an oom_score_adj, the runtime takes the lowest it may;
 * - SELinux and AppArmor are those of this machine, usually none.
 */

const nodeName = 'node-1.example';
const operator = { user: 'operator', pass: 'operator-of-the-test' };
const onContainerd = testRuntime().name === 'containerd' ? describe : describe.skip;

/** As much as is used of what the package has without types. */
interface NKeys {
  createUser(): { getPublicKey(): string; getSeed(): Uint8Array };
}

onContainerd('the pods of the chart on a real containerd', () => {
  let stack: Stack;
  /** What ends the parts, in the order of their start. */
  const ends: (() => Promise<void> | void)[] = [];
  let events: EventCollection;
  let rendered: Rendered;
  let runtime: ReturnType<typeof connectRuntimeService>;
  const services = new Map<string, RunningService>();

  beforeAll(async () => {
    const chart = new Chart(await kubernetesPrograms());
    stack = await startStack({ filesystemMb: 1200, nats: false });
    ends.push(() => stack.down());
    shareMounts(stack);
    const login = (nkeys as NKeys).createUser();
    const users = `{ nkey: ${login.getPublicKey()} }, { user: ${operator.user}, password: ${operator.pass} }`;
    const nats = await TestNatsServer.start({ config: `authorization { users: [${users}] }` });
    ends.push(() => nats.remove());
    const address = bridgeAddress(stack);
    const proxy = await forward(address, nats.port);
    ends.push(() => void proxy.close());
    rendered = new Rendered(await chart.render(valuesFor(stack, `nats://${address}:${nats.port}`)));
    const names = chartApps.map((app) => [app, rendered.container(app).image ?? ''] as const);
    const archive = makeServiceImages(folderIn(stack, 'images'), Object.fromEntries(names));
    await stack.containerd.ctr('images', 'import', '--no-unpack', archive);
    events = await subscribeEvents(nats.url, operator);
    ends.push(() => events.close());
    runtime = connectRuntimeService({ endpoint: stack.containerd.endpoint });
    ends.push(() => runtime.close());
    const seed = Buffer.from(login.getSeed()).toString();
    const secrets = {
      'stowage-nats-users': { [`${nodeName}.nk`]: seed, 'node-2.example.nk': 'another' },
    };
    const node = { name: nodeName, stack, runtime, secrets };
    for (const app of chartApps) services.set(app, await runService(app, rendered, node));
  });

  afterAll(async () => {
    for (const end of ends.reverse()) await end();
  });

  const service = (app: string): RunningService => services.get(app)!;

  const ask = async (app: string, kind: 'startup' | 'liveness' | 'readiness') => {
    const { ip, pod } = service(app);
    const { port, path: page, timeoutSeconds } = pod.probes[kind];
    const signal = AbortSignal.timeout(timeoutSeconds * 1000);
    const response = await fetch(`http://${ip}:${port}${page}`, { signal });
    return { ok: response.ok, body: await response.text() };
  };

  const isWell = (app: string) =>
    eventually(
      async () => {
        const { body } = await ask(app, 'readiness');
        if ((JSON.parse(body) as { status: string }).status !== 'ok') throw new Error(body);
        return true;
      },
      { timeoutMs: 60_000, what: `${app} to be ok` },
    );

  const logOf = (app: string): string =>
    readFileSync(path.join(stack.dir, `logs-${app}`, app, '0.log'), 'utf8');

  /** Pulls through the socket on the node, as crictl would. */
  const pull = (image: string): Promise<string> =>
    overImageSocket(async (client) => (await client.pullImage({ image: { image } })).imageRef);

  async function overImageSocket<T>(ask: (client: ImageServiceClient) => Promise<T>): Promise<T> {
    const endpoint = `unix://${path.join(stack.dir, 'run/image.sock')}`;
    const client = connectImageService({ endpoint });
    try {
      return await ask(client);
    } finally {
      client.close();
    }
  }

  it.each(chartApps)('%s starts, and is ready with nothing missing', async (app) => {
    await eventually(async () => (await ask(app, 'startup')).ok, { timeoutMs: 60_000 }).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}\n${logOf(app)}`);
      },
    );
    await isWell(app);
    expect((await ask(app, 'liveness')).ok).toBe(true);
  });

  it.each(chartApps)('%s has no capability, no way to more rights and nowhere to write', (app) => {
    const { pid } = service(app);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
    expect({
      user: field('Uid'),
      effective: field('CapEff'),
      bounding: field('CapBnd'),
      noNewPrivs: field('NoNewPrivs'),
      seccomp: field('Seccomp'),
    }).toEqual({
      user: '0\t0\t0\t0',
      effective: '0'.repeat(16),
      bounding: '0'.repeat(16),
      noNewPrivs: '1',
      seccomp: '2',
    });
    expect(mountsOf(pid).find(({ at }) => at === '/')?.options).toContain('ro');
  });

  it.each(chartApps)('stowctl in the pod of %s shows all services of the node', async (app) => {
    const stowctl = async (...args: string[]) => {
      const { containerId } = service(app);
      const cmd = ['stowctl', ...args];
      const { stdout, stderr, exitCode } = await runtime.execSync({
        containerId,
        cmd,
        timeout: 60n,
      });
      return { code: exitCode, shown: Buffer.concat([stdout, stderr]).toString() };
    };
    const status = await stowctl('status');
    for (const name of chartApps) {
      expect(status.shown).toMatch(new RegExp(`^${nodeName} +${name} +ok `, 'm'));
    }
    expect(status.code).toBe(0);
    // The service checks its configuration as it runs there.
    expect((await stowctl('config', 'diff')).shown).toMatch(
      new RegExp(`^${app} +natsServers +\\["nats://`, 'm'),
    );
  });

  it('a pull on the socket of image-service is published with the login of the node', async () => {
    const image = await stack.pushImage({ name: 'team/first', sizeMb: 4 });
    await pull(image.reference);
    const { source } = await events.waitFor(
      'ImagePulled',
      ({ subject }) => subject === image.imageId,
    );
    expect(source).toBe(`/nodes/${nodeName}/image-service`);
  });

  it('a restart of containerd is seen by every service, which go on with its new socket', async () => {
    const { ctimeNs: before } = statSync(stack.containerd.socket, { bigint: true });
    await stack.containerd.restart();
    const { ctimeNs: after } = statSync(stack.containerd.socket, { bigint: true });
    // A new file, whose number may be that of the old one.
    expect(after).toBeGreaterThan(before);
    for (const app of chartApps) await isWell(app);
    // Calls of the time without a runtime failed; from here on none may.
    const logged = new Map(chartApps.map((app) => [app, logOf(app).length]));

    const image = await stack.pushImage({ name: 'team/second', sizeMb: 4 });
    await pull(image.reference);
    await events.waitFor('ImagePulled', ({ subject }) => subject === image.imageId);
    await events.waitFor('ImageDetected', ({ subject }) => subject === image.imageId);
    const pod = await stack.runPod({ image: image.reference });
    await events.waitFor('ContainerStarted', ({ subject }) => subject === pod.containerId);
    await pod.remove();
    await events.waitFor('ContainerRemoved', ({ subject }) => subject === pod.containerId);
    // Mounts of the host that ended are not kept by the pods.
    for (const app of chartApps) {
      const kept = mountsOf(service(app).pid).filter(({ at }) => at.includes(pod.containerId));
      expect(kept).toEqual([]);
    }
    for (const app of chartApps) {
      // The gateway may still have asked for the container when that was removed.
      const errors = errorsIn(logOf(app).slice(logged.get(app))).filter(
        (line) => !(line.includes('"code":"NOT_FOUND"') && line.includes(pod.containerId)),
      );
      expect(errors).toEqual([]);
      const { status } = await runtime.containerStatus({ containerId: service(app).containerId });
      expect(status?.finishedAt).toBe(0n);
    }
  });

  it('a full disk is collected, and images in use stay', async () => {
    // A collection may be over before the disk is looked at here.
    const isCollected = () => events.all.some(({ name }) => name === 'GarbageCollected');
    let last = '';
    for (let filler = 0; !isCollected() && filler < 40; filler += 1) {
      ({ reference: last } = await stack.pushImage({ name: `filler/${filler}`, sizeMb: 60 }));
      await pull(last);
    }
    const { data } = await events.waitFor('GarbageCollected', () => true, { timeoutMs: 60_000 });
    expect(data.removed.length).toBeGreaterThan(0);
    // The last image may have come while others went.
    await overImageSocket((client) => client.removeImage({ image: { image: last } }));
    await eventually(() => usedPercent(stack.containerd.root) < 80, { timeoutMs: 90_000 });
    const left = await stack.containerd.imageNames();
    for (const app of chartApps) expect(left).toContain(rendered.container(app).image);
  });

  it.each(chartApps)('%s ends within its grace period', async (app) => {
    const { containerId, pod } = service(app);
    await runtime.stopContainer({
      containerId,
      timeout: BigInt(pod.terminationGracePeriodSeconds),
    });
    const { status } = await runtime.containerStatus({ containerId });
    expect(status?.exitCode).toBe(0);
  });
});

const valuesFor = (stack: Stack, natsServer: string) => ({
  runtime: 'containerd',
  runtimePaths: { socket: stack.containerd.socket, root: stack.containerd.root },
  hostPaths: { sockets: folderIn(stack, 'run'), state: folderIn(stack, 'state') },
  nats: { servers: [natsServer], nkeySecret: 'stowage-nats-users' },
  runtimeGateway: { config: { relistInterval: '500ms' } },
  gcWorker: {
    config: {
      imageMinimumGCAge: '0s',
      diskCheckInterval: '200ms',
      imageListInterval: '500ms',
      detectionInterval: '1s',
    },
  },
});

/** Address of the host in the network of the stack's pods. */
function bridgeAddress(stack: Stack): string {
  const shown = execFileSync('ip', ['-j', '-4', 'addr', 'show', 'dev', `stw${stack.id}`], {
    encoding: 'utf8',
  });
  const [link] = JSON.parse(shown) as { addr_info: { local: string }[] }[];
  return link?.addr_info[0]?.local ?? '';
}

/** Lets pods reach a server that listens on the loopback of the host. */
async function forward(address: string, port: number): Promise<Server> {
  const server = createServer((incoming) => {
    const outgoing = connectTo(port, '127.0.0.1');
    incoming.on('error', () => outgoing.destroy()).pipe(outgoing);
    outgoing.on('error', () => incoming.destroy()).pipe(incoming);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
  return server;
}

/** Mounts of a process, as it sees them. */
const mountsOf = (pid: number): { at: string; options: string[] }[] =>
  readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '))
    .map((words) => ({ at: words[4] ?? '', options: (words[5] ?? '').split(',') }));

/** Lines of a container's log at level error and above. */
const errorsIn = (log: string): string[] =>
  log.split('\n').filter((line) => /"level":(50|60)\b|"level":"(error|fatal)"/.test(line));

function usedPercent(folder: string): number {
  const { blocks, bavail } = statfsSync(folder);
  return (100 * (blocks - bavail)) / blocks;
}
