import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { PodSandboxState } from '@stowage/cri-proto';
import {
  eventually,
  spawnApp,
  startStack,
  type AppExit,
  type AppProcess,
  type PushedImage,
  type SpawnAppOptions,
  type Stack,
} from '@stowage/testing';
import { placeholders, type RecordedCall } from './calls/recorded-call';
import { CallRecorder } from './calls/recorder';
import { makeControlGroup } from './control-group';
import { describeEnd } from './describe-end';
import { describePod } from './describe-pod';
import { Kubelet, type Endpoints, type KubeletVariant, type Pod } from './kubelet';
import { ContainerdRuntime, DockerShimRuntime, type LabRuntime } from './lab-runtime';
import { containerProcesses, loseFolder } from './power-cut';
import { withholdSysctls } from './sysctls';

/** A service of the suite. */
export type ServiceName = 'runtime-gateway' | 'image-service' | 'gc-worker';

/** One way from kubelet to the runtime. */
export interface Way {
  readonly name: string;
  readonly text: string;
  /** Services on this way, in the order in which they start. */
  readonly services: readonly ServiceName[];
  /** Whether kubelet has the gateway's socket for everything. */
  readonly imageRouting?: boolean;
}

/** The way that all others are compared with. */
export const bare: Way = { name: 'bare', text: 'the runtime itself', services: [] };

export const ways: readonly Way[] = [
  bare,
  {
    name: 'suite',
    text: "runtime-gateway for runtime calls, image-service for image calls, gc-worker beside kubelet's collection",
    services: ['image-service', 'runtime-gateway', 'gc-worker'],
  },
  {
    name: 'routing',
    text: 'one socket: runtime-gateway with imageRouting to image-service',
    services: ['image-service', 'runtime-gateway'],
    imageRouting: true,
  },
];

/** The programs that scenarios with an API server need. */
export interface ControlPlane {
  /** kube-apiserver. */
  readonly program: string;
  readonly etcd: string;
}

export interface LabSettings {
  readonly way: Way;
  /** kubelet's program. */
  readonly kubelet: string;
  /** Programs of an API server, where they are given. */
  readonly controlPlane?: ControlPlane;
  readonly controlGroup: string;
  /** Whether the runtime is docker-shim on a Docker Engine, in the place of containerd. */
  readonly docker: boolean;
  /** Folder that logs are kept in. */
  readonly report: string;
  readonly soakMinutes: number;
  /**
   * Size in MiB of a file system for the images of the runtime. Absent: they lie on the disk of the
   * machine.
   */
  readonly imageFileSystemMb?: number;
  /** Whether the calls of kubelet are written down. */
  readonly record: boolean;
  /** Aborts when the run is to end. */
  readonly signal: AbortSignal;
}

/** Images that scenarios use, by name; all small and runnable. */
export type Images = Readonly<Record<'app' | 'other' | 'third', PushedImage>>;

/** An instance of a service that another one has replaced. */
export interface Replaced {
  /**
   * Waits until it ends, for `timeoutMs` milliseconds at most. Returns `0`, or how it has ended
   * else, or that it still runs, with its name, that of its log, and its last lines.
   */
  end(timeoutMs: number): Promise<string>;
}

/** The real parts on one way, and what scenarios do with them. */
export class Lab {
  readonly way: Way;
  readonly soakMinutes: number;
  readonly signal: AbortSignal;
  readonly kubelet: Kubelet;
  readonly #apps = new Map<ServiceName, AppProcess>();
  /** Every process of a service that was started, for its log. */
  readonly #processes: { name: string; app: AppProcess }[] = [];
  readonly #pods = new Set<string>();
  #images: Images | undefined;
  #recorder: CallRecorder | undefined;

  private constructor(
    readonly stack: Stack,
    readonly runtime: LabRuntime,
    private readonly settings: LabSettings,
  ) {
    this.way = settings.way;
    this.soakMinutes = settings.soakMinutes;
    this.signal = settings.signal;
    this.kubelet = new Kubelet({
      program: settings.kubelet,
      dir: path.join(stack.dir, 'kubelet'),
      controlGroup: settings.controlGroup,
      env: {},
    });
    // Whatever waits for kubelet ends with it.
    settings.signal.addEventListener(
      'abort',
      () => void this.kubelet.kill().catch(() => undefined),
    );
  }

  /** Starts all of a way and waits until kubelet answers. */
  static async start(settings: LabSettings): Promise<Lab> {
    mkdirSync(settings.report, { recursive: true });
    withholdSysctls();
    makeControlGroup(settings.controlGroup);
    const { docker, imageFileSystemMb: filesystemMb } = settings;
    const stack = await startStack(docker ? { docker: {}, filesystemMb } : { filesystemMb });
    const runtime = docker ? new DockerShimRuntime(stack) : new ContainerdRuntime(stack);
    const lab = new Lab(stack, runtime, settings);
    try {
      if (docker) await runtime.start();
      const push = (name: string) => stack.pushImage({ name, tag: ['1', '2'], labels: { name } });
      lab.#images = {
        app: await push('app'),
        other: await push('other'),
        third: await push('third'),
      };
      for (const service of settings.way.services) await lab.startService(service);
      if (settings.record) await lab.#startRecorder();
      await lab.kubelet.start(lab.endpoints);
      return lab;
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  /** @throws when they are not given. */
  get controlPlane(): ControlPlane {
    const { controlPlane } = this.settings;
    if (controlPlane === undefined) throw new Error('no API server is given');
    return controlPlane;
  }

  get images(): Images {
    if (this.#images === undefined) throw new Error('no images have been pushed yet');
    return this.#images;
  }

  async #startRecorder(): Promise<void> {
    const { registry, dir } = this.stack;
    this.#recorder = await CallRecorder.start(this.#socket('recorder'), this.endpoints, (text) =>
      text.replaceAll(registry.open.host, placeholders.registry).replaceAll(dir, placeholders.dir),
    );
  }

  /** Calls of kubelet so far, where they are written down. */
  get recordedCalls(): readonly RecordedCall[] {
    return this.#recorder?.calls ?? [];
  }

  get endpoints(): Endpoints {
    if (this.#recorder !== undefined) {
      const recorder = `unix://${this.#socket('recorder')}`;
      return { runtime: recorder, image: recorder };
    }
    const { services, imageRouting = false } = this.way;
    const { endpoint } = this.runtime;
    const runtime = services.includes('runtime-gateway')
      ? `unix://${this.#socket('runtime')}`
      : endpoint;
    if (imageRouting) return { runtime, image: runtime };
    const hasImageService = services.includes('image-service');
    return { runtime, image: hasImageService ? `unix://${this.#socket('image')}` : endpoint };
  }

  #socket(name: string): string {
    return path.join(this.stack.dir, `${name}.sock`);
  }

  #environment(service: ServiceName): Record<string, string> {
    const { stack, way, runtime } = this;
    const env: Record<string, string> = {
      STOWAGE_NODE_NAME: Kubelet.node,
      STOWAGE_STATE_DIR: path.join(stack.dir, service),
      STOWAGE_RUNTIME_ENDPOINT: runtime.endpoint,
      STOWAGE_NATS_SERVERS: stack.nats.url,
    };
    if (service === 'runtime-gateway') {
      env.STOWAGE_LISTEN = this.#socket('runtime');
      env.STOWAGE_LISTEN_READONLY = this.#socket('runtime-ro');
      env.STOWAGE_IMAGE_ROUTING = String(way.imageRouting ?? false);
      env.STOWAGE_IMAGE_SERVICE_ENDPOINT = `unix://${this.#socket('image')}`;
    }
    if (service === 'image-service') {
      env.STOWAGE_LISTEN = this.#socket('image');
      env.STOWAGE_DOCKER_CONFIG_DIRS = '';
      env.STOWAGE_DOCKERCFG_DIRS = '';
    }
    return env;
  }

  /** Starts a service, with keys over its usual environment, and waits until it is ready. */
  async startService(
    service: ServiceName,
    env: Record<string, string> = {},
    options: Pick<SpawnAppOptions, 'ready'> = {},
  ): Promise<AppProcess> {
    const app = await spawnApp(service, {
      ...options,
      env: { ...this.#environment(service), ...env },
    });
    this.#apps.set(service, app);
    this.#processes.push({ name: service, app });
    return app;
  }

  /** Ends a service and starts it again, with keys over its usual environment. */
  async restartService(
    service: ServiceName,
    how: 'stop' | 'kill' = 'stop',
    env: Record<string, string> = {},
  ): Promise<void> {
    await this.#apps.get(service)?.[how]();
    await this.startService(service, env);
  }

  /**
   * Starts a new instance beside the old one, which it replaces, and waits until it is ready.
   * Returns what waits for the end of the old one.
   */
  async takeOver(service: ServiceName): Promise<Replaced> {
    const old = this.service(service);
    let exit: AppExit | undefined;
    void old.exited.then((how) => (exit = how));
    const env = { STOWAGE_TAKE_OVER: 'true', STOWAGE_HTTP_ADDR: new URL(old.httpUrl).host };
    // By its own log: on its address the old one answers until it is replaced.
    const ready = (app: AppProcess): boolean => app.logLines().some(({ msg }) => msg === 'ready');
    await this.startService(service, env, { ready });
    const name = `${this.#processes.findIndex(({ app }) => app === old) + 1}-${service}`;
    return {
      end: async (timeoutMs) => {
        await this.until(`${name} to end`, () => exit, timeoutMs).catch(() => undefined);
        this.signal.throwIfAborted();
        return this.normalise(describeEnd(name, exit, old));
      },
    };
  }

  /** The instance that serves. Throws where the way has none. */
  service(service: ServiceName): AppProcess {
    const app = this.#apps.get(service);
    if (app === undefined) throw new Error(`${this.way.name} has no ${service}`);
    return app;
  }

  /** Starts kubelet anew, with other settings. Its pods go on. */
  async restartKubelet(variant: KubeletVariant = {}): Promise<void> {
    await this.kubelet.stop();
    await this.kubelet.start(this.endpoints, variant);
  }

  /** Waits until kubelet has noticed that the runtime is away. */
  async untilNoticed(): Promise<void> {
    const from = this.kubelet.log().length;
    await this.until('kubelet to notice that the runtime is away', () =>
      /^E.*(Unavailable|connection refused)/m.test(this.kubelet.log().slice(from)),
    );
  }

  /**
   * Kills everything but registries and NATS at one moment, containers too, and starts it again as
   * after a boot: what the runtime keeps for as long as the machine runs is gone.
   */
  async powerCut(): Promise<void> {
    const { runtime } = this;
    const services = [...this.#apps.values()];
    const servers = [this.kubelet, ...services].map(({ pid }) => pid);
    const containers = containerProcesses(this.settings.controlGroup, runtime.shimMark);
    for (const pid of [...servers, ...runtime.pids, ...containers]) {
      if (pid !== undefined && pid > 0) killIfThere(pid);
    }
    for (const one of [this.kubelet, ...services]) await one.kill();
    await runtime.afterPowerCut();
    loseFolder(runtime.stateDir);
    await runtime.boot();
    for (const service of this.way.services) await this.startService(service);
    await this.kubelet.start(this.endpoints);
  }

  addPod(pod: Pod): void {
    this.#pods.add(pod.metadata.name);
    this.kubelet.add(pod);
  }

  /** Pulls an image past every service on the way. */
  async pullImage(reference: string, auth?: { username: string; password: string }): Promise<void> {
    const client = connectImageService({ endpoint: this.runtime.endpoint });
    try {
      await client.pullImage({ image: { image: reference }, auth });
    } finally {
      client.close();
    }
  }

  /** Which of these images the runtime has, by the name of the repository. */
  async imagesAmong(names: readonly string[]): Promise<string> {
    const client = connectImageService({ endpoint: this.runtime.endpoint });
    try {
      const { images } = await client.listImages({});
      const tags = images.flatMap(({ repoTags }) => repoTags);
      return names.filter((name) => tags.some((tag) => tag.includes(`/${name}:`))).join(', ');
    } finally {
      client.close();
    }
  }

  /** Waits until `look` returns something other than undefined, null or false. */
  until<T>(
    what: string,
    look: () => T | Promise<T>,
    timeoutMs = 60_000,
  ): Promise<Exclude<T, undefined | null | false>> {
    return eventually(look, { what, timeoutMs, intervalMs: 200, signal: this.signal });
  }

  async pod(name: string): Promise<Pod | undefined> {
    return (await this.kubelet.pods()).find(({ metadata }) => metadata.name === name);
  }

  /**
   * Log of a container through kubelet's API, once it is as expected, or what it is after some
   * time; `(none)` where there is none. A container that runs may not have written everything yet.
   */
  async logOf({ metadata }: Pod, container: string, expected: string | RegExp): Promise<string> {
    const name = `${metadata.name}-${Kubelet.node}`;
    const target = `/containerLogs/${metadata.namespace}/${name}/${container}`;
    let last = '(none)';
    const look = async (): Promise<boolean> => {
      const { status, body } = await this.kubelet.get(target);
      if (status === 200) last = body;
      return isAsExpected(last, expected);
    };
    await this.until(`log of ${name}`, look, 20_000).catch(() => undefined);
    this.signal.throwIfAborted();
    return last;
  }

  removePod(name: string): void {
    this.kubelet.remove(name);
  }

  /** Whether kubelet has ended all these pods: it forgets them at once, so the runtime is asked. */
  async areGone(names: readonly string[]): Promise<boolean> {
    const pods = await this.kubelet.pods();
    if (pods.some(({ metadata }) => names.includes(metadata.name))) return false;
    const client = connectRuntimeService({ endpoint: this.runtime.endpoint });
    try {
      const { items } = await client.listPodSandbox({
        filter: { state: { state: PodSandboxState.SANDBOX_READY } },
      });
      const ending = new Set(names.map((name) => `${name}-${Kubelet.node}`));
      return items.every(({ metadata }) => !ending.has(metadata?.name ?? ''));
    } finally {
      client.close();
    }
  }

  /**
   * Waits until a pod has come to a state, as `describePod` says it or such as it matches. Returns
   * the last one that was seen, that or another.
   */
  async stateOf(name: string, state: string | RegExp, timeoutMs = 60_000): Promise<string> {
    let last = 'unknown';
    const look = async (): Promise<boolean> => {
      const pod = await this.pod(name);
      if (pod !== undefined) last = describePod(pod);
      return isAsExpected(last, state);
    };
    await this.until(`${name} to be ${String(state)}`, look, timeoutMs).catch(() => undefined);
    this.signal.throwIfAborted();
    return last;
  }

  /** @throws when its containers do not all run and are ready in time. */
  async untilRunning(name: string, timeoutMs = 60_000): Promise<void> {
    await this.until(
      `${name} to run`,
      async () => {
        const statuses = (await this.pod(name))?.status?.containerStatuses ?? [];
        return statuses.length > 0 && statuses.every(({ ready }) => ready);
      },
      timeoutMs,
    );
  }

  /**
   * Runs a command in a container by kubelet's API, which uses ExecSync. kubelet splits it at
   * spaces: no word can have one.
   */
  run(
    name: string,
    namespace: string,
    command: readonly string[],
    timeoutMs = 20_000,
    container = 'main',
  ): Promise<{ status: number; body: string }> {
    const query = new URLSearchParams({ cmd: command.join(' ') }).toString();
    const pod = `${name}-${Kubelet.node}`;
    return this.kubelet.post(`/run/${namespace}/${pod}/${container}?${query}`, { timeoutMs });
  }

  /** Takes the scenario's pods away and waits until kubelet has ended them. */
  async removePods(): Promise<void> {
    const names = [...this.#pods];
    for (const name of names) this.kubelet.remove(name);
    await this.until('kubelet to end its pods', () => this.areGone(names), 90_000);
    for (const name of names) this.#pods.delete(name);
  }

  /**
   * A text without what differs from run to run: addresses of registries, ids, addresses of pods,
   * durations, times.
   */
  normalise(text: string): string {
    const { open, auth } = this.stack.registry;
    return text
      .replaceAll(open.host, 'REGISTRY')
      .replaceAll(auth.host, 'PRIVATE')
      .replaceAll(this.stack.dir, 'DIR')
      .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, 'UID')
      .replace(/\(([0-9a-f]{32})\)/g, '(UID)')
      .replace(/(?<!sha256:)\b[0-9a-f]{64}\b/g, 'ID')
      .replace(/\b10\.\d+\.\d+\.\d+\b/g, 'IP')
      .replace(/\bback-off \w+ restarting/g, 'back-off TIME restarting')
      .replace(/127\.0\.0\.1:\d+->/g, '127.0.0.1:PORT->');
  }

  /**
   * Ends everything, and keeps the logs. Nothing that goes wrong here hides what went wrong before.
   */
  async down(): Promise<void> {
    const attempt = async (action: () => unknown): Promise<void> => {
      try {
        await action();
      } catch (error) {
        process.stderr.write(`${String(error)}\n`);
      }
    };
    await attempt(() => this.kubelet.kill());
    this.#recorder?.close();
    for (const { app } of [...this.#processes, ...this.runtime.processes]) {
      await attempt(() => app.kill());
    }
    await attempt(() => this.#keepLogs());
    await attempt(() => this.stack.down());
  }

  /**
   * Keeps logs of what a scenario has run by itself; a later one of the same name follows the
   * earlier.
   */
  keepLogs(logs: Readonly<Record<string, string>>): void {
    for (const [name, log] of Object.entries(logs)) {
      appendFileSync(path.join(this.settings.report, `${name}.log`), log);
    }
  }

  #keepLogs(): void {
    const { report } = this.settings;
    if (existsSync(this.kubelet.logFile)) {
      copyFileSync(this.kubelet.logFile, path.join(report, 'kubelet.log'));
    }
    const logs = path.resolve(this.stack.dir, '..', 'logs');
    for (const name of existsSync(logs) ? readdirSync(logs) : []) {
      copyFileSync(path.join(logs, name), path.join(report, name));
    }
    [...this.#processes, ...this.runtime.processes].forEach(({ name, app }, number) => {
      const file = path.join(report, `${number + 1}-${name}.log`);
      writeFileSync(file, `${app.stdout}${app.stderr}`);
    });
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself, with what it belonged to.
  }
}

const isAsExpected = (text: string, expected: string | RegExp): boolean =>
  typeof expected === 'string' ? text === expected : expected.test(text);
