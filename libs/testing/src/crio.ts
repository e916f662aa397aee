import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isRuntimeReady, mayLowerOomScore, withCri } from './containerd';
import { findProgram } from './run-program';
import { ServerProcess } from './server-process';
import type { CrioProgram } from './test-runtime';
import type { Crio, CrioOptions, RuntimeVersion } from './types';

/** CRI-O with storage, state, socket and network of its own. */
export class CrioProcess extends ServerProcess implements Crio {
  readonly name = 'cri-o';
  readonly layerCopies = 1;
  readonly configFile: string;
  readonly downloads: string;
  readonly endpoint: string;
  readonly reportsPinned = true;

  constructor(
    readonly socket: string,
    readonly root: string,
    readonly version: RuntimeVersion,
    readonly hasEventStream: boolean,
    config: { program: string; dir: string; env: Readonly<Record<string, string>> },
  ) {
    const within = (name: string): string => path.join(config.dir, name);
    super({
      name: 'crio',
      command: config.program,
      args: [
        ...['--config', within('crio.conf'), '--config-dir', within('crio.conf.d')],
        ...['--registries-conf', within('registries.conf')],
        ...['--registries-conf-dir', within('registries.conf.d')],
      ],
      env: { ...config.env, HOME: within('home'), CONTAINERS_STORAGE_CONF: within('storage.conf') },
      logFile: within('logs/crio.log'),
      isReady: () => isRuntimeReady(socket),
    });
    this.endpoint = `unix://${socket}`;
    this.configFile = within('crio.conf');
    this.downloads = within('crio-tmp');
  }

  /**
   * A CRI-O that does not end, as for a connection on which nothing was ever sent, is killed, as
   * its unit's `TimeoutStopSec` does.
   */
  override async stop(): Promise<void> {
    await super.stop().catch(() => this.kill());
  }

  imageIdOf(configDigest: string): string {
    return configDigest.replace(/^sha256:/, '');
  }

  imageNames(): Promise<string[]> {
    return withCri(this.socket, async ({ image }) =>
      (await image.listImages({})).images.flatMap(({ id, repoTags, repoDigests }) => [
        id,
        ...repoTags,
        ...repoDigests,
      ]),
    );
  }

  async removeImages(imageIds: readonly string[]): Promise<void> {
    await withCri(this.socket, async ({ image }) => {
      for (const id of imageIds) await image.removeImage({ image: { image: id } });
    });
  }
}

/** What goes into CRI-O's configuration files. */
export interface CrioConfig extends CrioOptions {
  program: CrioProgram;
  /** Folder for everything that would otherwise lie in a folder of the machine. */
  dir: string;
  /** Where images go, with `imageStore` apart from the containers. */
  root: string;
  socket: string;
  cniConfDir: string;
  sandboxImage: string;
  /** Address of the registry that answers for these others. */
  mirror: { host: string; of: readonly string[] };
  /**
   * Environment of conmon, which CRI-O starts with nothing of its own: the markers by which it is
   * found again.
   */
  env: Readonly<Record<string, string>>;
}

/**
 * Writes CRI-O's configuration: its own, and the files of its image library that else come from
 * /etc/containers.
 */
export function writeCrioConfig(config: CrioConfig): void {
  const { dir, program, policy } = config;
  const within = (name: string): string => path.join(dir, name);
  for (const folder of ['crio.conf.d', 'registries.conf.d', 'policies', 'crio-tmp', 'pod-logs']) {
    mkdirSync(within(folder));
  }
  // Where the library looks before /etc/containers. With the option `signature_policy` CRI-O would
  // create containers only for clients that name the image as its user did, as kubelet does and
  // many others do not.
  const policyFile = within('home/.config/containers/policy.json');
  mkdirSync(path.dirname(policyFile), { recursive: true });
  const { default: byDefault = [{ type: 'insecureAcceptAnything' }], ...docker } = policy ?? {};
  writeFileSync(policyFile, JSON.stringify({ default: byDefault, transports: { docker } }));
  writeFileSync(within('registries.conf'), registriesConf(config.mirror));
  const [root, runRoot] = [text(within('root')), text(within('crio-run'))];
  writeFileSync(
    within('storage.conf'),
    `[storage]\ndriver = "overlay"\ngraphroot = ${root}\nrunroot = ${runRoot}\n`,
  );
  writeFileSync(
    within('crio.conf'),
    `[crio]
root = ${root}
runroot = ${runRoot}
storage_driver = "overlay"
storage_option = ["overlay.skip_mount_home=true"]
${config.imageStore === true ? `imagestore = ${text(config.root)}\n` : ''}log_dir = ${text(within('pod-logs'))}
version_file = ${text(within('crio-version'))}
version_file_persist = ${text(within('crio-version-persist'))}
clean_shutdown_file = ${text(within('crio-clean'))}

[crio.api]
listen = ${text(config.socket)}
stream_address = "127.0.0.1"
stream_port = "0"

[crio.runtime]
default_runtime = "${program.ociRuntime}"
enable_pod_events = ${String(program.events)}
cgroup_manager = "cgroupfs"
selinux = false
apparmor_profile = "unconfined"
irqbalance_config_restore_file = "disable"
hooks_dir = []
container_exits_dir = ${text(within('crio-exits'))}
container_attach_socket_dir = ${text(within('crio-attach'))}
namespaces_dir = ${text(within('crio-ns'))}
pinns_path = ${text(crioHelper(program.crio, 'pinns'))}

[crio.runtime.runtimes.${program.ociRuntime}]
runtime_path = ${text(ociRuntime(program, dir))}
runtime_type = "oci"
runtime_root = ${text(within('oci'))}
monitor_path = ${text(crioHelper(program.crio, 'conmon'))}
monitor_cgroup = "pod"
monitor_env = [
  ${text(`PATH=${process.env.PATH ?? ''}:/usr/sbin:/sbin`)},
${Object.entries(config.env)
  .map(([name, value]) => `  ${text(`${name}=${value}`)},\n`)
  .join('')}]

[crio.image]
pause_image = ${text(config.sandboxImage)}
pause_command = ""
${policy === undefined ? '' : `signature_policy = ${text(policyFile)}\n`}signature_policy_dir = ${text(within('policies'))}
namespaced_auth_dir = ${text(within('auth'))}
big_files_temporary_dir = ${text(within('crio-tmp'))}

[crio.network]
network_dir = ${text(config.cniConfDir)}
plugin_dirs = ["/usr/lib/cni"]

[crio.nri]
enable_nri = false

[crio.metrics]
enable_metrics = false
`,
  );
}

const text = (value: string): string => JSON.stringify(value);

/**
 * Every registry on a loopback address is one without TLS. Names without a registry are
 * docker.io's, as on containerd.
 */
function registriesConf({ host, of }: CrioConfig['mirror']): string {
  return [
    'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "enforcing"\n',
    '[[registry]]\nprefix = "*.0.0.1"\ninsecure = true\n',
    ...of.map(
      (name) =>
        `[[registry]]\nlocation = ${text(name)}\n[[registry.mirror]]\nlocation = ${text(host)}\ninsecure = true\n`,
    ),
  ].join('\n');
}

/** A program that CRI-O is built or packaged with: beside it, else on PATH. */
export function crioHelper(crio: string, name: string): string {
  const found = findProgram(path.join(path.dirname(crio), name)) ?? findProgram(name);
  if (found === undefined) {
    throw new Error(`CRI-O needs ${name}, which is neither beside ${crio} nor on PATH`);
  }
  return found;
}

/**
 * The OCI runtime. Where this process may not lower an OOM score, no container could be started,
 * for CRI-O always asks for that: then it is one that leaves the score as it is.
 */
function ociRuntime({ crio, ociRuntime: name }: CrioProgram, dir: string): string {
  const program = crioHelper(crio, name);
  if (mayLowerOomScore()) return program;
  const wrapper = path.join(dir, `${name}-same-oom-score`);
  writeFileSync(
    wrapper,
    `#!/bin/sh
bundle= before=
for word; do
  case $before in -b | --bundle) bundle=$word ;; esac
  case $word in --bundle=*) bundle=\${word#*=} ;; esac
  before=$word
done
[ -z "$bundle" ] || sed -i 's/"oomScoreAdj": *-[0-9]*/"oomScoreAdj":0/' "$bundle/config.json"
exec ${program} "$@"
`,
  );
  chmodSync(wrapper, 0o755);
  return wrapper;
}
