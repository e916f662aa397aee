import type { ContainerStats, Metric } from '@stowage/cri-proto';
import type { InspectedContainer } from '../engine/engine-client';
import type { Engine } from '../engine/engine-connection';
import { EngineResponseError } from '../engine/engine-errors';
import { CgroupTree } from '../testing/cgroup-tree';
import { Stats } from './stats';
import type { StatsContainer, StatsSandbox } from './types';

const { signal } = new AbortController();
const MiB = 1024n * 1024n;
const idOf = (digit: string) => digit.repeat(64);

/** Stats on files of a test, and an engine that counts what it is asked. */
class Fixture {
  readonly tree: CgroupTree;
  readonly asked: string[] = [];
  readonly containers: StatsContainer[] = [];
  readonly sandboxes: StatsSandbox[] = [];
  /** As inspections show them, by id. */
  readonly processes = new Map<string, number>();
  readonly stats: Stats;
  /** A container that the engine fails to inspect. */
  broken = '';
  unreadable = 0;
  nowMs = 1_700_000_000_000;
  steadyMs = 5000;
  engineStats: object = {};
  /** Calls for the engine's own numbers that are under way, at most. */
  mostAtOnce = 0;

  constructor(version: 1 | 2) {
    this.tree = new CgroupTree(version);
    let atOnce = 0;
    const client = {
      inspectContainer: (id: string, { size }: { size?: true } = {}) => {
        this.asked.push(size === true ? 'measure' : 'inspect');
        if (id === this.broken) {
          return Promise.reject(new EngineResponseError('inspect container', 500, 'broken'));
        }
        const pid = this.processes.get(id);
        if (pid === undefined) {
          return Promise.reject(
            new EngineResponseError('inspect container', 404, 'no such container'),
          );
        }
        const StartedAt = '2023-11-14T22:00:00.5Z';
        const inspected: InspectedContainer = {
          State: { Running: pid !== 0, Pid: pid, StartedAt },
          SizeRw: size === true ? 4096 : undefined,
        };
        return Promise.resolve(inspected);
      },
      containerStats: async () => {
        this.asked.push('stats');
        atOnce += 1;
        this.mostAtOnce = Math.max(this.mostAtOnce, atOnce);
        await new Promise((resolve) => setTimeout(resolve, 5));
        atOnce -= 1;
        return this.engineStats;
      },
    };
    const info = { DockerRootDir: this.tree.root, MemTotal: Number(1000n * MiB) };
    this.stats = new Stats({
      subjects: {
        containers: ({ id = '', podSandboxId = '' }) =>
          Promise.resolve(
            this.containers.filter(
              (one) => one.id.startsWith(id) && one.sandboxId.startsWith(podSandboxId),
            ),
          ),
        sandboxes: ({ id = '' }) =>
          Promise.resolve(this.sandboxes.filter((one) => one.id.startsWith(id))),
      },
      connection: { engine: () => ({ client, info }) as unknown as Engine },
      layerIntervalMs: 60_000,
      containerdRoot: '',
      listener: { unreadable: () => (this.unreadable += 1), layerMeasured: () => undefined },
      procRoot: this.tree.proc,
      now: () => this.nowMs,
      steady: () => this.steadyMs,
    });
  }

  container(id: string, of: Partial<StatsContainer> = {}): StatsContainer {
    const container: StatsContainer = {
      id,
      sandboxId: idOf('f'),
      name: 'k8s_app_pod_ns_uid_0',
      image: 'reg/app:1',
      metadata: { name: 'app', attempt: 0 },
      labels: { a: 'b' },
      annotations: { c: 'd' },
      running: true,
      ...of,
    };
    this.containers.push(container);
    return container;
  }

  sandbox(id: string, of: Partial<StatsSandbox> = {}): void {
    this.sandboxes.push({
      id,
      name: 'k8s_POD_pod_ns_uid_0',
      image: 'reg/pause:1',
      metadata: { name: 'pod', namespace: 'ns', uid: 'uid', attempt: 0 },
      labels: {},
      annotations: {},
      running: true,
      hostNetwork: false,
      cgroupParent: '',
      ...of,
    });
  }

  later(ms: number): void {
    this.nowMs += ms;
    this.steadyMs += ms;
  }

  async one(containerId: string): Promise<ContainerStats> {
    const { stats } = await this.stats.containerStats({ containerId }, { signal });
    if (stats === undefined) throw new Error('no stats');
    return stats;
  }

  async list(): Promise<ContainerStats[]> {
    return (await this.stats.listContainerStats({ filter: undefined }, { signal })).stats;
  }

  async end(): Promise<void> {
    await this.stats.close();
    this.tree.remove();
  }
}

let fixture: Fixture;
const start = (version: 1 | 2) => (fixture = new Fixture(version));
afterEach(() => fixture.end());

// D13
describe.each([1, 2] as const)('on version %s of control groups', (version) => {
  const id = idOf('a');
  const group = `/kubepods/pod1/${id}`;
  beforeEach(() => {
    start(version);
    fixture.tree.process(10, group);
    fixture.processes.set(id, 10);
    fixture.container(id);
  });

  it('memory is usage less what can go without harm, available what a limit leaves', async () => {
    fixture.tree.group(group, {
      used: 60n * MiB,
      inactiveFile: 8n * MiB,
      limit: 64n * MiB,
      swapUsed: 2n * MiB,
      swapLimit: 10n * MiB,
    });
    const { attributes, memory, swap } = await fixture.one(id);
    expect(attributes).toEqual({
      id,
      metadata: { name: 'app', attempt: 0 },
      labels: { a: 'b' },
      annotations: { c: 'd' },
    });
    expect(memory).toMatchObject({
      timestamp: 1_700_000_000_000_000_000n,
      usageBytes: { value: 60n * MiB },
      workingSetBytes: { value: 52n * MiB },
      availableBytes: { value: 12n * MiB },
      rssBytes: { value: 1000n },
      pageFaults: { value: 70n },
      majorPageFaults: { value: 8n },
    });
    expect(swap).toMatchObject({
      swapUsageBytes: { value: 2n * MiB },
      swapAvailableBytes: { value: 8n * MiB },
    });
  });

  it('without a limit nothing is available, and without accounting of swap there is none', async () => {
    fixture.tree.group(group, { used: 4n * MiB, inactiveFile: 5n * MiB });
    const { memory, swap } = await fixture.one(id);
    expect(memory).toMatchObject({ workingSetBytes: { value: 0n }, availableBytes: undefined });
    expect(swap).toBeUndefined();
  });

  it('waiting for resources is there where the kernel has it', async () => {
    fixture.tree.group(group, { used: 1n });
    const { cpu, memory, io } = await fixture.one(id);
    if (version === 1) {
      expect([cpu?.psi, memory?.psi, io]).toEqual([undefined, undefined, undefined]);
      return;
    }
    expect(cpu?.psi).toEqual({
      Some: { Total: 1_000_000_000n, Avg10: 1.5, Avg60: 0.5, Avg300: 0.25 },
      Full: { Total: 1000n, Avg10: 0, Avg60: 0, Avg300: 0 },
    });
    expect(memory?.psi?.Some?.Total).toBe(2_000_000_000n);
    expect(io?.psi?.Some?.Total).toBe(3_000_000_000n);
  });

  it('the rate of the processor is of the last second or more, absent before', async () => {
    const at = async (ms: number, cpuNs: bigint) => {
      fixture.later(ms);
      fixture.tree.group(group, { used: 1n, cpuNs });
      const { cpu } = await fixture.one(id);
      expect(cpu?.usageCoreNanoSeconds?.value).toBe(cpuNs);
      return cpu?.usageNanoCores?.value;
    };
    expect(await at(0, 1_000_000_000n)).toBeUndefined();
    expect(await at(400, 1_200_000_000n)).toBeUndefined();
    expect(await at(1600, 2_000_000_000n)).toBe(500_000_000n);
    // Not over the last 300 ms, which would jump about.
    expect(await at(300, 2_300_000_000n)).toBe(565_217_391n);
    // Started again.
    expect(await at(5000, 7000n)).toBeUndefined();
    expect(await at(1000, 100_007_000n)).toBe(100_000_000n);
  });

  it('a list asks the engine once for each start, and never for numbers', async () => {
    for (const digit of ['b', 'c']) {
      const other = idOf(digit);
      fixture.container(other);
      fixture.processes.set(other, 20);
      fixture.tree.process(20, `/x/${other}`);
      fixture.tree.group(`/x/${other}`, { used: 1n });
      await fixture.list();
    }
    fixture.tree.group(group, { used: 1n });
    const before = fixture.asked.length;
    for (let round = 0; round < 5; round += 1) {
      fixture.later(10_000);
      expect((await fixture.list()).every(({ memory }) => memory !== undefined)).toBe(true);
    }
    // The first one's files were not there before.
    expect(fixture.asked.slice(before).filter((what) => what !== 'measure')).toEqual(['inspect']);
    expect(fixture.unreadable).toBe(0);
  });

  it('lists that are asked for one after the other share what was read', async () => {
    const sandbox = idOf('f');
    fixture.sandbox(sandbox);
    fixture.processes.set(sandbox, 30);
    fixture.tree.process(30, `/kubepods/pod1/${sandbox}`);
    fixture.tree.group(`/kubepods/pod1/${sandbox}`, { used: 1n });
    const used = async () => {
      const filter = undefined;
      const [pod] = (await fixture.stats.listPodSandboxStats({ filter }, { signal })).stats;
      const [container] = pod?.linux?.containers ?? [];
      return [container?.memory?.usageBytes?.value, container?.memory?.timestamp];
    };
    fixture.tree.group(group, { used: 7n });
    const { timestamp = 0n } = (await fixture.list())[0]?.memory ?? {};
    fixture.tree.group(group, { used: 8n });
    fixture.later(249);
    expect(await used()).toEqual([7n, timestamp]);
    fixture.later(1);
    expect(await used()).toEqual([8n, timestamp + 250_000_000n]);
  });

  it('a process that belongs to something else by now is not taken for that of the container', async () => {
    fixture.tree.process(10, `/kubepods/pod1/${idOf('9')}`);
    fixture.tree.group(`/kubepods/pod1/${idOf('9')}`, { used: 99n });
    fixture.tree.process(11, group);
    fixture.tree.group(group, { used: 7n });
    fixture.containers.length = 0;
    fixture.container(id, { pid: 10 });
    fixture.processes.set(id, 11);
    expect((await fixture.one(id)).memory?.usageBytes?.value).toBe(7n);
  });

  it('finds the container though its process went into a group of its own', async () => {
    fixture.tree.process(10, `${group}/init.scope`);
    fixture.tree.group(group, { used: 7n });
    fixture.tree.group(`${group}/init.scope`, { used: 1n });
    expect((await fixture.one(id)).memory?.usageBytes?.value).toBe(7n);
  });

  it('one that ended since the list has attributes alone, one that is gone is left out', async () => {
    fixture.tree.group(group, { used: 7n });
    await fixture.list();
    fixture.tree.end(group);
    fixture.processes.set(id, 0);
    fixture.later(250);
    expect(await fixture.list()).toMatchObject([
      { attributes: { id }, cpu: undefined, memory: undefined },
    ]);
    fixture.processes.delete(id);
    expect(await fixture.list()).toEqual([]);
    await expect(fixture.one(id)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
    expect(fixture.asked).not.toContain('stats');
  });

  it('one that the engine cannot inspect has attributes alone, the others their numbers', async () => {
    fixture.tree.group(group, { used: 7n });
    fixture.broken = idOf('b');
    fixture.container(fixture.broken);
    const [first, second] = await fixture.list();
    expect(first?.memory?.usageBytes?.value).toBe(7n);
    expect(second).toMatchObject({ attributes: { id: fixture.broken }, memory: undefined });
  });

  it('a pod with a control group of its own is what that says, another one the sum', async () => {
    const sandbox = idOf('f');
    fixture.sandbox(sandbox, { cgroupParent: '/kubepods/pod1' });
    fixture.processes.set(sandbox, 30);
    fixture.tree.process(30, `/kubepods/pod1/${sandbox}`);
    fixture.tree.netDev(30, [
      '    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0',
      '  net1: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0',
      '  eth0: 100 4 3 2 0 0 0 0 200 8 7 6 0 0 0 0',
    ]);
    fixture.tree.group('/kubepods/pod1', { used: 50n, inactiveFile: 5n, tasks: 9, cpuNs: 1000n });
    fixture.tree.group(`/kubepods/pod1/${sandbox}`, { used: 10n, tasks: 1, cpuNs: 100_000n });
    fixture.tree.group(group, { used: 20n, inactiveFile: 5n, tasks: 3, cpuNs: 200_000n });
    fixture.container(idOf('d'), { running: false });
    const pod = async () =>
      (await fixture.stats.podSandboxStats({ podSandboxId: sandbox.slice(0, 12) }, { signal }))
        .stats;
    expect((await pod())?.linux).toMatchObject({
      memory: { usageBytes: { value: 50n }, workingSetBytes: { value: 45n } },
      cpu: { usageCoreNanoSeconds: { value: 1000n } },
      process: { processCount: { value: 9n } },
      network: {
        defaultInterface: {
          name: 'eth0',
          rxBytes: { value: 100n },
          rxErrors: { value: 3n },
          txBytes: { value: 200n },
          txErrors: { value: 7n },
        },
        interfaces: [{ name: 'net1' }],
      },
      containers: [
        { attributes: { id }, memory: { usageBytes: { value: 20n } } },
        { attributes: { id: idOf('d') }, memory: undefined },
      ],
    });

    fixture.sandboxes.length = 0;
    fixture.sandbox(sandbox, { hostNetwork: true });
    expect((await pod())?.linux).toMatchObject({
      memory: { usageBytes: { value: 30n }, workingSetBytes: { value: 25n } },
      cpu: { usageCoreNanoSeconds: { value: 300_000n } },
      process: { processCount: { value: 4n } },
      network: undefined,
    });
  });

  it('metrics have the descriptors of their names, and every name that is offered', async () => {
    const sandbox = idOf('f');
    fixture.sandbox(sandbox);
    fixture.processes.set(sandbox, 30);
    fixture.tree.process(30, `/kubepods/pod1/${sandbox}`);
    fixture.tree.netDev(30, ['  eth0: 100 4 3 2 0 0 0 0 200 8 7 6 0 0 0 0']);
    fixture.tree.group(`/kubepods/pod1/${sandbox}`, { used: 10n });
    fixture.tree.group(group, {
      used: 60n * MiB,
      inactiveFile: 8n * MiB,
      cpuNs: 5_999_999_999n,
      tasks: 3,
      pids: [10],
      limit: 64n * MiB,
    });
    const { descriptors } = await fixture.stats.listMetricDescriptors();
    const { podMetrics } = await fixture.stats.listPodSandboxMetrics({}, { signal });
    const [pod] = podMetrics;
    expect(podMetrics).toHaveLength(1);
    expect(pod?.podSandboxId).toBe(sandbox);
    expect(pod?.containerMetrics.map(({ containerId }) => containerId)).toEqual([id]);
    const own = pod?.metrics ?? [];
    const metrics = pod?.containerMetrics[0]?.metrics ?? [];
    const labels = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
    for (const { name, labelValues } of [...own, ...metrics]) {
      expect([name, labelValues.length]).toEqual([name, labels.get(name)?.length]);
    }
    const without =
      version === 2 ? [] : [...labels.keys()].filter((name) => name.includes('pressure'));
    const offered = [...labels.keys()].filter((name) => !without.includes(name));
    expect([...new Set([...own, ...metrics].map(({ name }) => name))].sort()).toEqual(
      offered.sort(),
    );

    const values = (of: readonly Metric[], name: string) =>
      of
        .filter((metric) => metric.name === name)
        .map(({ labelValues, value }) => [...labelValues.slice(6), value?.value]);
    const [first] = metrics;
    expect(first?.labelValues).toEqual([
      group,
      'k8s_app_pod_ns_uid_0',
      'reg/app:1',
      'app',
      'pod',
      'ns',
    ]);
    expect(own[0]?.labelValues.slice(0, 6)).toEqual([
      `/kubepods/pod1/${sandbox}`,
      'k8s_POD_pod_ns_uid_0',
      'reg/pause:1',
      'POD',
      'pod',
      'ns',
    ]);
    const expected: Record<string, unknown[][]> = {
      container_cpu_usage_seconds_total: [['total', 5n]],
      container_cpu_user_seconds_total: [[3n]],
      container_cpu_system_seconds_total: [[2n]],
      container_cpu_cfs_throttled_seconds_total: [[4n]],
      container_spec_cpu_quota: [[50_000n]],
      container_spec_cpu_period: [[100_000n]],
      container_memory_working_set_bytes: [[52n * MiB]],
      container_memory_cache: [[2000n]],
      container_memory_max_usage_bytes: [[60n * MiB + 1n]],
      container_memory_failcnt: [[6n]],
      container_oom_events_total: [[1n]],
      container_spec_memory_limit_bytes: [[64n * MiB]],
      container_threads: [[3n]],
      container_threads_max: [[0n]],
      container_processes: [[1n]],
      container_file_descriptors: [[3n]],
      container_sockets: [[1n]],
      container_ulimits_soft: [['max_open_files', 1024n]],
      container_start_time_seconds: [[1_699_999_200n]],
      container_last_seen: [[1_700_000_000n]],
      container_blkio_device_usage_total: [
        ['/dev/sda', '8', '0', 'Read', 4096n],
        ['/dev/sda', '8', '0', 'Write', 8192n],
      ],
      container_fs_reads_total: [['/dev/sda', 1n]],
      container_fs_writes_bytes_total: [['/dev/sda', 8192n]],
      container_hugetlb_usage_bytes: [['2MB', 0n]],
    };
    for (const [name, wanted] of Object.entries(expected)) {
      expect([name, values(metrics, name)]).toEqual([name, wanted]);
    }
    expect(values(own, 'container_network_receive_packets_dropped_total')).toEqual([['eth0', 2n]]);
    expect(values(own, 'container_network_transmit_packets_total')).toEqual([['eth0', 8n]]);
    expect(values(metrics, 'container_network_receive_bytes_total')).toEqual([]);
  });
});

describe('where the files cannot be read', () => {
  it("the numbers are the engine's, eight questions at once, kept for ten seconds", async () => {
    start(2);
    fixture.engineStats = {
      cpu_stats: { cpu_usage: { total_usage: 5000 } },
      memory_stats: {
        usage: Number(60n * MiB),
        limit: Number(1000n * MiB),
        stats: { inactive_file: Number(8n * MiB), anon: 7 },
      },
      pids_stats: { current: 4 },
    };
    for (let n = 0; n < 20; n += 1) {
      const id = n.toString(16).padStart(64, '0');
      fixture.container(id);
      // In another namespace of processes.
      fixture.processes.set(id, 1000 + n);
    }
    const [first] = await fixture.list();
    expect(first).toMatchObject({
      cpu: { usageCoreNanoSeconds: { value: 5000n } },
      memory: {
        workingSetBytes: { value: 52n * MiB },
        rssBytes: { value: 7n },
        // Of the machine's memory.
        availableBytes: undefined,
      },
    });
    expect(fixture.mostAtOnce).toBe(8);
    expect(fixture.unreadable).toBe(20);
    const count = (what: string) => fixture.asked.filter((asked) => asked === what).length;
    expect(count('stats')).toBe(20);
    const inspected = count('inspect');
    fixture.later(9000);
    await fixture.list();
    expect(count('stats')).toBe(20);
    fixture.later(2000);
    await fixture.list();
    expect([count('stats'), count('inspect')]).toEqual([40, inspected]);
    fixture.engineStats = {};
    fixture.later(11_000);
    expect((await fixture.list())[0]?.memory).toBeUndefined();
  });
});

describe('ids', () => {
  it('may be beginnings that mean one container, and nothing else', async () => {
    start(2);
    fixture.container('ab'.repeat(32), { running: false });
    fixture.container('ac'.repeat(32), { running: false });
    expect((await fixture.one('ac')).attributes?.id).toBe('ac'.repeat(32));
    await expect(fixture.one('a')).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
    await expect(fixture.one('')).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
    await expect(fixture.one('ad')).rejects.toThrow('container "ad" not found');
    await expect(fixture.stats.podSandboxStats({ podSandboxId: 'ad' }, { signal })).rejects.toThrow(
      'pod sandbox "ad" not found',
    );
  });
});
