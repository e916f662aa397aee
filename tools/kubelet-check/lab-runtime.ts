import path from 'node:path';
import {
  dockerDirs,
  dockerShimOn,
  spawnApp,
  type AppProcess,
  type PushedImage,
  type Server,
  type Stack,
} from '@stowage/testing';
import { Kubelet } from './kubelet';

/** What the services of a way, or kubelet itself, have for a runtime. Containers outlive it. */
export interface LabRuntime extends Pick<Server, 'start' | 'stop' | 'kill'> {
  /** Of the CRI, with `unix://`. */
  readonly endpoint: string;
  /** Whether it serves GetContainerEvents. */
  readonly hasEventStream: boolean;
  /** How often a layer lies on its disk: as it came and unpacked, or unpacked alone. */
  readonly layerCopies: 1 | 2;
  /** Processes that a power cut ends, beside those of containers. */
  readonly pids: readonly number[];
  /** Stands in the command line of each process that looks after a container. */
  readonly shimMark: string;
  /** Folder of what it keeps for as long as the machine runs. */
  readonly stateDir: string;
  /** Its program's own log, where the stack does not keep it. */
  readonly processes: readonly { readonly name: string; readonly app: AppProcess }[];
  /** Collects what a power cut has ended. */
  afterPowerCut(): Promise<void>;
  /** Starts all of it, as a boot does. */
  boot(): Promise<void>;
  /** Removes an image with all its names, past every service on the way. */
  removeImage(image: PushedImage): Promise<void>;
  /** Whether it has anything of a pod, as its own API says. */
  hasContainersOf(pod: string): Promise<boolean>;
}

/** The containerd of a stack. */
export class ContainerdRuntime implements LabRuntime {
  readonly processes = [];

  constructor(private readonly stack: Stack) {}

  get endpoint(): string {
    return this.stack.containerd.endpoint;
  }

  get hasEventStream(): boolean {
    return this.stack.containerd.hasEventStream;
  }

  get layerCopies(): 1 | 2 {
    return this.stack.containerd.layerCopies;
  }

  get pids(): readonly number[] {
    const { pid } = this.stack.containerd;
    return pid === undefined ? [] : [pid];
  }

  get shimMark(): string {
    return this.stack.containerd.socket;
  }

  get stateDir(): string {
    return path.resolve(this.stack.dir, '..', 'state');
  }

  start(): Promise<void> {
    return this.stack.containerd.start();
  }

  stop(): Promise<void> {
    return this.stack.containerd.stop();
  }

  kill(): Promise<void> {
    return this.stack.containerd.kill();
  }

  afterPowerCut(): Promise<void> {
    return this.kill();
  }

  boot(): Promise<void> {
    return this.start();
  }

  async removeImage({ reference, repoDigest, imageId }: PushedImage): Promise<void> {
    const names = [reference, repoDigest, imageId];
    await this.stack.containerd.ctr('images', 'remove', '--sync', ...names);
  }

  async hasContainersOf(pod: string): Promise<boolean> {
    const filter = `labels."io.kubernetes.pod.name"==${pod}`;
    const list = await this.stack.containerd.ctr('containers', 'list', '-q', filter);
    return list.trim() !== '';
  }
}

/** docker-shim on the Docker Engine of a stack. It is what starts and ends; the engine runs on. */
export class DockerShimRuntime implements LabRuntime {
  readonly endpoint: string;
  readonly hasEventStream = true;
  readonly processes: { name: string; app: AppProcess }[] = [];
  readonly #env: Readonly<Record<string, string>>;
  #shim: AppProcess | undefined;

  constructor(private readonly stack: Stack) {
    const { endpoint, env } = dockerShimOn(stack);
    this.endpoint = endpoint;
    this.#env = {
      ...env,
      STOWAGE_NODE_NAME: Kubelet.node,
      STOWAGE_NATS_SERVERS: stack.nats.url,
      STOWAGE_DOCKER_CONFIG_DIRS: '',
      STOWAGE_IMPORT_CHECKPOINTS_FROM: '',
    };
  }

  get layerCopies(): 1 | 2 {
    return this.stack.docker.imageStore === 'containerd' ? 2 : 1;
  }

  get pids(): readonly number[] {
    return [this.stack.docker.pid, this.#shim?.pid].filter((pid) => pid !== undefined);
  }

  get #execRoot(): string {
    return dockerDirs(path.dirname(this.stack.dir)).execRoot;
  }

  get shimMark(): string {
    return path.join(this.#execRoot, 'containerd');
  }

  get stateDir(): string {
    return this.#execRoot;
  }

  async start(): Promise<void> {
    this.#shim = await spawnApp('docker-shim', { env: this.#env });
    this.processes.push({ name: 'docker-shim', app: this.#shim });
  }

  async stop(): Promise<void> {
    await this.#shim?.stop();
  }

  async kill(): Promise<void> {
    await this.#shim?.kill();
  }

  async afterPowerCut(): Promise<void> {
    await this.kill();
    await this.stack.docker.kill();
  }

  async boot(): Promise<void> {
    await this.stack.docker.start();
    await this.start();
  }

  async removeImage({ imageId }: PushedImage): Promise<void> {
    await this.stack.docker.api('DELETE', `/images/${imageId}?force=true`);
  }

  async hasContainersOf(pod: string): Promise<boolean> {
    const label = `io.kubernetes.pod.name=${pod}`;
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    const list = await this.stack.docker.api('GET', `/containers/json?all=true&filters=${filters}`);
    return (list as unknown[]).length > 0;
  }
}
