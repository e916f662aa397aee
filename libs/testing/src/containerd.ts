import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { createChannel, createClient, type Channel, type Client } from 'nice-grpc';
import { ImageServiceDefinition, RuntimeServiceDefinition } from '@stowage/cri-proto';
import { runProgram } from './run-program';
import { ServerProcess } from './server-process';
import type { Containerd, RuntimeVersion } from './types';

/** CRI clients straight to the stack's runtime. */
export interface CriConnection {
  runtime: Client<typeof RuntimeServiceDefinition>;
  image: Client<typeof ImageServiceDefinition>;
}

/** Opens a CRI connection for the length of one action. */
export async function withCri<T>(
  socket: string,
  action: (cri: CriConnection) => Promise<T>,
): Promise<T> {
  const channel: Channel = createChannel(`unix://${socket}`, undefined, {
    'grpc.default_authority': 'localhost',
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
    'grpc.use_local_subchannel_pool': 1,
  });
  try {
    return await action({
      runtime: createClient(RuntimeServiceDefinition, channel),
      image: createClient(ImageServiceDefinition, channel),
    });
  } finally {
    channel.close();
  }
}

/** containerd with root, state, socket and network of its own. */
export class ContainerdProcess extends ServerProcess implements Containerd {
  readonly name = 'containerd';
  readonly layerCopies = 2;
  readonly endpoint: string;
  readonly reportsPinned: boolean;
  readonly hasEventStream: boolean;
  #servesCri = true;

  constructor(
    readonly socket: string,
    readonly root: string,
    readonly version: RuntimeVersion,
    private readonly config: {
      file: string;
      logFile: string;
      env: Readonly<Record<string, string>>;
    },
  ) {
    super({
      name: 'containerd',
      command: 'containerd',
      args: ['--config', config.file],
      env: config.env,
      logFile: config.logFile,
      isReady: async () => (this.#servesCri ? isRuntimeReady(socket) : isConnectable(socket)),
    });
    this.endpoint = `unix://${socket}`;
    this.reportsPinned = reportsPinned(version);
    this.hasEventStream = version.major >= 2;
  }

  imageIdOf(configDigest: string): string {
    return configDigest;
  }

  async imageNames(): Promise<string[]> {
    const listed = await this.ctr('images', 'ls', '-q');
    return listed.split('\n').filter((name) => name !== '');
  }

  async removeImages(imageIds: readonly string[]): Promise<void> {
    const names = await withCri(this.socket, async ({ image }) =>
      (await image.listImages({})).images
        .filter(({ id }) => imageIds.includes(id))
        .flatMap(({ id, repoTags, repoDigests }) => [id, ...repoTags, ...repoDigests]),
    );
    await this.ctr('images', 'rm', '--sync', ...names);
  }

  serveCri(isServed: boolean): void {
    if (isServed === this.#servesCri) return;
    this.#servesCri = isServed;
    const { file } = this.config;
    const text = readFileSync(file, 'utf8');
    const begin = 'disabled_plugins = [\n';
    const cri = '  "io.containerd.grpc.v1.cri",\n';
    writeFileSync(file, isServed ? text.replace(cri, '') : text.replace(begin, begin + cri));
  }

  ctr(...args: string[]): Promise<string> {
    return runProgram('ctr', ['--address', this.socket, '--namespace', 'k8s.io', ...args]);
  }
}

/** Whether a runtime says of itself and of its network that they are ready. */
export async function isRuntimeReady(socket: string): Promise<boolean> {
  // A channel that is closed between two attempts to connect makes the second one all the same and
  // keeps the connection, on which nothing is ever sent; CRI-O waits for the end of such ones when
  // it is stopped.
  await connects(socket);
  return withCri(socket, async ({ runtime }) => {
    const { status } = await runtime.status({}, { signal: AbortSignal.timeout(10_000) });
    return ['RuntimeReady', 'NetworkReady'].every((type) =>
      status?.conditions.some((condition) => condition.type === type && condition.status),
    );
  });
}

const isConnectable = (socket: string): Promise<boolean> =>
  connects(socket).then(
    () => true,
    () => false,
  );

/** Resolves when something listens there; rejects when nothing does. */
async function connects(socket: string): Promise<void> {
  const connection = connect(socket);
  try {
    await once(connection, 'connect');
  } finally {
    connection.destroy();
  }
}

/** Version that a program names with `--version`. */
export async function runtimeVersion(program: string): Promise<RuntimeVersion> {
  const text = await runProgram(program, ['--version']);
  const match = /\bv?(\d+)\.(\d+)\.(\d+)/.exec(text);
  if (match == null)
    throw new Error(`${program} --version says "${text.trim()}", without a version`);
  const [major = 0, minor = 0, patch = 0] = match.slice(1).map(Number);
  return { major, minor, patch };
}

/** Backported to 1.6.22 and 1.7.3; part of every 2.x. */
const reportsPinned = ({ major, minor, patch }: RuntimeVersion): boolean =>
  major > 1 || (minor === 6 && patch >= 22) || (minor === 7 && patch >= 3);

/** What goes into containerd's configuration file. */
export interface ContainerdConfig {
  root: string;
  state: string;
  socket: string;
  /** Folder for everything that would otherwise lie in a folder of the machine. */
  dir: string;
  cniConfDir: string;
  /** Folder with one `hosts.toml` a registry. */
  registryConfigDir: string;
  sandboxImage: string;
}

/**
 * containerd's configuration, in version 2 of the format: 1.6 and 1.7 know no later one, 2.x
 * converts it.
 */
export function containerdConfig(config: ContainerdConfig): string {
  const text = (value: string): string => JSON.stringify(value);
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = ${text(config.root)}
state = ${text(config.state)}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = ${text(config.socket)}

[${cri}]
  sandbox_image = ${text(config.sandboxImage)}
  restrict_oom_score_adj = ${String(!mayLowerOomScore())}
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [${cri}.cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = ${text(config.cniConfDir)}
  [${cri}.registry]
    config_path = ${text(config.registryConfigDir)}
  [${cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [${cri}.containerd.runtimes.runc.options]
      Root = ${text(path.join(config.dir, 'runc'))}

[plugins."io.containerd.internal.v1.opt"]
  path = ${text(path.join(config.dir, 'opt'))}

[plugins."io.containerd.nri.v1.nri"]
  disable = true
`;
}

/**
 * Configures containerd to reach `hosts` at a plain-http registry. Read at each pull, so it may
 * change while containerd runs.
 */
export function writeRegistryHosts(
  registryConfigDir: string,
  hosts: readonly string[],
  registryUrl: string,
): void {
  for (const host of hosts) {
    const dir = path.join(registryConfigDir, host);
    mkdirSync(dir, { recursive: true });
    writeFileSync(
      path.join(dir, 'hosts.toml'),
      `server = "${registryUrl}"\n[host."${registryUrl}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
  }
}

/**
 * Whether this process has CAP_SYS_RESOURCE (bit 24), without which no sandbox can lower its OOM
 * score.
 */
export function mayLowerOomScore(): boolean {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return (BigInt(`0x${match?.[1] ?? '0'}`) & (1n << 24n)) !== 0n;
}
