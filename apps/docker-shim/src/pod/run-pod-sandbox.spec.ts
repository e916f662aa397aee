import {
  NamespaceMode,
  type PodSandboxConfig,
  PodSandboxState,
  RunPodSandboxRequest,
} from '@stowage/cri-proto';
import { StowageError } from '@stowage/errors';
import { eventually, FakeEngine } from '@stowage/testing';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EngineConnection } from '../engine/engine-connection';
import type { NetworkPod, RemovedPod } from '../network/pod-network';
import { FakeContainers } from '../testing/fake-containers';
import { Checkpoints } from './checkpoints';
import { containerLabels } from './labels';
import { ListPodSandboxes } from './list-pod-sandboxes';
import { ListedContainers } from './listed-containers';
import { PodQueue } from './pod-queue';
import { PodSandboxStatus } from './pod-sandbox-status';
import { Pods } from './pods';
import { RemovePodSandbox } from './remove-pod-sandbox';
import { RunPodSandbox } from './run-pod-sandbox';
import { SandboxRecords } from './sandbox-records';
import { SandboxTeardown } from './sandbox-teardown';
import { StopPodSandbox } from './stop-pod-sandbox';

const metadata = { name: 'web-0', namespace: 'shop', uid: '8f2a', attempt: 0 };
const request = (
  changes: Parameters<typeof PodSandboxConfig.fromPartial>[0] = {},
): RunPodSandboxRequest =>
  RunPodSandboxRequest.fromPartial({ config: { metadata, ...changes }, runtimeHandler: '' });
const onHost = {
  linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
};
const { SANDBOX_READY, SANDBOX_NOTREADY } = PodSandboxState;

class NetworkLeft extends StowageError {}

/** The network of pods, with what was asked of it. */
class FakeNetwork {
  readonly calls: string[] = [];
  readonly removed: RemovedPod[] = [];
  addFails: Error | undefined;
  removeFails: Error | undefined;
  whileAdding: () => unknown = () => undefined;

  async add(pod: NetworkPod): Promise<readonly string[]> {
    this.calls.push('add');
    expect(pod.pid).toBe(process.pid);
    await this.whileAdding();
    if (this.addFails !== undefined) throw this.addFails;
    return ['10.0.0.2'];
  }

  remove(pod: RemovedPod): Promise<void> {
    this.calls.push('remove');
    this.removed.push(pod);
    return this.removeFails === undefined ? Promise.resolve() : Promise.reject(this.removeFails);
  }

  ips = () => Promise.resolve(['10.0.0.2', 'fd00::2']);
  result = () => Promise.resolve(undefined);
}

describe('pod sandboxes on an engine with faults', () => {
  let folder: string;
  let fake: FakeEngine;
  let containers: FakeContainers;
  let connection: EngineConnection;
  let network: FakeNetwork;
  let pulls: number;
  let warnings: object[];
  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'run-pod-sandbox-'));
    fake = new FakeEngine(path.join(folder, 'docker.sock'));
    await fake.start();
    containers = new FakeContainers(fake);
    containers.images.add('pause');
    connection = new EngineConnection({ socketPath: fake.socketPath, timeoutMs: 10_000 });
    await eventually(() => connection.availability().available);
    network = new FakeNetwork();
    pulls = 0;
    warnings = [];
  });
  afterEach(async () => {
    await connection.close();
    await fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** All of it, as after a start of the process. */
  const shim = (networkMode: 'cni' | 'bridge' = 'cni') => {
    const checkpoints = new Checkpoints({
      dir: path.join(folder, 'sandbox'),
      importFrom: [],
      onCorrupt: () => undefined,
    });
    const records = new SandboxRecords(path.join(folder, 'pods'));
    const pods = new Pods(connection, checkpoints, records, new ListedContainers());
    const queue = new PodQueue();
    const parts = { connection, pods, queue, checkpoints, records, network };
    const teardown = new SandboxTeardown(parts);
    const image = {
      name: 'pause',
      pull: () => {
        pulls += 1;
        containers.images.add('pause');
        return Promise.resolve();
      },
    };
    const log = { warn: (fields: object | string) => void warnings.push(Object(fields) as object) };
    const call = { signal: new AbortController().signal };
    const run = new RunPodSandbox(
      { ...parts, teardown, image, log },
      { networkMode, restrictOomScoreAdj: false },
    );
    const status = new PodSandboxStatus(pods, records, network, () => Promise.resolve([]));
    const stop = new StopPodSandbox(pods, queue, teardown);
    const remove = new RemovePodSandbox(pods, queue, teardown);
    const list = new ListPodSandboxes(pods, checkpoints);
    return {
      run: (of = request(), signal = call.signal) => run.run(of, { signal }),
      stop: (id: string) => stop.stop(id, call),
      remove: (id: string) => remove.remove(id, call),
      status: async (id: string) => (await status.status(id, call)).status,
      list: () => list.list(undefined, call),
    };
  };
  const files = (name: string): string[] => {
    try {
      return readdirSync(path.join(folder, name));
    } catch {
      return [];
    }
  };
  const left = () => [...containers.all.keys(), ...files('sandbox'), ...files('pods')];
  const app = (sandboxId: string, changes: Partial<Parameters<FakeContainers['add']>[0]> = {}) =>
    containers.add({
      name: `app-${containers.all.size}`,
      status: 'running',
      body: {
        Labels: containerLabels(
          {
            metadata: { name: 'app', attempt: 0 },
            labels: {},
            annotations: {},
            sandboxId,
            image: 'app',
            logPath: '',
            logMode: 'copy',
          },
          metadata,
        ),
      },
      ...changes,
    });

  it('lists no pod that is still being made', async () => {
    const { run, list } = shim();
    const seen: unknown[] = [];
    const look = async () => void seen.push(await list());
    containers.next('start', look);
    network.whileAdding = look;
    const id = await run();
    expect(seen).toEqual([[], []]);
    expect(await list()).toMatchObject([{ id, state: SANDBOX_READY }]);
  });

  it('makes a pod with three calls of the engine, and it is ready then', async () => {
    const { run, status, list } = shim();
    const portMappings = [{ protocol: 1, containerPort: 53, hostPort: 5353, hostIp: '' }];
    const id = await run(request({ portMappings, labels: { app: 'web' } }));
    expect(containers.calls).toEqual(['create', 'start', 'inspect']);
    expect(network.calls).toEqual(['add']);
    expect(await status(id)).toMatchObject({
      id,
      metadata,
      state: SANDBOX_READY,
      createdAt: 1_767_323_045_000_000_006n,
      network: { ip: '10.0.0.2', additionalIps: [{ ip: 'fd00::2' }] },
      labels: { app: 'web' },
    });
    expect(await list()).toMatchObject([{ id, state: SANDBOX_READY }]);
    expect(JSON.parse(readFileSync(path.join(folder, 'sandbox', id), 'utf8'))).toMatchObject({
      name: 'web-0',
      data: { port_mappings: [{ protocol: 'udp', container_port: 53, host_port: 5353 }] },
    });
  });

  it('pulls the image where the engine lacks it, and only then', async () => {
    containers.images.clear();
    const { run } = shim();
    await run();
    await run(request({ metadata: { ...metadata, name: 'web-1' } }));
    expect(pulls).toBe(1);
  });

  it.each([
    ['no metadata', { config: undefined }],
    ['no name', { config: { metadata: { ...metadata, name: '' } } }],
    ['an unknown handler', { runtimeHandler: 'kata' }],
    [
      'a user namespace',
      {
        config: {
          linux: { securityContext: { namespaceOptions: { usernsOptions: { mode: 0 } } } },
        },
      },
    ],
    [
      'the network of a container',
      { config: { linux: { securityContext: { namespaceOptions: { network: 1 } } } } },
    ],
    [
      'a group without a user',
      { config: { linux: { securityContext: { runAsGroup: { value: 1n } } } } },
    ],
    ['a label of ours', { config: { labels: { 'io.kubernetes.container.name': 'x' } } }],
    ['a port that is none', { config: { portMappings: [{ hostPort: 70_000 }] } }],
  ])('refuses %s before the engine is asked for anything', async (_what, changes) => {
    const { config, ...others } = changes as { config?: object };
    const given = RunPodSandboxRequest.fromPartial({
      config: 'config' in changes && config === undefined ? undefined : { metadata, ...config },
      ...others,
    });
    await expect(shim().run(given)).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
    expect([containers.calls, left()]).toEqual([[], []]);
  });

  describe('leaves nothing when a step fails', () => {
    const fails = async (message: string | RegExp, expected: string[], of = request()) => {
      await expect(shim().run(of)).rejects.toThrow(message);
      expect(left()).toEqual([]);
      expect(network.calls).toEqual(expected);
      expect(warnings).toEqual([]);
      // The pod is not in anybody's way.
      network.addFails = undefined;
    };

    it('create', async () => {
      containers.next('create', { status: 500 });
      await fails('create fails', []);
    });

    it('checkpoint', async () => {
      writeFileSync(path.join(folder, 'sandbox'), '');
      await expect(shim().run()).rejects.toThrow('EEXIST');
      expect([[...containers.all.keys()], files('pods')]).toEqual([[], []]);
    });

    it('start', async () => {
      containers.next('start', { status: 500 });
      await fails('start fails', []);
    });

    it('a sandbox that ends at once', async () => {
      containers.next('inspect', () => {
        for (const container of containers.all.values()) container.status = 'exited';
      });
      await fails('the pod sandbox ended as soon as it was started', []);
    });

    it('resolv.conf', async () => {
      containers.resolvConfPath = path.join(folder, 'no', 'resolv.conf');
      await fails('ENOENT', [], request({ dnsConfig: { servers: ['127.0.0.1'] } }));
    });

    // D18
    it('the network, five times', async () => {
      for (let time = 1; time <= 5; time += 1) {
        network.addFails = new Error('no address is left');
        await fails(
          'no address is left',
          Array.from({ length: time }, () => 'add'),
        );
      }
    });

    it('and takes the network down that is up when the caller gives up', async () => {
      const givenUp = new AbortController();
      network.whileAdding = () => givenUp.abort(new Error('given up'));
      await expect(shim().run(request(), givenUp.signal)).rejects.toThrow('given up');
      expect([left(), network.calls]).toEqual([[], ['add', 'remove']]);
    });

    it.each(['create', 'start', 'inspect'] as const)(
      'or the caller gives up during %s',
      async (operation) => {
        const givenUp = new AbortController();
        containers.next(operation, () => givenUp.abort(new Error('given up')));
        await expect(shim().run(request(), givenUp.signal)).rejects.toThrow('given up');
        expect([left(), network.calls, warnings]).toEqual([[], [], []]);
      },
    );
  });

  it('says that sysctls are refused where the OCI runtime does', async () => {
    const message = 'sysctl "vm.swappiness" is not in a separate kernel namespace';
    containers.next('start', { status: 500, message });
    const sysctls = { 'vm.swappiness': '1' };
    await expect(shim().run(request({ linux: { sysctls } }))).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
      message,
    });
  });

  it('lists a sandbox that could not be removed as not ready, also after a restart, until it is removed', async () => {
    containers.next('start', { status: 500 });
    containers.next('remove', { status: 500 });
    await expect(shim().run()).rejects.toThrow('start fails');
    const [id = ''] = containers.all.keys();
    expect(warnings).toEqual([{ podSandboxId: id, reason: 'remove fails' }]);
    containers.all.get(id)!.status = 'running';
    for (const { list } of [shim(), shim()]) {
      expect(await list()).toMatchObject([{ id, state: SANDBOX_NOTREADY }]);
    }
    await shim().remove(id);
    expect(left()).toEqual([]);
  });

  it('keeps a sandbox whose half network could not be taken down, for StopPodSandbox', async () => {
    network.addFails = new NetworkLeft('no address; DEL failed', {
      code: 'POD_NETWORK_LEFT',
      grpcStatus: 'UNKNOWN',
    });
    const { run, list, stop, remove } = shim();
    await expect(run()).rejects.toThrow('no address; DEL failed');
    const id = (await list())[0]?.id ?? '';
    expect(await list()).toMatchObject([{ id, state: SANDBOX_NOTREADY }]);
    network.removeFails = new Error('still not');
    await expect(stop(id)).rejects.toThrow('still not');
    await expect(remove(id)).rejects.toThrow('still not');
    expect(left()).toEqual([id, id, `${id}.json`]);
    network.removeFails = undefined;
    await stop(id);
    await remove(id);
    expect([left(), network.calls]).toEqual([[], ['add', 'remove', 'remove', 'remove']]);
  });

  it('runs a pod that a leftover is in the way of: the network of that one goes first', async () => {
    const { run, stop, remove } = shim();
    const old = await run();
    containers.all.get(old)!.status = 'exited';
    const id = await run();
    expect(network.removed).toMatchObject([{ sandboxId: old, name: 'web-0', uid: '8f2a' }]);
    expect(left()).toEqual([id, id, `${id}.json`]);
    await expect(run()).rejects.toMatchObject({ grpcStatus: 'ALREADY_EXISTS' });
    await stop(id);
    await remove(id);
  });

  it('runs one pod of the same name at a time, and others meanwhile', async () => {
    const { run } = shim();
    let creating = 0;
    let most = 0;
    const watch = async () => {
      most = Math.max(most, (creating += 1));
      await new Promise((resolve) => setTimeout(resolve, 20));
      creating -= 1;
    };
    containers.next('create', watch, watch, watch);
    const same = await Promise.allSettled([run(), run()]);
    expect(same.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(most).toBe(1);
    containers.next('create', watch, watch);
    await Promise.all(['a', 'b'].map((name) => run(request({ metadata: { ...metadata, name } }))));
    expect(most).toBe(2);
  });

  describe('StopPodSandbox', () => {
    it('kills the containers, takes the network down, and ends the sandbox, in this order', async () => {
      const { run, stop, list } = shim();
      const id = await run();
      const running = app(id);
      const ended = app(id, { status: 'exited' });
      const elsewhere = app('f0'.repeat(32));
      containers.calls.length = 0;
      network.calls.length = 0;
      containers.next('stop', () => expect(network.calls).toEqual(['remove']));
      await stop(id);
      expect(containers.calls).toEqual(['inspect', 'list', 'kill', 'stop']);
      expect([running.status, ended.status, elsewhere.status]).toEqual([
        'exited',
        'exited',
        'running',
      ]);
      expect(await list()).toMatchObject([{ state: SANDBOX_NOTREADY }]);
      await stop(id);
      await stop(id.slice(0, 6));
      expect(network.calls).toEqual(['remove']);
    });

    it('kills what a call before it in the queue waits for', async () => {
      const { run, stop, remove } = shim();
      const id = await run();
      const running = app(id);
      containers.next('remove', () => eventually(() => running.status === 'exited'));
      containers.all.get(id)!.status = 'exited';
      const removed = remove(id);
      await stop(id);
      await removed;
      expect(running.status).toBe('exited');
    });

    it.each([['0'.repeat(64)], ['feed'], ['no id']])('is fine with %s', async (id) => {
      await shim().stop(id);
      await shim().remove(id);
      expect(network.calls).toEqual([]);
    });

    it('asks no plugin for pods on the host or on the bridge', async () => {
      const hosted = shim();
      await hosted.stop(await hosted.run(request(onHost)));
      const bridged = shim('bridge');
      await bridged.stop(await bridged.run(request({ metadata: { ...metadata, name: 'b' } })));
      expect(network.calls).toEqual(['add']);
      expect(network.removed).toEqual([]);
    });
  });

  it('RemovePodSandbox removes the containers, running or not, and all that was kept', async () => {
    const { run, remove, list } = shim();
    const id = await run();
    app(id);
    app(id, { status: 'created' });
    await remove(id);
    expect([left(), await list(), network.calls]).toEqual([[], [], ['add', 'remove']]);
    await remove(id);
    await expect(remove('')).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
  });

  // D20
  it('a sandbox that somebody else removed is listed by its checkpoint until it is removed here', async () => {
    const { run, list, stop, remove, status } = shim();
    const id = await run();
    containers.all.delete(id);
    expect(await list()).toEqual([
      expect.objectContaining({
        id,
        state: SANDBOX_NOTREADY,
        metadata: { name: 'web-0', namespace: 'shop', uid: '', attempt: 0 },
      }),
    ]);
    expect((await list())[0]?.createdAt).toBeGreaterThan(BigInt(Date.now() - 60_000) * 1_000_000n);
    await expect(status(id)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
    await stop(id.slice(0, 8));
    expect(network.removed).toMatchObject([{ sandboxId: id, name: 'web-0', namespace: 'shop' }]);
    await remove(id);
    await remove(id);
    expect([left(), await list()]).toEqual([[], []]);
  });

  it('a checkpoint that cannot be read is in nobody’s way', async () => {
    const { run, list, stop, remove } = shim();
    const id = await run();
    writeFileSync(path.join(folder, 'sandbox', id), '{');
    await stop(id);
    await remove(id);
    expect(await list()).toEqual([]);
    expect(files('sandbox')).toEqual([`${id}.corrupt`]);
  });

  it('a sandbox of which all state is lost counts as ready, and its network is taken down', async () => {
    const id = await shim().run();
    for (const name of ['sandbox', 'pods']) rmSync(path.join(folder, name), { recursive: true });
    const { list, stop, remove } = shim();
    expect(await list()).toMatchObject([{ id, state: SANDBOX_READY, metadata }]);
    await stop(id);
    await remove(id);
    expect([containers.all.size, network.calls]).toEqual([0, ['add', 'remove']]);
  });

  it('a damaged record is dropped', () => {
    mkdirSync(path.join(folder, 'pods'));
    writeFileSync(path.join(folder, 'pods', `${'ab'.repeat(32)}.json`), '{"version":2}');
    shim();
    expect(files('pods')).toEqual([]);
  });

  it('ids may be shortened as long as they are those of one sandbox', async () => {
    const { run, status } = shim();
    const id = await run();
    const other = await run(request({ metadata: { ...metadata, name: 'other' } }));
    expect((await status(id.slice(0, 2)))?.id).toBe(id);
    expect([id.slice(0, 1), other.slice(0, 1)]).toEqual(['0', '0']);
    await expect(status('0')).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
    for (const unknown of [
      'abc',
      'web-0',
      '.*',
      '/',
      'k8s_POD_web-0_shop_8f2a_0',
      'F'.repeat(64),
    ]) {
      await expect(status(unknown)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
    }
    const container = app(id);
    await expect(status(container.id)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
  });
});
