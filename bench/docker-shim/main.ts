import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  connectImageService,
  connectRuntimeService,
  type RuntimeServiceClient,
} from '@stowage/cri-client';
import { dockerShimOn, spawnApp, startStack, type Stack } from '@stowage/testing';
import { countOption } from '../count-option';
import { processUse } from '../gateway/process-use';

/*
 * What docker-shim costs over the engine's API: a pod's life, a list of many containers, and the
 * CPU of the statistics that kubelet asks for. Needs root, dockerd and the built app.
 *
 *   npm run build
 *   node tools/run-ts.mjs bench/docker-shim/main.ts [--rounds N] [--listed N] [--running N]
 *     [--seconds N]
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    listed: { type: 'string', default: '500' },
    running: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '60' },
  },
});
const rounds = countOption('rounds', values.rounds);
const listed = countOption('listed', values.listed);
const running = countOption('running', values.running);
const seconds = countOption('seconds', values.seconds);

/** kubelet's interval for statistics, milliseconds. */
const statsIntervalMs = 10_000;
const containersInPod = 4;

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const print = (line = ''): void => void process.stdout.write(`${line}\n`);

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

async function timed(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await run();
  return performance.now() - began;
}

/** The steps of a pod's life, in order. */
const steps = ['run sandbox', 'create', 'start', 'stop', 'remove', 'remove sandbox'] as const;
type Times = Record<(typeof steps)[number], number>;

const podConfig = (name: string) => ({
  metadata: { name, namespace: 'bench', uid: `${name}-uid`, attempt: 0 },
  linux: {},
});

/** A pod's life by CRI calls. */
async function lifeByCri(runtime: RuntimeServiceClient, name: string, image: string) {
  const config = podConfig(name);
  let podSandboxId = '';
  let containerId = '';
  const times: Times = {
    'run sandbox': await timed(async () => {
      ({ podSandboxId } = await runtime.runPodSandbox({ config }));
    }),
    create: await timed(async () => {
      ({ containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: { metadata: { name: 'app', attempt: 0 }, image: { image }, linux: {} },
      }));
    }),
    start: await timed(() => runtime.startContainer({ containerId })),
    stop: await timed(() => runtime.stopContainer({ containerId, timeout: 0n })),
    remove: await timed(() => runtime.removeContainer({ containerId })),
    'remove sandbox': await timed(async () => {
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    }),
  };
  return times;
}

/** The same by the engine's API, with the fewest calls. */
async function lifeByEngine(stack: Stack, name: string, image: string): Promise<Times> {
  const api = (method: string, target: string, body?: unknown): Promise<unknown> =>
    stack.docker.api(method, target, body);
  const create = async (which: string, body: unknown): Promise<string> => {
    const answer = await api('POST', `/containers/create?name=${name}-${which}`, body);
    return (answer as { Id: string }).Id;
  };
  let sandbox = '';
  let app = '';
  return {
    'run sandbox': await timed(async () => {
      sandbox = await create('pause', {
        Image: stack.sandboxImage,
        HostConfig: { IpcMode: 'shareable', CpuShares: 2, SecurityOpt: ['no-new-privileges'] },
      });
      await api('POST', `/containers/${sandbox}/start`);
    }),
    create: await timed(async () => {
      const joined = `container:${sandbox}`;
      app = await create('app', {
        Image: image,
        HostConfig: { NetworkMode: joined, IpcMode: joined, LogConfig: { Type: 'json-file' } },
      });
    }),
    start: await timed(() => api('POST', `/containers/${app}/start`)),
    stop: await timed(() => api('POST', `/containers/${app}/stop?t=0`)),
    remove: await timed(() => api('DELETE', `/containers/${app}?v=1`)),
    'remove sandbox': await timed(async () => {
      await api('POST', `/containers/${sandbox}/stop?t=10`);
      await api('DELETE', `/containers/${sandbox}?v=1`);
    }),
  };
}

async function lifecycle(stack: Stack, runtime: RuntimeServiceClient, image: string) {
  say(`${rounds} pods each way ...`);
  const direct: Times[] = [];
  const through: Times[] = [];
  for (let round = 0; round <= rounds; round++) {
    const times = [
      await lifeByEngine(stack, `direct-${round}`, image),
      await lifeByCri(runtime, `shim-${round}`, image),
    ] as const;
    if (round === 0) continue; // warm-up
    direct.push(times[0]);
    through.push(times[1]);
  }
  print('| step | engine | docker-shim | ratio |');
  print('| --- | ---: | ---: | ---: |');
  const row = (name: string, of: (times: Times) => number): void => {
    const [engine, shim] = [median(direct.map(of)), median(through.map(of))];
    print(
      `| ${name} | ${engine.toFixed(1)} ms | ${shim.toFixed(1)} ms | ${(shim / engine).toFixed(2)}x |`,
    );
  };
  for (const step of steps) row(step, (times) => times[step]);
  row('all', (times) => Object.values(times).reduce((sum, one) => sum + one, 0));
  print();
}

/** Pods with containers; returns how many containers there are. */
async function createPods(
  runtime: RuntimeServiceClient,
  count: number,
  { image, perPod, started }: { image: string; perPod: number; started: boolean },
): Promise<void> {
  for (let made = 0; made < count; made += perPod) {
    const config = podConfig(`${started ? 'running' : 'listed'}-${made}`);
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    for (let one = 0; one < Math.min(perPod, count - made); one++) {
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: {
          metadata: { name: `app-${one}`, attempt: 0 },
          image: { image },
          labels: { 'io.kubernetes.pod.name': config.metadata.name, tier: 'web', one: `${one}` },
          annotations: { 'io.kubernetes.container.hash': '8c2f2c1c', note: 'x'.repeat(200) },
          linux: {},
        },
      });
      if (started) await runtime.startContainer({ containerId });
    }
  }
}

async function removePods(runtime: RuntimeServiceClient): Promise<void> {
  for (const { id: podSandboxId } of (await runtime.listPodSandbox({})).items) {
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  }
}

async function lists(stack: Stack, runtime: RuntimeServiceClient) {
  const filters = JSON.stringify({ label: ['io.kubernetes.docker.type=container'] });
  const target = `/containers/json?all=1&filters=${encodeURIComponent(filters)}`;
  const engine: number[] = [];
  const shim: number[] = [];
  let count = 0;
  for (let round = 0; round < 50; round++) {
    engine.push(await timed(() => stack.docker.api('GET', target)));
    shim.push(
      await timed(async () => {
        ({ length: count } = (await runtime.listContainers({})).containers);
      }),
    );
  }
  const [own, through] = [median(engine), median(shim)];
  print(`| list of ${count} containers | engine | docker-shim | ratio |`);
  print('| --- | ---: | ---: | ---: |');
  print(
    `| median of 50 | ${own.toFixed(1)} ms | ${through.toFixed(1)} ms | ${(through / own).toFixed(2)}x |`,
  );
  print();
}

async function statistics(stack: Stack, runtime: RuntimeServiceClient, shimPid: number) {
  say(`statistics of ${running} containers for ${seconds} s ...`);
  const use = () => ({ shim: processUse(shimPid), engine: processUse(stack.docker.pid ?? 0) });
  const share = (before: number, after: number): string =>
    `${((after - before) / (seconds * 10)).toFixed(1)} %`;
  const measure = async (ask: () => Promise<unknown>): Promise<readonly [string, string]> => {
    const before = use();
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      await ask();
      await pause(Math.min(statsIntervalMs, Math.max(0, end - performance.now())));
    }
    const after = use();
    return [
      share(before.shim.cpuMs, after.shim.cpuMs),
      share(before.engine.cpuMs, after.engine.cpuMs),
    ];
  };
  const quiet = await measure(() => Promise.resolve());
  const ask = async () => {
    const { stats } = await runtime.listContainerStats({});
    if (stats.length < running) throw new Error(`statistics of ${stats.length} containers only`);
    await runtime.listPodSandboxStats({});
  };
  const first = await measure(ask);
  const later = await measure(ask);
  print(`| ${running} running containers, share of one core | docker-shim | engine |`);
  print('| --- | ---: | ---: |');
  print(`| nobody asks | ${quiet.join(' | ')} |`);
  print(`| both lists of statistics each 10 s, at first | ${first.join(' | ')} |`);
  print(`| both lists of statistics each 10 s, later | ${later.join(' | ')} |`);
  print();
  print(`docker-shim resident: ${Math.round(use().shim.residentBytes / 1024 / 1024)} MB`);
}

async function main(): Promise<void> {
  const stack = await startStack({ docker: {}, nats: false });
  const { endpoint, env } = dockerShimOn(stack);
  const shim = await spawnApp('docker-shim', {
    env: {
      // What the container image sets; see docs/adr/0012.
      MALLOC_ARENA_MAX: '2',
      MALLOC_TRIM_THRESHOLD_: '131072',
      STOWAGE_NODE_NAME: 'bench',
      ...env,
    },
  });
  const runtime = connectRuntimeService({ endpoint });
  const images = connectImageService({ endpoint });
  try {
    const { reference } = await stack.pushImage({
      name: 'bench/app',
      command: ['/bin/sleep', '2147483647'],
    });
    const { imageRef: image } = await images.pullImage({ image: { image: reference } });
    await images.pullImage({ image: { image: stack.sandboxImage } });
    const { major, minor, patch } = stack.docker.version;
    print(
      `Node.js ${process.versions.node}, Docker Engine ${major}.${minor}.${patch}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, medians of ${rounds} rounds in turn`,
    );
    print();
    await lifecycle(stack, runtime, image);
    say(`creating ${listed} containers ...`);
    await createPods(runtime, listed, { image, perPod: 100, started: false });
    await lists(stack, runtime);
    await removePods(runtime);
    say(`starting ${running} containers ...`);
    await createPods(runtime, running, { image, perPod: containersInPod, started: true });
    await statistics(stack, runtime, shim.pid);
  } finally {
    runtime.close();
    images.close();
    await shim.stop();
    await stack.down();
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
