import { eventually, startStack, type Stack } from '@stowage/testing';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { engineRequests } from '../testing/engine-requests';
import { ShimProcess } from '../testing/shim-process';

/** What statistics cost an engine, through docker-shim as a process. */
let stack: Stack;
let shim: ShimProcess;

const containersEach = 5;
const podCount = 4;
const rounds = 20;

beforeAll(async () => {
  stack = await startStack({ docker: { started: false }, nats: false });
  // Then it logs each call.
  stack.docker.configure({ debug: true });
  await stack.docker.start();
  shim = new ShimProcess(stack);
  await shim.start({ env: { STOWAGE_LOG_LEVEL: 'info' } });
}, 60_000);

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

/** Time on a processor that a process has had, milliseconds. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

// D12
it('lists of statistics ask the engine for no numbers, and take little time on a processor', async () => {
  const { reference } = await stack.pushImage({ name: 'team/quiet' });
  const { imageRef } = await shim.image.pullImage({ image: { image: reference } });
  const containers: string[] = [];
  for (let pod = 0; pod < podCount; pod += 1) {
    const name = `pod-${pod}`;
    const sandboxConfig = { metadata: { name, namespace: 'shop', uid: name, attempt: 0 } };
    const { podSandboxId } = await shim.runtime.runPodSandbox({ config: sandboxConfig });
    for (let index = 0; index < containersEach; index += 1) {
      const { containerId } = await shim.runtime.createContainer({
        podSandboxId,
        sandboxConfig,
        config: { metadata: { name: `app-${index}`, attempt: 0 }, image: { image: imageRef } },
      });
      await shim.runtime.startContainer({ containerId });
      containers.push(containerId);
    }
  }
  const list = async () => (await shim.runtime.listContainerStats({})).stats;
  const started = stack.docker.log().length;
  await eventually(async () => (await list()).length === containers.length);
  expect((await shim.runtime.listPodSandboxStats({})).stats).toHaveLength(podCount);
  // Which process each has, the shim knows from its start.
  const asked = engineRequests(stack.docker.log().slice(started));
  expect(asked.filter((call) => /\/containers\/[0-9a-f]{64}\/json(?!\?size)/.test(call))).toEqual(
    [],
  );

  const logged = stack.docker.log().length;
  const pids = [shim.app.pid, stack.docker.pid!];
  const before = pids.map(cpuMs);
  const began = performance.now();
  for (let round = 0; round < rounds; round += 1) {
    const stats = await list();
    expect(stats.map(({ attributes }) => attributes?.id).sort()).toEqual([...containers].sort());
    for (const { memory, cpu } of stats) {
      expect(memory?.workingSetBytes?.value).toBeGreaterThan(0n);
      expect(cpu?.usageCoreNanoSeconds?.value).toBeGreaterThan(0n);
    }
    expect((await shim.runtime.listPodSandboxStats({})).stats).toHaveLength(podCount);
    await pause(500);
  }
  const took = performance.now() - began;
  const used = pids.map((pid, index) => cpuMs(pid) - before[index]!);
  const calls = engineRequests(stack.docker.log().slice(logged));
  expect(calls.filter((call) => call.includes('/_ping'))).not.toEqual([]);
  expect(calls.filter((call) => call.includes('/stats'))).toEqual([]);
  const lists = calls.filter((call) => call.includes('/containers/json'));
  // Nothing has changed: one at most, and what the shim looks at by itself.
  expect(lists.length).toBeLessThan(5);
  // 20 containers twice a second are as many as 400 each ten seconds.
  expect((used[0]! + used[1]!) / took).toBeLessThan(0.3);
}, 120_000);

it('streams of statistics hold what the lists hold', async () => {
  const { runtime } = shim;
  const idsOf = (stats: readonly { attributes?: { id: string } | undefined }[]) =>
    stats.map(({ attributes }) => attributes?.id).sort();
  const containers: string[] = [];
  for await (const { containerStats } of runtime.streamContainerStats({})) {
    for (const { attributes, memory } of containerStats) {
      containers.push(attributes?.id ?? '');
      expect(memory?.workingSetBytes?.value).toBeGreaterThan(0n);
    }
  }
  expect(containers.sort()).toEqual(idsOf((await runtime.listContainerStats({})).stats));
  const pods: string[] = [];
  for await (const { podSandboxStats } of runtime.streamPodSandboxStats({})) {
    for (const { attributes, linux } of podSandboxStats) {
      pods.push(attributes?.id ?? '');
      expect(linux?.containers).toHaveLength(containersEach);
    }
  }
  expect(pods.sort()).toEqual(idsOf((await runtime.listPodSandboxStats({})).stats));
  const measured: string[] = [];
  for await (const { podSandboxMetrics } of runtime.streamPodSandboxMetrics({})) {
    for (const { podSandboxId, containerMetrics } of podSandboxMetrics) {
      measured.push(podSandboxId);
      expect(containerMetrics).toHaveLength(containersEach);
    }
  }
  expect(measured.sort()).toEqual(pods);
});
