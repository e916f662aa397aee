import { fork, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { ImageStatusRequest } from '@stowage/cri-proto';
import { eventually, spawnApp, startStack, type Stack } from '@stowage/testing';
import { countOption } from '../count-option';
import { h2load, type LoadResult } from './h2load';
import { startNginx, type Nginx } from './nginx';
import { processUse } from './process-use';

/*
 * What it costs to have something between a client and the runtime: the same calls against
 * containerd itself, through nginx `grpc_pass`, through runtime-gateway (bytes piped and observed,
 * metrics on), through its read-only socket and through image-service, which both give each call a
 * verdict; and through least-pipe.ts, which shows what Node.js itself costs. Needs root and the
 * built apps.
 *
 *   npm run build
 *   node tools/run-ts.mjs bench/gateway/main.ts \
 *     [--rounds N] [--containers N] [--images N] [--calls N] [--only ImageStatus]
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    containers: { type: 'string', default: '500' },
    images: { type: 'string', default: '500' },
    calls: { type: 'string', default: '100000' },
    only: { type: 'string' },
  },
});
/** What the container image sets; see docs/adr/0012. */
const imageEnvironment = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' };

const rounds = countOption('rounds', values.rounds);
const containers = countOption('containers', values.containers);
const images = countOption('images', values.images);
const totalCalls = countOption('calls', values.calls);

interface Contestant {
  readonly name: string;
  readonly socket: string;
  /** Its process; absent for the runtime itself. */
  readonly pid?: number;
  /** Whether it forwards calls of the image service alone. */
  readonly imagesOnly?: boolean;
}

interface Workload {
  readonly name: string;
  readonly method: string;
  /** The request; default: an empty message. */
  readonly request?: (image: string) => Uint8Array;
  /** Whether it is measured through image-service, too. */
  readonly ofImages?: boolean;
  /** Calls of one round, with one caller and with eight. */
  readonly calls: { readonly one: number; readonly eight: number };
}

interface Measured {
  readonly meanMs: number;
  readonly callsPerSecond: number;
  readonly cpuPerCallMs?: number;
  readonly lost: number;
}

const workloads: readonly Workload[] = [
  {
    name: 'Version',
    method: '/runtime.v1.RuntimeService/Version',
    calls: { one: 4_000, eight: 20_000 },
  },
  {
    name: `ListContainers, ${containers} containers`,
    method: '/runtime.v1.RuntimeService/ListContainers',
    calls: { one: 200, eight: 800 },
  },
  {
    name: 'ImageStatus',
    method: '/runtime.v1.ImageService/ImageStatus',
    request: (image) =>
      ImageStatusRequest.encode(ImageStatusRequest.fromPartial({ image: { image } })).finish(),
    ofImages: true,
    calls: { one: 4_000, eight: 20_000 },
  },
  {
    name: `ListImages, ${images} images`,
    method: '/runtime.v1.ImageService/ListImages',
    ofImages: true,
    calls: { one: 200, eight: 800 },
  },
];

const wanted = workloads.filter(({ name }) => values.only === undefined || name === values.only);
if (wanted.length === 0) {
  const names = workloads.map(({ name }) => name).join('; ');
  throw new Error(`--only ${values.only}: not a workload. Workloads: ${names}`);
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  const missing = Object.entries({ h2load: 'nghttp2-client', nginx: 'nginx-light' }).filter(
    ([program]) => spawnSync(program, ['--version']).error !== undefined,
  );
  if (missing.length > 0) {
    const packages = missing.map(([, debianPackage]) => debianPackage).join(' ');
    throw new Error(
      `this bench needs ${missing.map(([program]) => program).join(' and ')}: apt-get install ${packages}`,
    );
  }
  const stack = await startStack();
  let nginx: Nginx | undefined;
  const between: { stop(): Promise<unknown> }[] = [];
  try {
    const image = await createContainers(stack);
    await createImages(stack);
    nginx = await startNginx(path.join(stack.dir, 'nginx'), stack.containerd.socket);
    /** A separate gateway for each of the two ways, so that CPU and memory can be distinguished. */
    const start = async (
      app: string,
      name: string,
      more: (socket: string) => Record<string, string>,
    ) => {
      const socket = path.join(stack.dir, `${name}.sock`);
      const running = await spawnApp(app, {
        env: {
          ...imageEnvironment,
          STOWAGE_NODE_NAME: `bench-${name}`,
          STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
          STOWAGE_NATS_SERVERS: stack.nats.url,
          STOWAGE_STATE_DIR: path.join(stack.dir, name),
          ...more(socket),
        },
      });
      between.push(running);
      return { socket, pid: running.pid };
    };
    const piped = await start('runtime-gateway', 'main', (socket) => ({
      STOWAGE_LISTEN: socket,
      STOWAGE_LISTEN_READONLY: '',
    }));
    const checked = await start('runtime-gateway', 'readonly', (socket) => ({
      STOWAGE_LISTEN: path.join(stack.dir, 'readonly-main.sock'),
      STOWAGE_LISTEN_READONLY: socket,
    }));
    const imageService = await start('image-service', 'images', (socket) => ({
      STOWAGE_LISTEN: socket,
    }));
    const least = await startLeastPipe(path.join(stack.dir, 'least.sock'), stack.containerd.socket);
    between.push(least);
    const contestants: readonly Contestant[] = [
      { name: 'containerd itself', socket: stack.containerd.socket },
      { name: 'nginx `grpc_pass`', ...nginx },
      { name: 'bytes copied in Node.js', ...least },
      { name: 'runtime-gateway', ...piped },
      { name: 'its read-only socket', ...checked },
      { name: 'image-service', ...imageService, imagesOnly: true },
    ];
    for (const contestant of contestants) await checkAnswers(contestant);
    const requestFile = (workload: Workload): string => {
      const file = path.join(stack.dir, 'request');
      writeFileSync(file, frame(workload.request?.(image) ?? new Uint8Array()));
      return file;
    };

    const { runtimeName, runtimeVersion } = await versionOf(stack.containerd.socket);
    print(
      `Node.js ${process.versions.node}, ${runtimeName} ${runtimeVersion}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, medians of ${rounds} rounds in turn`,
    );
    for (const workload of wanted) {
      say(`${workload.name} ...`);
      const those = contestants.filter(
        ({ imagesOnly }) => workload.ofImages === true || imagesOnly !== true,
      );
      printTable(workload, await measureAll(those, workload, requestFile(workload)));
    }
    say(`${totalCalls} calls twice ...`);
    printEndurance(
      await endure(contestants.slice(3), ({ imagesOnly }) => {
        const workload = workloads.find(({ name }) =>
          imagesOnly ? name === 'ImageStatus' : name === 'Version',
        );
        if (workload === undefined) throw new Error('no such workload');
        return { method: workload.method, requestFile: requestFile(workload) };
      }),
    );
  } finally {
    for (const one of between) await one.stop();
    await nginx?.stop();
    await stack.down();
  }
}

async function startLeastPipe(socket: string, upstream: string) {
  const program = path.join(__dirname, 'least-pipe.ts');
  const child = fork(program, [socket, upstream], {
    env: { ...process.env, ...imageEnvironment },
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await eventually(() => existsSync(socket), { what: 'the least pipe to listen' });
  const stop = async (): Promise<void> => {
    child.kill();
    await exited;
  };
  return { socket, pid: child.pid ?? 0, stop };
}

/** A message with its gRPC prefix. */
function frame(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Images of small sizes, which together with those that are there come to {@link images}. */
async function createImages(stack: Stack): Promise<void> {
  say(`pulling ${images} images ...`);
  const client = connectImageService({ endpoint: stack.containerd.endpoint });
  try {
    await client.whenAvailable();
    const count = async (): Promise<number> => (await client.listImages({})).images.length;
    let next = await count();
    const pull = async (): Promise<void> => {
      while (next < images) {
        const name = `bench/image-${next++}`;
        // Of data only, and each with a layer of its own, so that none is the same as another.
        const layers = [{ seed: name, sizeMb: 0.01 }];
        const { reference } = await stack.pushImage({ name, runnable: false, layers });
        await stack.pullImage(reference);
      }
    };
    await Promise.all(Array.from({ length: 4 }, pull));
  } finally {
    client.close();
  }
}

/**
 * A sandbox with containers that are created and not started: they are listed all the same. Returns
 * the reference of their image.
 */
async function createContainers(stack: Stack): Promise<string> {
  say(`creating ${containers} containers ...`);
  const image = await stack.pushImage({ name: 'bench/app' });
  const { podSandboxId } = await stack.runPod({ image: image.reference, name: 'bench' });
  const runtime = connectRuntimeService({ endpoint: stack.containerd.endpoint });
  try {
    await runtime.whenAvailable();
    let next = 1;
    const create = async (): Promise<void> => {
      while (next < containers) {
        const attempt = next++;
        await runtime.createContainer({
          podSandboxId,
          config: {
            metadata: { name: `container-${attempt}`, attempt: 0 },
            image: { image: image.reference },
            labels: { 'io.kubernetes.container.name': `container-${attempt}` },
            annotations: { 'io.kubernetes.container.hash': 'deadbeef' },
          },
          sandboxConfig: { metadata: { name: 'bench', namespace: 'default', uid: 'uid-bench' } },
        });
      }
    };
    await Promise.all(Array.from({ length: 4 }, create));
  } finally {
    runtime.close();
  }
  return image.reference;
}

async function versionOf(socket: string) {
  const client = connectRuntimeService({ endpoint: `unix://${socket}` });
  try {
    await client.whenAvailable();
    return await client.version({});
  } finally {
    client.close();
  }
}

/** h2load sees HTTP only: make sure once that each contestant gives the runtime's own answer. */
async function checkAnswers({ name, socket, imagesOnly = false }: Contestant): Promise<void> {
  if (imagesOnly) {
    const client = connectImageService({ endpoint: `unix://${socket}` });
    await client.whenAvailable();
    const listed = await client.listImages({}).finally(() => client.close());
    if (listed.images.length < images)
      throw new Error(`${name} lists ${listed.images.length} images`);
    return;
  }
  const client = connectRuntimeService({ endpoint: `unix://${socket}` });
  try {
    await client.whenAvailable();
    const listed = await client.listContainers({});
    if (listed.containers.length !== containers) {
      throw new Error(`${name} lists ${listed.containers.length} containers, not ${containers}`);
    }
  } finally {
    client.close();
  }
}

/** Contestants take turns, so that what else happens on the machine meets all of them. */
async function measureAll(
  contestants: readonly Contestant[],
  { method, calls }: Workload,
  requestFile: string,
): Promise<ReadonlyMap<Contestant, Measured>> {
  const alone = new Map<Contestant, LoadResult[]>();
  const together = new Map<Contestant, LoadResult[]>();
  const cpu = new Map<Contestant, number>();
  const add = <K, V>(map: Map<K, V[]>, key: K, value: V) =>
    map.set(key, [...(map.get(key) ?? []), value]);
  for (let round = 0; round <= rounds; round++) {
    for (const contestant of contestants) {
      const { socket, pid } = contestant;
      const load = { socket, method, requestFile };
      const before = pid === undefined ? 0 : processUse(pid).cpuMs;
      const one = await h2load({ ...load, callers: 1, calls: calls.one });
      const eight = await h2load({ ...load, callers: 8, calls: calls.eight });
      if (round === 0) continue; // warming up
      add(alone, contestant, one);
      add(together, contestant, eight);
      const spent = pid === undefined ? 0 : processUse(pid).cpuMs - before;
      cpu.set(contestant, (cpu.get(contestant) ?? 0) + spent);
    }
  }
  return new Map(
    contestants.map((contestant) => {
      const one = alone.get(contestant) ?? [];
      const eight = together.get(contestant) ?? [];
      const measured: Measured = {
        meanMs: median(one.map(({ meanMs }) => meanMs)),
        callsPerSecond: median(eight.map(({ callsPerSecond }) => callsPerSecond)),
        cpuPerCallMs:
          contestant.pid === undefined
            ? undefined
            : (cpu.get(contestant) ?? 0) / (rounds * (calls.one + calls.eight)),
        lost: [...one, ...eight].reduce((sum, { lost }) => sum + lost, 0),
      };
      return [contestant, measured];
    }),
  );
}

interface Endurance {
  readonly contestant: Contestant;
  readonly lost: number;
  /** Resident bytes before, after the first run, after the second. */
  readonly residentBytes: readonly number[];
}

async function endure(
  contestants: readonly Contestant[],
  asked: (contestant: Contestant) => { method: string; requestFile: string },
): Promise<Endurance[]> {
  const results: Endurance[] = [];
  for (const contestant of contestants) {
    const { socket, pid = 0 } = contestant;
    const residentBytes = [processUse(pid).residentBytes];
    let lost = 0;
    for (let run = 0; run < 2; run++) {
      const load = { socket, ...asked(contestant), calls: totalCalls, callers: 8 };
      const result = await h2load(load);
      lost += result.lost;
      residentBytes.push(processUse(pid).residentBytes);
    }
    results.push({ contestant, lost, residentBytes });
  }
  return results;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

const print = (line = ''): void => void process.stdout.write(`${line}\n`);

function printTable(workload: Workload, results: ReadonlyMap<Contestant, Measured>): void {
  const nginx = [...results].find(([{ name }]) => name.startsWith('nginx'))?.[1];
  const times = (value: number, of = NaN): string => `${(value / of).toFixed(2)}x`;
  print();
  print(
    `| ${workload.name} | mean time, one caller | to nginx | calls/s, 8 callers | to nginx | CPU a call | lost |`,
  );
  print('| --- | ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const [{ name }, { meanMs, callsPerSecond, cpuPerCallMs, lost }] of results) {
    print(
      `| ${name} | ${meanMs.toFixed(3)} ms | ${times(meanMs, nginx?.meanMs)} | ${Math.round(callsPerSecond)} | ${times(callsPerSecond, nginx?.callsPerSecond)} | ${cpuPerCallMs === undefined ? '' : `${(cpuPerCallMs * 1000).toFixed(0)} µs`} | ${lost} |`,
    );
  }
}

function printEndurance(results: readonly Endurance[]): void {
  const megabytes = (bytes = NaN): string => `${(bytes / 1e6).toFixed(0)} MB`;
  print();
  print(
    `| twice ${totalCalls} calls of Version, image-service: ImageStatus | lost | resident before | after one run | after two |`,
  );
  print('| --- | ---: | ---: | ---: | ---: |');
  for (const { contestant, lost, residentBytes } of results) {
    print(
      `| ${contestant.name} | ${lost} | ${residentBytes.map((bytes) => megabytes(bytes)).join(' | ')} |`,
    );
  }
}

void main();
