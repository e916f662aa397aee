import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { connectRuntimeService } from '@stowage/cri-client';
import { spawnApp, startStack, type AppProcess, type Stack } from '@stowage/testing';
import { h2load, type LoadResult } from './h2load';
import { startNginx, type Nginx } from './nginx';
import { processUse } from './process-use';

/*
 * What it costs to have something between a client and the runtime: the same calls against
 * containerd itself, through nginx `grpc_pass`, through runtime-gateway (bytes piped and observed,
 * metrics on) and through its read-only socket, which terminates HTTP/2. Needs root and the built
 * app.
 *
 *   npm run build
 *   node tools/run-ts.mjs bench/gateway/main.ts [--rounds N] [--containers N] [--calls N]
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    containers: { type: 'string', default: '500' },
    calls: { type: 'string', default: '100000' },
  },
});
/** What the container image sets; see docs/adr/0012. */
const imageEnvironment = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' };

const rounds = Number(values.rounds);
const containers = Number(values.containers);
const totalCalls = Number(values.calls);

interface Contestant {
  readonly name: string;
  readonly socket: string;
  /** Its process; absent for the runtime itself. */
  readonly pid?: number;
}

interface Workload {
  readonly name: string;
  readonly method: string;
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
];

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
  const apps: AppProcess[] = [];
  try {
    await createContainers(stack);
    nginx = await startNginx(path.join(stack.dir, 'nginx'), stack.containerd.socket);
    /** A separate gateway for each of the two ways, so that CPU and memory can be distinguished. */
    const startGateway = async (name: string, terminating: boolean) => {
      const socket = path.join(stack.dir, `${name}.sock`);
      const other = terminating ? path.join(stack.dir, `${name}-main.sock`) : '';
      const running = await spawnApp('runtime-gateway', {
        env: {
          ...imageEnvironment,
          STOWAGE_LISTEN: terminating ? other : socket,
          STOWAGE_LISTEN_READONLY: terminating ? socket : '',
          STOWAGE_NODE_NAME: `bench-${name}`,
          STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
          STOWAGE_NATS_SERVERS: stack.nats.url,
          STOWAGE_STATE_DIR: path.join(stack.dir, name),
        },
      });
      apps.push(running);
      return { socket, pid: running.pid };
    };
    const piped = await startGateway('main', false);
    const terminating = await startGateway('readonly', true);
    const contestants: readonly Contestant[] = [
      { name: 'containerd itself', socket: stack.containerd.socket },
      { name: 'nginx `grpc_pass`', ...nginx },
      { name: 'runtime-gateway', ...piped },
      { name: 'its read-only socket', ...terminating },
    ];
    for (const contestant of contestants) await checkAnswers(contestant);
    const requestFile = path.join(stack.dir, 'empty-message');
    writeFileSync(requestFile, Buffer.alloc(5));

    const { runtimeName, runtimeVersion } = await versionOf(stack.containerd.socket);
    print(
      `Node.js ${process.versions.node}, ${runtimeName} ${runtimeVersion}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, medians of ${rounds} rounds in turn`,
    );
    for (const workload of workloads) {
      say(`${workload.name} ...`);
      printTable(workload, await measureAll(contestants, workload, requestFile));
    }
    say(`${totalCalls} calls twice ...`);
    printEndurance(await endure(contestants.slice(2), requestFile));
  } finally {
    for (const app of apps) await app.stop();
    await nginx?.stop();
    await stack.down();
  }
}

/** A sandbox with containers that are created and not started: they are listed all the same. */
async function createContainers(stack: Stack): Promise<void> {
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
async function checkAnswers({ name, socket }: Contestant): Promise<void> {
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
  requestFile: string,
): Promise<Endurance[]> {
  const results: Endurance[] = [];
  for (const contestant of contestants) {
    const { socket, pid = 0 } = contestant;
    const residentBytes = [processUse(pid).residentBytes];
    let lost = 0;
    for (let run = 0; run < 2; run++) {
      const method = workloads[0]?.method ?? '';
      const result = await h2load({ socket, method, requestFile, calls: totalCalls, callers: 8 });
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
    `| twice ${totalCalls} calls of Version | lost | resident before | after one run | after two |`,
  );
  print('| --- | ---: | ---: | ---: | ---: |');
  for (const { contestant, lost, residentBytes } of results) {
    print(
      `| ${contestant.name} | ${lost} | ${residentBytes.map((bytes) => megabytes(bytes)).join(' | ')} |`,
    );
  }
}

void main();
