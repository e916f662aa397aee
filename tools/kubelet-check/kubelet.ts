import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ServerProcess } from '@stowage/testing';
import { askHttps } from './ask-https';

export interface Endpoints {
  /** CRI endpoint for runtime calls, with `unix://`. */
  readonly runtime: string;
  readonly image: string;
}

export interface KubeletSettings {
  readonly program: string;
  /** Folder for all that kubelet writes. */
  readonly dir: string;
  /** Name of the control group, in every hierarchy, below which its pods lie. */
  readonly controlGroup: string;
  /** Environment by which its process is found again. */
  readonly env: Readonly<Record<string, string>>;
}

/** What a start of kubelet has other than usual. */
export interface KubeletVariant {
  /** Keys of KubeletConfiguration over the usual ones. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly flags?: readonly string[];
}

/** The part of a pod's manifest and status that is used here. */
export interface Pod {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid?: string };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: PodStatus;
}

export interface PodStatus {
  readonly phase?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly podIP?: string;
  readonly initContainerStatuses?: ContainerStatus[];
  readonly containerStatuses?: ContainerStatus[];
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly image: string;
  readonly imageID: string;
  readonly containerID?: string;
  /** What it has, by the runtime. */
  readonly resources?: { readonly limits?: Readonly<Record<string, string>> };
  readonly state: ContainerState;
  readonly lastState?: ContainerState;
}

export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: { readonly startedAt?: string };
  readonly terminated?: {
    readonly exitCode: number;
    readonly signal?: number;
    readonly reason?: string;
    readonly message?: string;
    readonly startedAt?: string;
    readonly finishedAt?: string;
  };
}

/** A kubelet without an API server: it runs what lies in a folder of manifests. */
export class Kubelet {
  /** Name of its node, which it appends to the names of pods. */
  static readonly node = 'node';
  /** Of its own API; it lies in a network namespace that holds nothing else. */
  static readonly port = 10250;
  readonly logFile: string;
  readonly #dir: string;
  readonly #settings: KubeletSettings;
  #process: ServerProcess | undefined;

  constructor(settings: KubeletSettings) {
    this.#settings = settings;
    this.#dir = settings.dir;
    this.logFile = path.join(this.#dir, 'kubelet.log');
    for (const folder of ['manifests', 'root', 'pod-logs', 'volume-plugins']) {
      mkdirSync(path.join(this.#dir, folder), { recursive: true });
    }
  }

  /** Where kubelet keeps its state: pods' volumes, records of pulls. */
  get rootDir(): string {
    return path.join(this.#dir, 'root');
  }

  /** Folder of the logs of pods. */
  get podLogsDir(): string {
    return path.join(this.#dir, 'pod-logs');
  }

  /** Starts it and waits until it answers. `variant` holds for this start alone. */
  async start(
    endpoints: Endpoints,
    { config = {}, flags = [] }: KubeletVariant = {},
  ): Promise<void> {
    const { program, controlGroup, env } = this.#settings;
    const within = (name: string): string => path.join(this.#dir, name);
    const configuration = {
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      containerRuntimeEndpoint: endpoints.runtime,
      imageServiceEndpoint: endpoints.image,
      staticPodPath: within('manifests'),
      podLogsDir: this.podLogsDir,
      volumePluginDir: within('volume-plugins'),
      address: '127.0.0.1',
      port: Kubelet.port,
      healthzPort: 0,
      registerNode: false,
      enableControllerAttachDetach: false,
      authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
      authorization: { mode: 'AlwaysAllow' },
      cgroupDriver: 'cgroupfs',
      cgroupRoot: `/${controlGroup}`,
      // A machine with control groups of version 1 is as good for what is compared here.
      failCgroupV1: false,
      enforceNodeAllocatable: [],
      failSwapOn: false,
      makeIPTablesUtilChains: false,
      oomScoreAdj: 0,
      evictionHard: {
        'memory.available': '50Mi',
        'nodefs.available': '1%',
        'imagefs.available': '1%',
      },
      // Collections of the machine's disk are no part of a scenario that does not ask for them.
      imageGCHighThresholdPercent: 100,
      fileCheckFrequency: '1s',
      syncFrequency: '5s',
      ...config,
    };
    // JSON is YAML.
    writeFileSync(within('config.yaml'), JSON.stringify(configuration, undefined, 2));
    this.#process = new ServerProcess({
      name: 'kubelet',
      command: program,
      args: [
        ...['--config', within('config.yaml'), '--root-dir', this.rootDir],
        ...['--cert-dir', within('certificates'), '--hostname-override', Kubelet.node],
        ...['--v=2', ...flags],
      ],
      env,
      logFile: this.logFile,
      isReady: async () => (await this.get('/healthz')).status === 200,
    });
    await this.#process.start();
  }

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  /** Lets kubelet run a pod. What is there under the same name is replaced. */
  add(pod: Pod): void {
    const file = this.#manifest(pod.metadata.name);
    const half = path.join(this.#dir, `${pod.metadata.name}.new`);
    writeFileSync(half, JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...pod }, undefined, 2));
    renameSync(half, file); // never a file that is half written
  }

  remove(name: string): void {
    rmSync(this.#manifest(name), { force: true });
  }

  #manifest(name: string): string {
    return path.join(this.#dir, 'manifests', `${name}.yaml`);
  }

  /** The pods it knows, with their names as in their manifests. */
  async pods(): Promise<Pod[]> {
    const { status, body } = await this.get('/pods');
    if (status !== 200) throw new Error(`kubelet answered /pods with ${status}: ${body}`);
    const { items } = JSON.parse(body) as { items: Pod[] | null };
    const suffix = `-${Kubelet.node}`;
    return (items ?? []).map((pod) => {
      const { name } = pod.metadata;
      return { ...pod, metadata: { ...pod.metadata, name: name.slice(0, -suffix.length) } };
    });
  }

  /** One GET of its API. */
  get(target: string): Promise<{ status: number; body: string }> {
    return this.#ask('GET', target);
  }

  /** One POST of its API, for instance `/run/…`. */
  post(
    target: string,
    options: { timeoutMs?: number } = {},
  ): Promise<{ status: number; body: string }> {
    return this.#ask('POST', target, options);
  }

  #ask(
    method: string,
    target: string,
    { timeoutMs = 20_000 }: { timeoutMs?: number } = {},
  ): Promise<{ status: number; body: string }> {
    return askHttps({ port: Kubelet.port, path: target, method, timeoutMs });
  }
}
