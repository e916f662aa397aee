import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { claimKeeper, type KeeperClaim } from './cleanup/keeper';
import { withLock } from './cleanup/lock';
import {
  dockerDirs,
  hostIdentity,
  readManifests,
  selfIdentity,
  stacksDir,
  writeManifest,
  type StackManifest,
} from './cleanup/manifest';
import { ownerMarker, stackMarker } from './cleanup/processes';
import { sharedDirCandidates, sweepAbandoned, sweepStack } from './cleanup/sweep';
import {
  ContainerdProcess,
  containerdConfig,
  runtimeVersion,
  withCri,
  writeRegistryHosts,
} from './containerd';
import { CrioProcess, writeCrioConfig } from './crio';
import { DockerEngineProcess } from './docker-engine';
import { mountFilesystem } from './filesystem';
import { RegistryClient } from './image/push-image';
import { MirrorProxy } from './mirror-proxy';
import { NatsServerProcess } from './nats-server';
import { chooseSubnet, cniConfig, createBridge } from './network';
import { chooseStablePorts } from './ports';
import { requirePrerequisites, type ProgramName } from './prerequisites';
import { RegistryProcess, createAccount, type RegistryAccount } from './registry';
import { pullThroughCri, removePodThroughCri, runPodThroughCri } from './run-pod';
import { tail, type ServerProcess } from './server-process';
import { crioProgram, testRuntime, type CrioProgram, type TestRuntime } from './test-runtime';
import type {
  Containerd,
  CrioOptions,
  DockerEngine,
  DockerOptions,
  NatsServer,
  PushedImage,
  Registries,
  RunningPod,
  Stack,
  StackOptions,
  TestImage,
  TestPod,
} from './types';

const sandboxImage = { host: 'registry.k8s.io', name: 'pause', tag: '3.9' };

/**
 * Registries of the internet that the open registry answers for, so that no pull leaves the
 * machine.
 */
const mirroredHosts = [
  'docker.io',
  'registry.k8s.io',
  'k8s.gcr.io',
  'gcr.io',
  'ghcr.io',
  'quay.io',
];

/**
 * Starts real servers in a temporary folder, on free ports and a network of their own, and waits
 * until they answer. Several stacks, also of several processes, run side by side. A stack ends with
 * `down()`, or with the process that started it, however that ends.
 *
 * @throws {MissingPrerequisitesError} before anything is started, when the machine lacks something.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const isDocker = options.docker !== undefined;
  const parts = { containerd: !isDocker, registries: true, nats: true, ...options };
  // Two that hand out the addresses of one bridge would hand out the same.
  if (isDocker && parts.containerd) throw new RangeError('docker goes without containerd');
  const hasNetwork = parts.containerd || isDocker;
  if (parts.filesystemMb !== undefined && !(parts.filesystemMb >= 16 && hasNetwork)) {
    throw new RangeError(
      `filesystemMb is ${parts.filesystemMb}, must be 16 or more, and needs containerd`,
    );
  }
  if (parts.filesystemInodes !== undefined && parts.filesystemMb === undefined) {
    throw new RangeError('filesystemInodes needs filesystemMb');
  }
  const runtime: TestRuntime =
    parts.crio === undefined ? testRuntime() : { name: 'cri-o', ...crioProgram(parts.crio) };
  requirePrerequisites(programsFor(parts, runtime), { root: hasNetwork });
  const keeper = claimKeeper();
  let stack: RunningStack | undefined;
  try {
    await sweepAbandoned();
    const manifest = await reserve(hasNetwork, keeper.token);
    stack = new RunningStack(manifest, keeper);
    await stack.start(parts, runtime);
    return stack;
  } catch (error) {
    const logs = stack?.logs() ?? '';
    if (stack === undefined) await keeper.release();
    else await stack.down();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`the test stack did not start: ${reason}\n${logs}`.trimEnd(), { cause: error });
  }
}

function programsFor(parts: StackOptions, runtime: TestRuntime): ProgramName[] {
  const programs: ProgramName[] = [];
  if (parts.containerd) {
    programs.push('cni', 'iptables', 'ip', 'mount');
    if (runtime.name === 'containerd') programs.push('containerd', 'runc');
  }
  if (parts.docker !== undefined) programs.push('dockerd', 'ip', 'mount');
  if (parts.registries) programs.push('docker-registry', 'htpasswd', 'busybox');
  if (parts.nats) programs.push('nats-server');
  if (parts.filesystemMb !== undefined) programs.push('mkfs.ext4');
  return programs;
}

/**
 * Writes the manifest of a new stack, with ports and a subnet that no other stack has, and makes
 * its bridge.
 */
function reserve(network: boolean, ownerToken: string): Promise<StackManifest> {
  return withLock('stacks', async () => {
    const others = readManifests();
    const id = randomBytes(4).toString('hex');
    const dir = path.join(stacksDir, id);
    const manifest: StackManifest = {
      id,
      dir,
      ownerToken,
      owner: selfIdentity(),
      ...hostIdentity(),
      containerdSocket: path.join(dir, 'containerd.sock'),
      containerdStateDir: path.join(dir, 'state'),
      network: `stowage-${id}`,
      bridge: `stw${id}`,
      subnet: network ? await chooseSubnet(others.map(({ subnet }) => subnet)) : '',
      ports: await chooseStablePorts(
        3,
        others.flatMap(({ ports }) => ports),
      ),
      sharedDirs: sharedDirCandidates.filter(
        (shared) =>
          !existsSync(shared) || others.some(({ sharedDirs }) => sharedDirs.includes(shared)),
      ),
    };
    writeManifest(manifest);
    if (network) await createBridge(manifest.bridge, manifest.subnet, markers(manifest));
    return manifest;
  });
}

/** Environment of every process started for a stack, by which the clean-up finds it. */
function markers({ id, ownerToken }: StackManifest): Record<string, string> {
  return { [stackMarker]: id, [ownerMarker]: ownerToken };
}

class RunningStack implements Stack {
  readonly id: string;
  readonly dir: string;
  readonly sandboxImage = `${sandboxImage.host}/${sandboxImage.name}:${sandboxImage.tag}`;
  readonly #servers: { name: string; server: ServerProcess }[] = [];
  readonly #env: Record<string, string>;
  #runtime: ContainerdProcess | CrioProcess | undefined;
  #docker: DockerEngineProcess | undefined;
  #mirrorProxy: MirrorProxy | undefined;
  #nats: NatsServer | undefined;
  #registries: Registries | undefined;
  #pushTo: { open: RegistryClient; auth: RegistryClient } | undefined;
  #pods = 0;
  #down: Promise<void> | undefined;

  constructor(
    private readonly manifest: StackManifest,
    private readonly keeper: KeeperClaim,
  ) {
    this.id = manifest.id;
    this.dir = path.join(manifest.dir, 'test');
    this.#env = markers(manifest);
  }

  async start(parts: StackOptions, runtime: TestRuntime): Promise<void> {
    const { dir, ports } = this.manifest;
    for (const folder of [this.dir, path.join(dir, 'logs')]) mkdirSync(folder);
    const [openPort = 0, authPort = 0, natsPort = 0] = ports;
    await Promise.all([
      parts.registries === false ? undefined : this.#startRegistries(openPort, authPort),
      parts.nats === false ? undefined : this.#startNats(natsPort),
      parts.containerd === false ? undefined : this.#startRuntime(parts, runtime),
      parts.docker === undefined ? undefined : this.#startDocker(parts.docker, parts),
    ]);
  }

  get runtime(): ContainerdProcess | CrioProcess {
    return this.#runtime ?? this.#absent('containerd');
  }

  get containerd(): Containerd {
    const { runtime } = this;
    if (runtime.name === 'containerd') return runtime;
    throw new Error(`this test stack runs ${runtime.name}, not containerd: ask stack.runtime`);
  }

  get docker(): DockerEngine {
    return this.#docker ?? this.#absent('docker');
  }

  get nats(): NatsServer {
    return this.#nats ?? this.#absent('nats');
  }

  get registry(): Registries {
    return this.#registries ?? this.#absent('registries');
  }

  async pushImage(image: TestImage): Promise<PushedImage> {
    const registries = this.#pushTo ?? this.#absent('registries');
    const pushed = await registries[image.to ?? 'open'].push(image);
    const imageId = this.#runtime?.imageIdOf(pushed.imageId) ?? pushed.imageId;
    return { ...pushed, imageId };
  }

  pullImage(reference: string, auth?: { username: string; password: string }): Promise<string> {
    return withCri(this.runtime.socket, (cri) => pullThroughCri(cri, reference, auth));
  }

  async runPod(pod: TestPod): Promise<RunningPod> {
    this.#pods += 1;
    const name = pod.name ?? `pod-${this.#pods}`;
    const { socket } = this.runtime;
    const running = await withCri(socket, (cri) => runPodThroughCri(cri, { ...pod, name }));
    return {
      ...running,
      remove: () => withCri(socket, (cri) => removePodThroughCri(cri, running.podSandboxId)),
    };
  }

  logs({ linesEach = 40 }: { linesEach?: number } = {}): string {
    return this.#servers
      .map(({ name, server }) => `--- ${name}\n${tail(server.log(), linesEach)}\n`)
      .join('');
  }

  down(): Promise<void> {
    this.#down ??= (async () => {
      this.#pushTo?.open.close();
      this.#pushTo?.auth.close();
      this.#mirrorProxy?.stop();
      this.#pushTo = this.#registries = this.#runtime = this.#docker = undefined;
      this.#nats = undefined;
      try {
        await sweepStack(this.manifest);
      } finally {
        await this.keeper.release();
      }
    })();
    return this.#down;
  }

  async #startRegistries(openPort: number, authPort: number): Promise<void> {
    const { dir } = this.manifest;
    const account = await createAccount(path.join(dir, 'registry-auth.htpasswd'));
    const open = new RegistryProcess(openPort, { name: 'registry-open', dir, env: this.#env });
    const auth = new RegistryProcess(authPort, {
      name: 'registry-auth',
      dir,
      env: this.#env,
      account,
    });
    this.#servers.push(
      { name: 'registry-open', server: open },
      { name: 'registry-auth', server: auth },
    );
    await Promise.all([open.start(), auth.start()]);
    this.#registries = { open, auth: withAccount(auth, account) };
    this.#pushTo = {
      open: new RegistryClient(open.host),
      auth: new RegistryClient(auth.host, account),
    };
    const { name, tag } = sandboxImage;
    // The first process of a container is not given a signal that it does not wait for yet, and
    // CRI-O waits minutes for its end. SIGKILL always ends it.
    const command = ['/bin/sleep', '2147483647'];
    await this.pushImage({ name, tag, command, stopSignal: 'SIGKILL' });
  }

  async #startNats(port: number): Promise<void> {
    const nats = new NatsServerProcess(port, { dir: this.manifest.dir, env: this.#env });
    this.#servers.push({ name: 'nats-server', server: nats });
    await nats.start();
    this.#nats = nats;
  }

  async #startRuntime(parts: StackOptions, runtime: TestRuntime): Promise<void> {
    const { dir, network, bridge, subnet, ports } = this.manifest;
    const within = (name: string): string => path.join(dir, name);
    const root = within(parts.crio?.imageStore === true ? 'images' : 'root');
    for (const folder of [root, within('cni')]) mkdirSync(folder);
    const { filesystemMb, filesystemInodes } = parts;
    if (filesystemMb !== undefined) {
      const file = within('root.ext4');
      await mountFilesystem(file, root, filesystemMb, this.#env, filesystemInodes);
    }
    writeFileSync(
      within('cni/10-stowage.conflist'),
      cniConfig(network, bridge, subnet, within('ipam')),
    );
    const [open = '', auth = ''] = ports.map((port) => `127.0.0.1:${port}`);
    const server =
      runtime.name === 'containerd'
        ? await this.#makeContainerd(root, { open, auth })
        : await this.#makeCrio(root, open, runtime, parts.crio);
    this.#servers.push({ name: server.name, server });
    await server.start();
    this.#runtime = server;
  }

  async #startDocker(
    options: DockerOptions,
    { filesystemMb, filesystemInodes }: StackOptions,
  ): Promise<void> {
    const { dir, bridge, network, ports } = this.manifest;
    if (filesystemMb !== undefined) {
      const { root } = dockerDirs(dir);
      mkdirSync(root);
      const file = path.join(dir, 'root.ext4');
      await mountFilesystem(file, root, filesystemMb, this.#env, filesystemInodes);
    }
    const [open = '', auth = ''] = ports.map((port) => `127.0.0.1:${port}`);
    this.#mirrorProxy = new MirrorProxy(open, mirroredHosts);
    const proxy = await this.#mirrorProxy.start();
    const server = new DockerEngineProcess({
      ...options,
      dir,
      version: await runtimeVersion('dockerd'),
      bridge,
      cgroupParent: `/${network}`,
      insecureRegistries: [open, auth, ...mirroredHosts],
      mirror: `http://${open}`,
      env: { ...this.#env, HTTP_PROXY: proxy, HTTPS_PROXY: proxy },
    });
    this.#servers.push({ name: 'dockerd', server });
    if (options.started ?? true) await server.start();
    this.#docker = server;
  }

  async #makeContainerd(
    root: string,
    { open, auth }: { open: string; auth: string },
  ): Promise<ContainerdProcess> {
    const { dir, containerdSocket, containerdStateDir } = this.manifest;
    const within = (name: string): string => path.join(dir, name);
    mkdirSync(within('hosts'));
    writeRegistryHosts(within('hosts'), [open, ...mirroredHosts], `http://${open}`);
    writeRegistryHosts(within('hosts'), [auth], `http://${auth}`);
    writeFileSync(
      within('containerd.toml'),
      containerdConfig({
        root,
        state: containerdStateDir,
        socket: containerdSocket,
        dir,
        cniConfDir: within('cni'),
        registryConfigDir: within('hosts'),
        sandboxImage: this.sandboxImage,
      }),
    );
    return new ContainerdProcess(containerdSocket, root, await runtimeVersion('containerd'), {
      file: within('containerd.toml'),
      logFile: within('logs/containerd.log'),
      env: this.#env,
    });
  }

  async #makeCrio(
    root: string,
    mirror: string,
    program: CrioProgram,
    options: CrioOptions = {},
  ): Promise<CrioProcess> {
    const { dir } = this.manifest;
    const socket = path.join(dir, 'crio.sock');
    writeCrioConfig({
      ...options,
      program,
      dir,
      root,
      socket,
      cniConfDir: path.join(dir, 'cni'),
      sandboxImage: this.sandboxImage,
      mirror: { host: mirror, of: mirroredHosts },
      env: this.#env,
    });
    const version = await runtimeVersion(program.crio);
    return new CrioProcess(socket, root, version, program.events, {
      program: program.crio,
      dir,
      env: this.#env,
    });
  }

  #absent(part: keyof StackOptions): never {
    throw new Error(
      this.#down === undefined
        ? `this test stack was started ${part === 'docker' ? 'without docker' : `with ${part}: false`}`
        : 'this test stack is down',
    );
  }
}

function withAccount(registry: RegistryProcess, account: RegistryAccount): Registries['auth'] {
  return Object.assign(registry, account);
}
