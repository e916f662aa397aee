import { eventually, startStack, type Stack } from '@stowage/testing';
import { existsSync } from 'node:fs';
import { EngineConnection } from '../engine/engine-connection';
import { EnginePods } from '../testing/engine-pods';
import { Stats } from './stats';

const { signal } = new AbortController();
const MiB = 1024 * 1024;

describe('stats on a real engine', () => {
  let stack: Stack;
  let pods: EnginePods;
  let connection: EngineConnection;
  let stats: Stats;
  let image: string;
  let sandbox: string;
  let holder: string;
  let busy: string;
  let created: string;
  /** Calls of the engine since the last look. */
  let asked: string[] = [];
  let measured = 0;

  beforeAll(async () => {
    stack = await startStack({ docker: {}, nats: false });
    pods = new EnginePods(stack);
    image = (await stack.pushImage({ name: 'team/stats' })).reference;
    await stack.docker.api(
      'POST',
      `/images/create?fromImage=${image.replace(/:latest$/, '')}&tag=latest`,
    );
    sandbox = await pods.sandbox(image, 'pod1');
    const hold =
      'dd if=/dev/zero of=/dev/shm/x bs=1M count=50 && head -c 300000 /dev/zero > /written; sleep 1000';
    holder = await pods.container(image, sandbox, 'holder', hold);
    busy = await pods.container(image, sandbox, 'busy', 'while :; do :; done');
    created = await pods.container(image, sandbox, 'created', 'sleep 1000');
    await pods.start(holder);
    await pods.start(busy);
    connection = new EngineConnection({
      socketPath: stack.docker.socket,
      timeoutMs: 60_000,
      onEnded: ({ operation }) => asked.push(operation),
    });
    await eventually(() => connection.availability().available);
    stats = new Stats({
      subjects: pods.subjects(() => connection.engine().client),
      connection,
      layerIntervalMs: 1000,
      containerdRoot: '',
      listener: {
        unreadable: () => {
          throw new Error('the files of this machine can be read');
        },
        layerMeasured: () => (measured += 1),
      },
    });
  }, 120_000);

  afterAll(async () => {
    await stats.close();
    await connection.close();
    await stack.down();
  });

  const one = async (containerId: string) =>
    (await stats.containerStats({ containerId }, { signal })).stats;
  const number = (value: { value: bigint } | undefined) => Number(value?.value ?? -1n);

  // D13
  it('the working set of a container that holds 50 MiB is that much', async () => {
    await eventually(async () => number((await one(holder))?.memory?.usageBytes) > 50 * MiB);
    const memory = (await one(holder))?.memory;
    const workingSet = number(memory?.workingSetBytes);
    expect(workingSet).toBeGreaterThan(50 * MiB);
    expect(workingSet).toBeLessThan(60 * MiB);
    expect(number(memory?.usageBytes)).toBeGreaterThanOrEqual(workingSet);
  });

  it('a busy container uses much of a core, a quiet one next to nothing', async () => {
    await one(busy);
    await one(holder);
    await new Promise((resolve) => setTimeout(resolve, 1200));
    const nanoCores = async (id: string) => number((await one(id))?.cpu?.usageNanoCores);
    // The machine may have other work.
    expect(await nanoCores(busy)).toBeGreaterThan(50_000_000);
    expect(await nanoCores(busy)).toBeLessThan(1_200_000_000);
    expect(await nanoCores(holder)).toBeLessThan(50_000_000);
  });

  it('a pod is all that is in it, with its network', async () => {
    const { stats: of } = await stats.podSandboxStats(
      { podSandboxId: sandbox.slice(0, 12) },
      { signal },
    );
    expect(of?.attributes).toMatchObject({ id: sandbox, metadata: { name: 'pod1' } });
    const { cpu, memory, process, network, containers = [] } = of?.linux ?? {};
    expect(number(memory?.workingSetBytes)).toBeGreaterThan(50 * MiB);
    expect(number(cpu?.usageCoreNanoSeconds)).toBeGreaterThan(100_000_000);
    expect(number(process?.processCount)).toBeGreaterThanOrEqual(3);
    expect(network?.defaultInterface?.name).toBe('eth0');
    expect(number(network?.defaultInterface?.rxBytes)).toBeGreaterThanOrEqual(0);
    expect(network?.interfaces).toEqual([]);
    expect(containers.map(({ attributes }) => attributes?.id).sort()).toEqual(
      [holder, busy, created].sort(),
    );
  });

  // D12, D14
  it('lists cost the engine its own list, and no question for numbers; layers come from measurements aside', async () => {
    const list = async () =>
      (await stats.listContainerStats({ filter: undefined }, { signal })).stats;
    await eventually(async () => (await list()).every(({ writableLayer }) => writableLayer), {
      timeoutMs: 30_000,
    });
    const layer = (await list()).find(({ attributes }) => attributes?.id === holder)?.writableLayer;
    expect(number(layer?.usedBytes)).toBeGreaterThanOrEqual(300_000);
    expect(existsSync(layer?.fsId?.mountpoint ?? '')).toBe(true);
    expect(Number(layer?.timestamp ?? 0n) / 1e6).toBeGreaterThan(Date.now() - 60_000);
    expect(measured).toBeGreaterThanOrEqual(3);
    const notRunning = (await list()).find(({ attributes }) => attributes?.id === created);
    expect([notRunning?.cpu, notRunning?.memory]).toEqual([undefined, undefined]);
    expect(asked).not.toContain('container stats');

    asked = [];
    for (let round = 0; round < 10; round += 1) {
      await list();
      await stats.listPodSandboxStats({ filter: undefined }, { signal });
    }
    // One for the containers, two for the pods with their containers, in this test's lists.
    const beside = asked.filter((what) => what !== 'measure container' && what !== 'ping');
    expect(beside).toEqual(Array.from({ length: 30 }, () => 'list containers'));
  }, 60_000);

  it('metrics fit their descriptors, and there are those that are always there', async () => {
    const { descriptors } = await stats.listMetricDescriptors();
    const labels = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
    const { podMetrics } = await stats.listPodSandboxMetrics({}, { signal });
    const [pod] = podMetrics;
    expect(podMetrics).toHaveLength(1);
    const metrics =
      pod?.containerMetrics.find(({ containerId }) => containerId === busy)?.metrics ?? [];
    const all = [...(pod?.metrics ?? []), ...metrics];
    for (const { name, labelValues } of all) {
      expect([name, labelValues.length]).toEqual([name, labels.get(name)?.length]);
    }
    const names = new Set(all.map(({ name }) => name));
    const without = /blkio|_fs_(reads|writes)|pressure|hugetlb|cpu_quota/;
    expect([...labels.keys()].filter((name) => !names.has(name) && !without.test(name))).toEqual(
      [],
    );
    const value = (name: string) => number(metrics.find((metric) => metric.name === name)?.value);
    expect(value('container_start_time_seconds')).toBeGreaterThan(Date.now() / 1000 - 300);
    expect(value('container_processes')).toBe(1);
    expect(value('container_file_descriptors')).toBeGreaterThanOrEqual(3);
    expect(value('container_fs_limit_bytes')).toBeGreaterThan(100 * MiB);
    expect(metrics[0]?.labelValues.slice(1)).toEqual(['busy', image, 'busy', 'pod1', 'ns']);
  });

  it('one that is removed while it is read is left out, one that ended has no numbers', async () => {
    await pods.kill(busy);
    await eventually(async () => (await one(busy))?.cpu === undefined);
    expect((await one(busy))?.writableLayer).toBeDefined();
    const victim = await pods.container(image, sandbox, 'victim', 'sleep 1000');
    await pods.start(victim);
    expect(number((await one(victim))?.memory?.usageBytes)).toBeGreaterThan(0);
    let isRemoved = false;
    const removing = pods.remove(victim).then(() => (isRemoved = true));
    while (!isRemoved) {
      const { stats: listed } = await stats.listContainerStats({ filter: undefined }, { signal });
      expect(listed.length).toBeGreaterThanOrEqual(3);
    }
    await removing;
    await expect(one(victim)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
    // Its end may look as if its files could not be read; numbers are not asked for all the same.
    expect(asked).not.toContain('container stats');
  }, 60_000);
});
