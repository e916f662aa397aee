import { ContainerState } from '@stowage/cri-proto';
import { randomFrom, startStack, type Stack } from '@stowage/testing';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { FakePlugins, resultWith } from './fake-plugin';
import { ShimProcess } from './shim-process';

/** What is killed: the shim, the engine under it, or both at once. */
export type Victim = 'shim' | 'engine' | 'both';
/** One after the other, so that a short run has them all. */
const victims: readonly Victim[] = ['shim', 'engine', 'shim', 'both'];

export interface KillReport {
  readonly kills: Readonly<Record<Victim, number>>;
  /** Pods that lived from RunPodSandbox to RemovePodSandbox. */
  readonly pods: number;
  /** Calls that failed and were made again. */
  readonly repeated: number;
  /** Logs that were compared with the engine's, line by line. */
  readonly logs: number;
  /** What is wrong; empty for a good run. */
  readonly problems: readonly string[];
}

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  /** Whether containers run on while the engine is away. */
  readonly liveRestore: boolean;
  readonly say?: (line: string) => void;
}

/** Lines that each container prints. */
const linesEach = 200;
/** Pods at work at once. */
const workers = 3;
/** Longest time after the last kill in which a repeated call has to succeed, milliseconds. */
const patienceMs = 60_000;
/** Longest time that a kill waits for something to succeed after the one before, milliseconds. */
const progressMs = 20_000;

/**
 * Kills docker-shim and its engine at random while pods come and go, as kubelet would ask for them:
 * a call that fails is made again until it succeeds. At the end nothing may be left, and the logs
 * may have lost or doubled nothing that the engine has.
 */
export async function killAtRandom(options: KillOptions): Promise<KillReport> {
  const { liveRestore, say = () => undefined } = options;
  const random = randomFrom(options.seed);
  const stack = await startStack({ docker: { liveRestore }, nats: false });
  const shim = new ShimProcess(stack);
  const kills = { shim: 0, engine: 0, both: 0 };
  const network = new LeasingNetwork(path.join(stack.dir, 'cni'));
  const started = { ready: 'healthz' as const, env: churnEnvironment(stack, network) };
  const problems: string[] = [];
  const run = new Churn(stack, shim, (problem) => {
    say(problem);
    problems.push(problem);
  });
  try {
    const { reference } = await stack.pushImage({
      name: 'soak/app',
      command: [
        '/bin/sh',
        '-c',
        `i=0; while [ $i -lt ${linesEach} ]; do echo line $i; i=$((i+1)); done`,
      ],
    });
    await shim.start({ ...started, ready: 'readyz' });
    const { imageRef } = await shim.image.pullImage({ image: { image: reference } });
    const stopped = new AbortController();
    // What a worker could not do is among the problems.
    const churning = Promise.allSettled(
      Array.from({ length: workers }, (_, index) => run.work(index, imageRef, stopped.signal)),
    );
    for (let kill = 1; kill <= options.kills; kill++) {
      await run.progress();
      await pause(200 + random() * 1800);
      const victim = victims[(kill - 1) % victims.length]!;
      kills[victim]++;
      say(`${kill}: ${victim}`);
      if (victim !== 'shim') await stack.docker.kill();
      if (victim !== 'engine') await shim.app.kill();
      await pause(random() * 1000);
      if (victim !== 'engine') await shim.restart(started);
      if (victim !== 'shim') await stack.docker.start();
      run.disturbed();
    }
    stopped.abort();
    await churning;
    await run.removeAll();
    // What was cut short in the middle of a removal is forgotten by the next start.
    await shim.stop();
    await shim.restart({ ...started, ready: 'readyz' });
    problems.push(...(await eventualLeftovers(stack, network)));
  } finally {
    await shim.stop().catch((error: unknown) => problems.push(`stop: ${String(error)}`));
    await stack.down();
  }
  const { pods, repeated, logs } = run;
  return { kills, pods, repeated, logs, problems };
}

/** A network of one plugin, which keeps a file for each pod that it has given an address. */
class LeasingNetwork {
  readonly leases: string;
  readonly results: string;
  readonly environment: Record<string, string>;

  constructor(folder: string) {
    this.leases = path.join(folder, 'leases');
    const confDir = path.join(folder, 'net.d');
    const cacheDir = path.join(folder, 'cache');
    this.results = path.join(cacheDir, 'results');
    for (const dir of [this.leases, confDir]) mkdirSync(dir, { recursive: true });
    const plugins = new FakePlugins(folder);
    plugins.add('lease');
    const lease = `'${this.leases}/'$CNI_CONTAINERID`;
    const result = JSON.stringify(resultWith('10.1.0.5/24'));
    plugins.answer('lease', 'ADD', `touch ${lease}; sleep 0.05; echo '${result}'`);
    plugins.answer('lease', 'DEL', `sleep 0.05; rm -f ${lease}`);
    const config = { cniVersion: '1.0.0', name: 'soak', plugins: [{ type: 'lease' }] };
    writeFileSync(path.join(confDir, '10-soak.conflist'), JSON.stringify(config));
    this.environment = {
      STOWAGE_NETWORK_MODE: 'cni',
      STOWAGE_CNI_CONF_DIR: confDir,
      STOWAGE_CNI_BIN_DIRS: plugins.binDir,
      STOWAGE_CNI_CACHE_DIR: cacheDir,
    };
  }
}

const churnEnvironment = ({ sandboxImage }: Stack, { environment }: LeasingNetwork) => ({
  ...environment,
  STOWAGE_SANDBOX_IMAGE: sandboxImage,
  STOWAGE_LOG_LEVEL: 'info',
});

/** Pods that come and go. */
class Churn {
  pods = 0;
  repeated = 0;
  logs = 0;
  #succeeded = 0;
  #disturbedAtMs = 0;

  constructor(
    private readonly stack: Stack,
    private readonly shim: ShimProcess,
    private readonly report: (problem: string) => void,
  ) {}

  /** One pod after the other until the signal comes. */
  async work(worker: number, image: string, stopped: AbortSignal): Promise<void> {
    for (let round = 0; !stopped.aborted; round++) {
      await this.#pod(`pod-${worker}-${round}`, image);
      this.pods++;
    }
  }

  /** A kill is over: what it kept from succeeding gets the whole time anew. */
  disturbed(): void {
    this.#disturbedAtMs = Date.now();
  }

  /**
   * Resolves when something has succeeded from now on, so that kills meet pods on a slow machine,
   * too.
   */
  async progress(): Promise<void> {
    const before = this.#succeeded;
    const end = Date.now() + progressMs;
    while (this.#succeeded === before && Date.now() < end) await pause(20);
  }

  /** What kubelet does with sandboxes that nobody wants: those of calls that were cut. */
  async removeAll(): Promise<void> {
    const { runtime } = this.shim;
    await this.#until('the removal of all sandboxes', async () => {
      const { items } = await runtime.listPodSandbox({});
      for (const { id } of items) {
        await runtime.stopPodSandbox({ podSandboxId: id });
        await runtime.removePodSandbox({ podSandboxId: id });
      }
      const { items: left } = await runtime.listPodSandbox({});
      if (left.length > 0) throw new Error(`${left.length} sandboxes are left`);
    });
  }

  async #pod(name: string, image: string): Promise<void> {
    const config = (attempt: number) => ({
      metadata: { name, namespace: 'soak', uid: `${name}-uid`, attempt },
      logDirectory: path.join(this.stack.dir, 'pod-logs', name),
      linux: {},
    });
    const sandboxes: string[] = [];
    const { sandboxConfig, podSandboxId, containerId } = await this.#until(
      `${name} runs`,
      async (attempt) => {
        const sandboxConfig = config(attempt);
        const { podSandboxId } = await this.shim.runtime.runPodSandbox({ config: sandboxConfig });
        sandboxes.push(podSandboxId);
        const { containerId } = await this.shim.runtime.createContainer({
          podSandboxId,
          sandboxConfig,
          config: {
            metadata: { name: 'app', attempt },
            image: { image },
            logPath: `app-${attempt}.log`,
            linux: {},
          },
        });
        await this.shim.runtime.startContainer({ containerId });
        return { sandboxConfig, podSandboxId, containerId };
      },
    );
    await this.#until(`${name} ends`, async () => {
      const { status } = await this.shim.runtime.containerStatus({ containerId });
      if (status?.state !== ContainerState.CONTAINER_EXITED)
        throw new Error(`the container is in state ${status?.state}`);
    });
    const { attempt } = sandboxConfig.metadata;
    const logFile = path.join(sandboxConfig.logDirectory, `app-${attempt}.log`);
    await this.#until(`${name}'s log`, async () => {
      const wanted = await this.#engineLog(containerId);
      const written = logLines(logFile);
      if (written.join('\n') !== wanted.join('\n')) {
        throw new Error(
          `the engine has ${wanted.length} lines, the log ${written.length}: ${firstDifference(wanted, written)}`,
        );
      }
    });
    this.logs++;
    for (const id of new Set([...sandboxes, podSandboxId])) {
      await this.#until(`${name} goes`, async () => {
        await this.shim.runtime.stopPodSandbox({ podSandboxId: id });
        await this.shim.runtime.removePodSandbox({ podSandboxId: id });
      });
    }
  }

  /** Lines that the engine has of a container, in order. */
  async #engineLog(id: string): Promise<string[]> {
    const info = (await this.stack.docker.api('GET', `/containers/${id}/json`)) as {
      LogPath: string;
    };
    return readFileSync(info.LogPath, 'utf8')
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => (JSON.parse(line) as { log: string }).log.replace(/\n$/, ''));
  }

  /** Makes a call until it succeeds; too long is a problem, and ends the run. */
  async #until<T>(what: string, call: (attempt: number) => Promise<T>): Promise<T> {
    const began = Date.now();
    for (let attempt = 0; ; attempt++) {
      try {
        const result = await call(attempt);
        this.#succeeded++;
        return result;
      } catch (error) {
        if (Date.now() > Math.max(began, this.#disturbedAtMs) + patienceMs) {
          const problem = `${what} not within ${patienceMs} ms: ${String(error)}`;
          this.report(problem);
          throw new Error(problem, { cause: error });
        }
        this.repeated++;
        await pause(200);
      }
    }
  }
}

/** The text of each line of a log in the CRI's format. */
function logLines(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' ').slice(3).join(' '));
}

function firstDifference(wanted: readonly string[], written: readonly string[]): string {
  const at = wanted.findIndex((line, index) => line !== written[index]);
  const index = at === -1 ? wanted.length : at;
  return `line ${index} is ${written[index] ?? 'absent'} for ${wanted[index] ?? 'nothing'}`;
}

/** What stays there when every pod is gone. */
async function eventualLeftovers(stack: Stack, network: LeasingNetwork): Promise<string[]> {
  const end = Date.now() + 10_000;
  for (;;) {
    const left = await leftovers(stack, network);
    if (left.length === 0 || Date.now() > end) return left;
    await pause(200);
  }
}

async function leftovers(stack: Stack, network: LeasingNetwork): Promise<string[]> {
  const containers = (await stack.docker.api('GET', '/containers/json?all=1')) as {
    Names: string[];
  }[];
  const left = containers.map(({ Names }) => `container ${Names.join()}`);
  const stateDir = path.join(stack.dir, 'docker-shim');
  const folders = ['sandbox', 'pods', 'containers'].map((name) => path.join(stateDir, name));
  for (const folder of [...folders, network.leases, network.results]) {
    const files = await readdir(folder).catch(() => []);
    left.push(...files.map((file) => `file ${path.basename(folder)}/${file}`));
  }
  return left;
}
