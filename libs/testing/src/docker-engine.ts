import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { dockerContainerd, dockerDirs } from './cleanup/manifest';
import { findByArgument, killProcesses } from './cleanup/processes';
import { mayLowerOomScore } from './containerd';
import { ServerProcess } from './server-process';
import type { DockerEngine, DockerOptions, RuntimeVersion } from './types';

/** What dockerd is started with. */
export interface DockerEngineConfig extends DockerOptions {
  /** Folder of the stack. */
  dir: string;
  version: RuntimeVersion;
  /** Bridge of the stack, which has its address already. */
  bridge: string;
  /** Control group, below each hierarchy, of the containers that ask for no other. */
  cgroupParent: string;
  /** Registries without TLS, as `host:port`. */
  insecureRegistries: readonly string[];
  /** Address of the registry that answers for docker.io. */
  mirror: string;
  env: Readonly<Record<string, string>>;
}

/** The first versions with what tests ask for. */
const firstWithContainerdStore = 24;
const firstWithCdi = 25;
const lastWithOomScoreAdjust = 23;
const lastWithKeyFile = 22;

/** `containerd` where the environment asks for it. */
const imageStoreOfTests = (): 'graph-driver' | 'containerd' =>
  process.env.STOWAGE_TEST_DOCKER_IMAGE_STORE === 'containerd' ? 'containerd' : 'graph-driver';

/**
 * dockerd with data, state, socket and network of its own. It changes no sysctl and no packet
 * filter of the machine.
 */
export class DockerEngineProcess extends ServerProcess implements DockerEngine {
  readonly socket: string;
  readonly endpoint: string;
  readonly root: string;
  readonly version: RuntimeVersion;
  readonly cgroupParent: string;
  readonly cdiDir: string;
  readonly imageStore: 'graph-driver' | 'containerd';
  readonly #configFile: string;
  readonly #config: DockerEngineConfig;

  constructor(config: DockerEngineConfig) {
    const { dir, version, env, imageStore = imageStoreOfTests() } = config;
    if (imageStore === 'containerd' && version.major < firstWithContainerdStore) {
      throw new Error(
        `Docker Engine ${version.major} has no containerd image store, ${firstWithContainerdStore} is the first with one`,
      );
    }
    const { root, execRoot } = dockerDirs(dir);
    const socket = path.join(dir, 'docker.sock');
    const configFile = path.join(dir, 'docker.json');
    super({
      name: 'dockerd',
      command: 'dockerd',
      args: [
        ...['--config-file', configFile, '--host', `unix://${socket}`],
        ...[
          '--data-root',
          root,
          '--exec-root',
          execRoot,
          '--pidfile',
          path.join(dir, 'docker.pid'),
        ],
      ],
      env: { ...env, HOME: dir, DOCKER_TMPDIR: path.join(dir, 'docker-tmp') },
      logFile: path.join(dir, 'logs', 'dockerd.log'),
      isReady: async () => (await askEngine(socket, 'GET', '/_ping')).status === 200,
    });
    this.#config = config;
    this.#configFile = configFile;
    this.socket = socket;
    this.endpoint = `unix://${socket}`;
    this.root = root;
    this.version = version;
    this.cgroupParent = config.cgroupParent;
    this.cdiDir = path.join(dir, 'docker-cdi');
    this.imageStore = imageStore;
    // Where the engine watches for devices; it has to be there at its start.
    for (const folder of [root, this.cdiDir]) {
      mkdirSync(folder, { recursive: true });
    }
    this.#writeConfig({});
  }

  /**
   * With the containerd that it has started. One that nobody has collected yet counts as running
   * for the next dockerd.
   */
  override async kill(): Promise<void> {
    await super.kill();
    await this.#containerdGone();
  }

  override async stop(): Promise<void> {
    await super.stop();
    await this.#containerdGone();
  }

  async #containerdGone(): Promise<void> {
    const { socket } = dockerContainerd(this.#config.dir);
    const file = path.join(path.dirname(socket), 'containerd.toml');
    const survivors = await killProcesses(() =>
      findByArgument(file).filter(({ pid }) => pid !== this.pid),
    );
    if (survivors.length > 0) throw new Error('the containerd of dockerd does not end');
    rmSync(path.join(path.dirname(socket), 'containerd.pid'), { force: true });
  }

  async api(method: string, target: string, body?: unknown): Promise<unknown> {
    const { status, text } = await askEngine(this.socket, method, target, body);
    if (status >= 300)
      throw new Error(`dockerd answered ${method} ${target} with ${status}: ${text}`);
    return text.startsWith('{') || text.startsWith('[')
      ? JSON.parse(text.split('\n', 1).join())
      : text;
  }

  configure(settings: Readonly<Record<string, unknown>>): void {
    this.#writeConfig(settings);
  }

  #writeConfig(settings: Readonly<Record<string, unknown>>): void {
    const { version, bridge, cgroupParent, insecureRegistries, mirror, liveRestore, dir } =
      this.#config;
    writeFileSync(
      this.#configFile,
      JSON.stringify({
        bridge,
        iptables: false,
        ip6tables: false,
        'ip-forward': false,
        'ip-masq': false,
        group: 'root',
        'cgroup-parent': cgroupParent,
        'exec-opts': ['native.cgroupdriver=cgroupfs'],
        'insecure-registries': insecureRegistries,
        'registry-mirrors': [mirror],
        'live-restore': liveRestore ?? false,
        ...(version.major >= firstWithContainerdStore && {
          features: {
            'containerd-snapshotter': this.imageStore === 'containerd',
            ...(version.major >= firstWithCdi && { cdi: true }),
          },
        }),
        ...(version.major >= firstWithCdi && { 'cdi-spec-dirs': [this.cdiDir] }),
        ...(version.major <= lastWithOomScoreAdjust &&
          !mayLowerOomScore() && { 'oom-score-adjust': 0 }),
        ...(version.major <= lastWithKeyFile && {
          'deprecated-key-path': path.join(dir, 'docker-key.json'),
        }),
        ...settings,
      }),
    );
  }
}

/**
 * One request to an engine's socket, past every service of the suite. A body goes and comes as
 * JSON.
 */
export function askEngine(
  socketPath: string,
  method: string,
  target: string,
  body?: unknown,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const content = body === undefined ? undefined : JSON.stringify(body);
    const request = http.request({
      socketPath,
      method,
      path: target,
      agent: false,
      headers: {
        host: 'docker',
        ...(content !== undefined && { 'content-type': 'application/json' }),
      },
    });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.end(content);
  });
}
