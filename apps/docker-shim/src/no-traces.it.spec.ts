import { eventually, eventuallyPasses, startStack, type Stack } from '@stowage/testing';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { ShimProcess } from './testing/shim-process';

/** docker-shim as a process that writes what it has in memory into a file when it is asked to. */
let stack: Stack;
let shim: ShimProcess;
let dumps: string;

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  dumps = path.join(stack.dir, 'dumps');
  mkdirSync(dumps);
  shim = new ShimProcess(stack);
  await shim.start({
    env: {
      STOWAGE_LOG_LEVEL: 'info',
      NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${dumps}`,
    },
  });
}, 60_000);

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

/** Of these texts, those that are in the memory of the process's main thread. */
async function inMemory(texts: readonly string[]): Promise<string[]> {
  const before = readdirSync(dumps).length;
  process.kill(shim.app.pid, 'SIGUSR2');
  let bytes = 0;
  const file = await eventually(
    () => {
      const names = readdirSync(dumps).sort();
      if (names.length === before) return undefined;
      const newest = path.join(dumps, names.at(-1)!);
      const { size } = statSync(newest);
      const isWhole = size > 0 && size === bytes;
      bytes = size;
      return isWhole ? newest : undefined;
    },
    { timeoutMs: 200_000, intervalMs: 500, what: 'the content of the memory' },
  );
  const content = readFileSync(file);
  return texts.filter((text) => content.includes(text));
}

/** A pod with two containers and all that callers do with them; the ids of all three. */
async function life(name: string, image: string): Promise<string[]> {
  const { runtime } = shim;
  const sandboxConfig = {
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, attempt: 0 },
    logDirectory: path.join(stack.dir, 'pod-logs', name),
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config: sandboxConfig });
  const ids = [podSandboxId];
  for (const which of ['one', 'two']) {
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig,
      config: {
        metadata: { name: which, attempt: 0 },
        image: { image },
        command: ['/bin/sh', '-c', 'echo here; exec sleep 1000'],
        logPath: `${which}.log`,
      },
    });
    ids.push(containerId);
    await runtime.startContainer({ containerId });
    await runtime.execSync({ containerId, cmd: ['true'], timeout: 10n });
    await runtime.updateContainerResources({ containerId, linux: { cpuShares: 100n } });
    await runtime.reopenContainerLog({ containerId });
  }
  await runtime.podSandboxStatus({ podSandboxId, verbose: true });
  await runtime.listContainers({});
  await runtime.listPodSandbox({});
  const [, byCall = ''] = ids;
  await runtime.stopContainer({ containerId: byCall, timeout: 0n });
  await runtime.containerStatus({ containerId: byCall, verbose: true });
  await runtime.removeContainer({ containerId: byCall });
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
  return ids;
}

it('nothing of pods that are gone stays in memory', async () => {
  const { reference } = await stack.pushImage({ name: 'team/app' });
  const { imageRef } = await shim.image.pullImage({ image: { image: reference } });
  const stays = { metadata: { name: 'stays', namespace: 'shop', uid: 'uid-stays', attempt: 0 } };
  const { podSandboxId } = await shim.runtime.runPodSandbox({ config: stays });
  const events = shim.runtime.getContainerEvents({})[Symbol.asyncIterator]();
  const first = events.next();
  const gone: string[] = [];
  for (let pod = 0; pod < 5; pod += 1) gone.push(...(await life(`pod-${pod}`, imageRef)));
  await first;
  // Events that came are remembered until the engine's list is looked at next, in a minute or here.
  await stack.docker.kill();
  await stack.docker.start();
  await eventually(async () => (await shim.readiness()).status === 200);
  const list = async () => (await shim.runtime.listContainers({})).containers;
  await eventually(async () => (await list()).length === 0);
  await eventuallyPasses(
    async () => expect(await inMemory([podSandboxId, ...gone])).toEqual([podSandboxId]),
    { timeoutMs: 20_000, intervalMs: 1000 },
  );
  await events.return?.();
}, 300_000);
