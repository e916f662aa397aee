import {
  NamespaceMode,
  type LinuxPodSandboxConfig,
  type PodSandboxConfig,
  type PodSandboxMetadata,
  type PortMapping,
} from '@stowage/cri-proto';
import { InvalidArgumentError } from '@stowage/errors';
import type { EngineInfo, NewContainer } from '../engine/engine-client';
import { protocolName } from './checkpoint';
import { sandboxLabels } from './labels';
import { oomScoreAdj } from './oom-score-adj';
import { engineDns } from './resolv-conf';
import { sandboxSecurity } from './sandbox-security';

/** How much rather than others a sandbox is to live when memory is short. */
const sandboxOomScoreAdj = -998;

export interface SandboxContainerOptions {
  /** Name of the image for the engine. */
  readonly image: string;
  /** Who makes the networks of pods: plugins, or the engine. */
  readonly networkMode: 'cni' | 'bridge';
  readonly restrictOomScoreAdj: boolean;
}

/** The request's pod with what every sandbox has. */
export interface CheckedConfig extends PodSandboxConfig {
  readonly metadata: PodSandboxMetadata;
}

/** @throws {InvalidArgumentError} for what is missing, and for namespaces that no sandbox has. */
export function checkedConfig(config: PodSandboxConfig | undefined): CheckedConfig {
  const metadata = config?.metadata;
  if (config === undefined || metadata === undefined) {
    throw new InvalidArgumentError('config.metadata', undefined, 'the metadata of a pod');
  }
  for (const field of ['name', 'namespace', 'uid'] as const) {
    if (metadata[field] !== '') continue;
    throw new InvalidArgumentError(`config.metadata.${field}`, '', 'a text that is not empty');
  }
  checkNamespaces(config.linux);
  for (const { hostPort, containerPort } of config.portMappings) {
    checkPort('host_port', hostPort);
    checkPort('container_port', containerPort);
  }
  return { ...config, metadata };
}

function checkNamespaces(linux: LinuxPodSandboxConfig | undefined): void {
  const options = linux?.securityContext?.namespaceOptions;
  if (options === undefined) return;
  const field = 'linux.security_context.namespace_options';
  for (const kind of ['network', 'ipc'] as const) {
    if ([NamespaceMode.POD, NamespaceMode.NODE].includes(options[kind])) continue;
    throw new InvalidArgumentError(`${field}.${kind}`, modeName(options[kind]), 'POD, NODE');
  }
  const users = options.usernsOptions?.mode ?? NamespaceMode.NODE;
  if (users !== NamespaceMode.NODE) {
    throw new InvalidArgumentError(`${field}.userns_options.mode`, modeName(users), 'NODE');
  }
}

function checkPort(field: string, port: number): void {
  if (port >= 0 && port <= 65_535) return;
  throw new InvalidArgumentError(`config.port_mappings.${field}`, port, '0 to 65535');
}

const modeNames = new Map<NamespaceMode, string>([
  [NamespaceMode.POD, 'POD'],
  [NamespaceMode.CONTAINER, 'CONTAINER'],
  [NamespaceMode.NODE, 'NODE'],
  [NamespaceMode.TARGET, 'TARGET'],
]);
const modeName = (mode: NamespaceMode): string => modeNames.get(mode) ?? String(mode);

/** Whether a pod is on the host's network. */
export const isOnHostNetwork = ({ linux }: PodSandboxConfig): boolean =>
  linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;

/**
 * What the engine is to create for a pod.
 *
 * @throws {InvalidArgumentError} @throws {FailedPreconditionError} for a profile that is not there.
 */
export async function sandboxContainer(
  config: CheckedConfig,
  runtimeHandler: string,
  info: EngineInfo,
  { image, networkMode, restrictOomScoreAdj }: SandboxContainerOptions,
): Promise<NewContainer> {
  const { metadata, labels, annotations, hostname, linux, dnsConfig } = config;
  const { ipc, pid } = linux?.securityContext?.namespaceOptions ?? {};
  const security = await sandboxSecurity(linux?.securityContext, info);
  const onHost = isOnHostNetwork(config);
  const ports = networkMode === 'bridge' && !onHost ? published(config.portMappings) : {};
  const cgroupParent = cgroupParentOf(linux?.cgroupParent ?? '', info);
  const isDefault = runtimeHandler === '' || runtimeHandler === 'docker';
  return {
    Image: image,
    Hostname: hostname === '' || onHost ? undefined : hostname,
    User: security.User,
    Labels: sandboxLabels({ metadata, labels, annotations, runtimeHandler }),
    ExposedPorts: Object.fromEntries(Object.keys(ports).map((port) => [port, {}])),
    HostConfig: {
      ...security.HostConfig,
      ...engineDns(dnsConfig),
      NetworkMode: onHost ? 'host' : networkMode === 'cni' ? 'none' : 'default',
      IpcMode: ipc === NamespaceMode.NODE ? 'host' : 'shareable',
      PidMode: pid === NamespaceMode.NODE ? 'host' : undefined,
      PortBindings: ports,
      Sysctls: linux?.sysctls ?? {},
      CgroupParent: cgroupParent === '' ? undefined : cgroupParent,
      CpuShares: 2,
      OomScoreAdj: oomScoreAdj(sandboxOomScoreAdj, restrictOomScoreAdj),
      Runtime: isDefault ? undefined : runtimeHandler,
      RestartPolicy: { Name: 'no' },
    },
  };
}

/** Ports of a pod that are open on the host, in the engine's form. */
function published(mappings: readonly PortMapping[]) {
  const ports: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { protocol, containerPort, hostPort, hostIp } of mappings) {
    if (hostPort === 0) continue;
    const name = `${containerPort}/${protocolName(protocol)}`;
    (ports[name] ??= []).push({ HostIp: hostIp, HostPort: String(hostPort) });
  }
  return ports;
}

/** systemd knows the last part of the path, which is the name of a slice. */
function cgroupParentOf(given: string, { CgroupDriver }: EngineInfo): string {
  if (given === '' || CgroupDriver !== 'systemd') return given;
  const slice = given.split('/').findLast((part) => part !== '') ?? '';
  if (slice.endsWith('.slice')) return slice;
  throw new InvalidArgumentError(
    'linux.cgroup_parent',
    given,
    'a slice (.slice), since the engine has its control groups from systemd',
  );
}
