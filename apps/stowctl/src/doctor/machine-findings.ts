import { X509Certificate } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import type { ServiceInfo } from '@stowage/commands';
import { errorMessage } from '@stowage/errors';
import { parseKubernetesYaml } from '@stowage/kubernetes-yaml';
import { finding, type Finding } from '@stowage/status-view';
import {
  checkedConfig,
  installedServices,
  ownEnvironment,
  readProcess,
  type ServiceConfig,
} from '../services/service-config';
import type { NodeStatus } from '../services/node-status';

/** Longest wait for a socket to take a connection, milliseconds. */
const connectMs = 3000;

/** kubelet's defaults. */
const kubeletDefaults = { high: 85 };

/** What is wrong on this machine beyond what its services say. */
export async function machineFindings(
  status: NodeStatus,
  options: {
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly kubeletFolder: string;
    readonly signal: AbortSignal;
  },
): Promise<Finding[]> {
  const { env, kubeletFolder, signal } = options;
  const configs = new Map<string, ServiceConfig>();
  const apps = installedServices().filter((app) => app in knownServices);
  await Promise.all(
    apps.map(async (app) => {
      const pid = status.infos[app]?.pid;
      const process = pid === undefined ? undefined : readProcess(app, pid);
      configs.set(app, await checkedConfig(app, process ?? ownEnvironment(env), signal));
    }),
  );
  const { node } = status;
  const found = [...configs].flatMap(([app, config]) => configFindings(app, config, node));
  // What a service that does not run would use is a guess where another one runs.
  const seen = [...configs].filter(([app]) => status.infos[app] !== undefined);
  const asked = seen.length > 0 ? seen : [...configs];
  for (const endpoint of new Set(asked.map(([, config]) => endpointOf(config)))) {
    if (endpoint !== undefined) found.push(...(await socketFindings(endpoint, node)));
  }
  const image = configs.get('image-service');
  if (image !== undefined) found.push(...contentFindings(image, status));
  for (const [app, config] of configs) found.push(...lockFindings(app, config, status));
  found.push(...kubeletFindings(kubeletFolder, status));
  return found;
}

/** Those whose answers are asked for; another may be installed and not used. */
const knownServices: Readonly<Record<string, true>> = {
  'runtime-gateway': true,
  'image-service': true,
  'gc-worker': true,
};

const valueOf = ({ values }: ServiceConfig, key: string): unknown =>
  values.find(({ yaml }) => yaml === key)?.value;

function endpointOf(config: ServiceConfig): string | undefined {
  const endpoint = valueOf(config, 'runtimeEndpoint');
  return typeof endpoint === 'string' ? endpoint : undefined;
}

function configFindings(
  app: string,
  { problem, warnings }: ServiceConfig,
  node: string,
): Finding[] {
  return [
    ...(problem === undefined ? [] : [finding('configuration-wrong', app, problem, node)]),
    ...warnings.map((warning) => {
      const [, variable = app] = /environment variable (\S+)/.exec(warning) ?? [];
      return finding('variable-misspelt', variable, `${app}: ${warning}`, node);
    }),
  ];
}

/** Whether somebody listens on the runtime's socket, and this user may ask. */
export async function socketFindings(endpoint: string, node: string): Promise<Finding[]> {
  const file = endpoint.replace(/^unix:(\/\/)?/, '');
  try {
    if (!statSync(file).isSocket()) {
      return [finding('runtime-socket-missing', endpoint, `${file} is not a socket`, node)];
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const id = code === 'EACCES' ? 'runtime-permission' : 'runtime-socket-missing';
    return [finding(id, endpoint, errorMessage(error), node)];
  }
  const code = await connectCode(file);
  switch (code) {
    case undefined:
      return [];
    case 'EACCES':
    case 'EPERM':
      return [finding('runtime-permission', endpoint, `connect ${code} ${file}`, node)];
    case 'ECONNREFUSED':
      return [finding('runtime-stale-socket', endpoint, `connect ${code} ${file}`, node)];
    default:
      return [finding('runtime-down', endpoint, `connect ${code} ${file}`, node)];
  }
}

/** The system's code for a connection that is not taken; undefined for one that is. */
function connectCode(file: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(file);
    const end = (code: string | undefined) => {
      socket.destroy();
      resolve(code);
    };
    socket.setTimeout(connectMs, () => end('ETIMEDOUT'));
    socket.once('connect', () => end(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}

/** Whether image-service sees containerd's content store, from which it reads the progress. */
function contentFindings(
  config: ServiceConfig,
  { node, stats, infos, version }: NodeStatus,
): Finding[] {
  if (valueOf(config, 'imagePullProgressSource') !== 'auto') return [];
  const mountpoint = stats.reply?.imageFilesystems[0]?.mountpoint;
  const configured = valueOf(config, 'containerdContentDir');
  const isContainerd = version.reply?.runtimeName === 'containerd';
  const folder =
    typeof configured === 'string' && configured !== ''
      ? configured
      : mountpoint !== undefined && isContainerd
        ? path.join(path.dirname(mountpoint), 'io.containerd.content.v1.content')
        : undefined;
  const pid = infos['image-service']?.pid;
  if (folder === undefined || pid === undefined) return [];
  if (readProcess('image-service', pid) === undefined) return [];
  // As the service sees it, which may have a root folder of its own.
  const seen = path.join(`/proc/${pid}/root`, folder);
  try {
    accessSync(seen, constants.R_OK | constants.X_OK);
    return [];
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    // containerd 1.7 and later make it for the first image; their metadata lies beside it.
    const metadata = path.join(path.dirname(seen), 'io.containerd.metadata.v1.bolt');
    if (code === 'ENOENT' && existsSync(metadata)) return [];
    return [finding('content-store-unseen', 'image-service', `${folder}: ${code}`, node)];
  }
}

/**
 * A service that does not answer while another process has its state folder: it cannot start, and
 * only its log says so.
 */
function lockFindings(app: string, config: ServiceConfig, status: NodeStatus): Finding[] {
  const { node, infos } = status;
  const folder = valueOf(config, 'stateDir');
  if (infos[app] !== undefined || typeof folder !== 'string') return [];
  const pid = lockHolder(path.join(folder, 'outbox.db'));
  if (pid === undefined) return [];
  const problem = `${app} does not answer, and process ${pid} has ${folder} open`;
  return [finding('state-in-use', app, problem, node)];
}

/** The process that has a lock on a file or on one beside it of the same name. */
function lockHolder(file: string): number | undefined {
  const inodes = ['', '-wal', '-shm', '.lock', '-lock'].flatMap((end) =>
    existsSync(file + end) ? [statSync(file + end).ino] : [],
  );
  let locks: string;
  try {
    locks = readFileSync('/proc/locks', 'utf8');
  } catch {
    return undefined;
  }
  for (const line of locks.split('\n')) {
    const [, pid, inode] = /\s(\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line) ?? [];
    if (inodes.includes(Number(inode))) return Number(pid);
  }
  return undefined;
}

/** What kubelet's own files say: its thresholds, and the name that the node has. */
export function kubeletFindings(folder: string, { node, gc }: NodeStatus): Finding[] {
  const found: Finding[] = [];
  const file = path.join(folder, 'config.yaml');
  const text = readIf(file);
  const policy = gc.reply?.policy;
  if (text !== undefined && policy !== undefined && gc.reply?.collects === true) {
    const high = highThreshold(text);
    const ours = policy.highThresholdPercent;
    if (high !== undefined && high < 100 && high <= ours) {
      const problem = `kubelet collects from ${high} %, gc-worker from ${ours} %`;
      found.push(finding('kubelet-collects-too', file, problem, node));
    }
  }
  const certificate = path.join(folder, 'pki/kubelet-client-current.pem');
  const name = certifiedName(readIf(certificate));
  if (name !== undefined && name !== node) {
    const problem = `Kubernetes calls this node ${name}, Stowage calls it ${node}`;
    found.push(finding('node-name-differs', 'nodeName', problem, node));
  }
  return found;
}

function readIf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** From which percent kubelet collects; undefined when its file cannot be read as one. */
function highThreshold(text: string): number | undefined {
  try {
    const { value } = parseKubernetesYaml(text);
    const content = value as { imageGCHighThresholdPercent?: unknown } | null | undefined;
    const high = content?.imageGCHighThresholdPercent ?? kubeletDefaults.high;
    return typeof high === 'number' ? high : undefined;
  } catch {
    return undefined;
  }
}

/** The node that kubelet's client certificate is for. */
function certifiedName(pem: string | undefined): string | undefined {
  if (pem === undefined) return undefined;
  try {
    return /CN=system:node:(\S+)/.exec(new X509Certificate(pem).subject)?.[1];
  } catch {
    return undefined;
  }
}

/** Names that services of one machine give it; they should be one. */
export const nodeNames = (infos: readonly ServiceInfo[]): string[] => [
  ...new Set(infos.map(({ node }) => node)),
];
