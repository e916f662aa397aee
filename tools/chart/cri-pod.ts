import { parseByteSize } from '@stowage/service-kit/byte-size';
import {
  MountPropagation,
  NamespaceMode,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
  type ContainerConfig,
  type LinuxContainerResources,
  type Mount,
  type PodSandboxConfig,
} from '@stowage/cri-proto';
import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { IProbe } from 'kubernetes-models/v1/Probe';
import type { IVolumeMount } from 'kubernetes-models/v1/VolumeMount';
import { environmentOf } from './configuration-rules';
import { Fields } from './fields';
import { appOf, containerOf, podOf } from './rendered';

/** What kubelet knows of its node and its cluster. */
export interface NodeContext {
  readonly nodeName: string;
  /** Path on the node of a volume that kubelet has prepared; undefined for an unknown one. */
  readonly volumePath: (name: string) => string | undefined;
  /** Folder of the pod's logs. */
  readonly logDirectory: string;
  readonly secretValue?: (name: string, key: string) => string;
}

/** What a runtime is asked for to run a pod, and what kubelet does itself. */
export interface CriPod {
  readonly sandbox: Partial<PodSandboxConfig>;
  readonly container: Partial<ContainerConfig>;
  readonly probes: Readonly<Record<'startup' | 'liveness' | 'readiness', HttpProbe>>;
  readonly terminationGracePeriodSeconds: number;
}

/** A probe as kubelet sends it to the address of the pod. */
export interface HttpProbe {
  readonly port: number;
  readonly path: string;
  readonly timeoutSeconds: number;
}

/**
 * Translates the pod of a DaemonSet into requests of the CRI, as kubelet does.
 *
 * @throws Error that names the field, for everything that is not translated here.
 */
export function criPod(daemonSet: IDaemonSet, node: NodeContext): CriPod {
  const app = appOf(daemonSet);
  const pod = new Fields<IPodSpec>(`pod of ${app}`, podOf(daemonSet));
  // Where the pod goes, and how soon: the scheduler's.
  pod.ignore('nodeSelector', 'tolerations', 'affinity');
  // The account matters to the API server alone, since no token and no variable of it is mounted.
  pod.ignore('serviceAccountName');
  pod.expect('automountServiceAccountToken', false);
  pod.expect('enableServiceLinks', false);
  // Volumes are prepared by the caller, containers translated below.
  pod.ignore('volumes', 'containers');
  const terminationGracePeriodSeconds = pod.get('terminationGracePeriodSeconds') ?? 30;
  const context = podContext(app, pod.get('securityContext') ?? {});
  const oomScoreAdj = oomScoreOf(pod);
  pod.done();
  const { spec, metadata } = daemonSet;
  const { labels = {}, annotations = {} } = spec?.template.metadata ?? {};
  const namespaceOptions = {
    network: NamespaceMode.POD,
    pid: NamespaceMode.CONTAINER,
    ipc: NamespaceMode.POD,
    targetId: '',
    usernsOptions: undefined,
  };
  const shared = { ...context, namespaceOptions };
  const sandboxMetadata = {
    name: `${metadata?.name ?? ''}-x7k2p`,
    namespace: metadata?.namespace ?? 'default',
    uid: `uid-${app}`,
    attempt: 0,
  };
  const { container, probes } = containerRequest(containerOf(daemonSet), node, shared, oomScoreAdj);
  return {
    sandbox: {
      metadata: sandboxMetadata,
      hostname: sandboxMetadata.name,
      logDirectory: node.logDirectory,
      labels: { ...labels, ...kubeletLabels(sandboxMetadata) },
      annotations: { ...annotations },
      linux: {
        cgroupParent: '',
        securityContext: {
          ...shared,
          selinuxOptions: undefined,
          readonlyRootfs: false,
          privileged: false,
          apparmor: undefined,
          seccompProfilePath: '',
          supplementalGroupsPolicy: SupplementalGroupsPolicy.Merge,
        },
        sysctls: {},
        overhead: undefined,
        resources: undefined,
      },
    },
    container,
    probes,
    terminationGracePeriodSeconds,
  };
}

/** Labels by which the suite and everybody else finds a container's pod. */
const kubeletLabels = (metadata: { name: string; namespace: string; uid: string }) => ({
  'io.kubernetes.pod.name': metadata.name,
  'io.kubernetes.pod.namespace': metadata.namespace,
  'io.kubernetes.pod.uid': metadata.uid,
});

/** kubelet's own number for pods that are critical to the node, else that of a middle class. */
function oomScoreOf(pod: Fields<IPodSpec>): bigint {
  return pod.get('priorityClassName') === 'system-node-critical' ? -997n : 999n;
}

const defaultProfile = {
  profileType: SecurityProfile_ProfileType.RuntimeDefault,
  localhostRef: '',
};

function podContext(app: string, given: NonNullable<IPodSpec['securityContext']>) {
  const context = new Fields(`securityContext of the pod of ${app}`, given);
  const seccomp = new Fields('seccompProfile', context.get('seccompProfile') ?? { type: '' });
  seccomp.expect('type', 'RuntimeDefault');
  seccomp.done();
  const int64 = (value: number | undefined) =>
    value === undefined ? undefined : { value: BigInt(value) };
  const result = {
    runAsUser: int64(context.get('runAsUser')),
    runAsGroup: int64(context.get('runAsGroup')),
    supplementalGroups: (context.get('supplementalGroups') ?? []).map(BigInt),
    seccomp: defaultProfile,
  };
  context.done();
  return result;
}

type SharedContext = ReturnType<typeof podContext> & {
  readonly namespaceOptions: NonNullable<
    NonNullable<NonNullable<ContainerConfig['linux']>['securityContext']>['namespaceOptions']
  >;
};

function containerRequest(
  given: IContainer,
  node: NodeContext,
  shared: SharedContext,
  oomScoreAdj: bigint,
): Pick<CriPod, 'container' | 'probes'> {
  const container = new Fields<IContainer>(`container ${given.name}`, given);
  const name = container.get('name');
  // The caller brings the images.
  container.expect('imagePullPolicy', 'IfNotPresent');
  // kubelet reads the end of the log itself.
  container.expect('terminationMessagePolicy', 'FallbackToLogsOnError');
  const ports = (container.get('ports') ?? []).map((port) => {
    const fields = new Fields('port', port);
    const known = { name: fields.get('name'), number: fields.get('containerPort') };
    fields.done();
    return known;
  });
  const probe = (probed: IProbe | undefined): HttpProbe => httpProbe(probed, ports);
  const probes = {
    startup: probe(container.get('startupProbe')),
    liveness: probe(container.get('livenessProbe')),
    readiness: probe(container.get('readinessProbe')),
  };
  const env = environmentOf({ env: container.get('env') }, node.nodeName, node.secretValue);
  const request: Partial<ContainerConfig> = {
    metadata: { name, attempt: 0 },
    image: {
      image: container.get('image') ?? '',
      annotations: {},
      userSpecifiedImage: given.image ?? '',
      imageRef: '',
      runtimeHandler: '',
    },
    envs: Object.entries(env).map(([key, value]) => ({ key, value: Buffer.from(value) })),
    mounts: (container.get('volumeMounts') ?? []).map((mount) => criMount(mount, node)),
    labels: { 'io.kubernetes.container.name': name },
    logPath: `${name}/0.log`,
    linux: {
      resources: criResources(container.get('resources') ?? {}, oomScoreAdj),
      securityContext: containerContext(container.get('securityContext') ?? {}, shared),
    },
  };
  container.done();
  return { container: request, probes };
}

function httpProbe(
  given: IProbe | undefined,
  ports: readonly { name: string | undefined; number: number }[],
): HttpProbe {
  const probe = new Fields('probe', given ?? {});
  // How often, and how often in vain: the test waits instead.
  probe.ignore('periodSeconds', 'failureThreshold');
  const action = new Fields('httpGet', probe.get('httpGet') ?? { port: 0 });
  const named = action.get('port');
  const port = ports.find(({ name }) => name === named)?.number;
  if (port === undefined) throw new Error(`a probe is for the port ${named}, which is not there`);
  const found = {
    port,
    path: action.get('path') ?? '/',
    timeoutSeconds: probe.get('timeoutSeconds') ?? 1,
  };
  action.done();
  probe.done();
  return found;
}

const propagations: Readonly<Record<string, MountPropagation>> = {
  None: MountPropagation.PROPAGATION_PRIVATE,
  HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
};

function criMount(given: IVolumeMount, node: NodeContext): Mount {
  const mount = new Fields('volumeMount', given);
  const name = mount.get('name');
  const hostPath = node.volumePath(name);
  if (hostPath === undefined) throw new Error(`volume ${name} was not prepared`);
  const propagation = propagations[mount.get('mountPropagation') ?? 'None'];
  if (propagation === undefined) throw new Error(`propagation of the mount ${name} is not known`);
  const translated: Mount = {
    containerPath: mount.get('mountPath'),
    hostPath,
    readonly: mount.get('readOnly') ?? false,
    propagation,
    selinuxRelabel: false,
    uidMappings: [],
    gidMappings: [],
    recursiveReadOnly: false,
    image: undefined,
    imageSubPath: '',
    mountOptions: [],
  };
  mount.done();
  return translated;
}

/** Processor shares by the request and a limit of memory, as kubelet sets them. */
function criResources(
  given: NonNullable<IContainer['resources']>,
  oomScoreAdj: bigint,
): LinuxContainerResources {
  const resources = new Fields('resources', given);
  const requests = new Fields('requests', { ...resources.get('requests') });
  const limits = new Fields('limits', { ...resources.get('limits') });
  const milliCpu = /^(\d+)m$/.exec(String(requests.get('cpu')))?.[1];
  if (milliCpu === undefined) throw new Error('the request of CPU is not in thousandths');
  const memoryLimit = parseByteSize(String(limits.get('memory')));
  if (memoryLimit === undefined) throw new Error('the limit of memory is no size');
  // For the scheduler alone.
  requests.ignore('memory');
  for (const fields of [requests, limits, resources]) fields.done();
  return {
    cpuPeriod: 0n,
    cpuQuota: 0n,
    cpuShares: BigInt(Math.max(2, Math.floor((Number(milliCpu) * 1024) / 1000))),
    memoryLimitInBytes: BigInt(memoryLimit),
    oomScoreAdj,
    cpusetCpus: '',
    cpusetMems: '',
    hugepageLimits: [],
    unified: {},
    memorySwapLimitInBytes: 0n,
  };
}

/** Paths of /proc that kubelet has hidden and protected by default. */
const maskedPaths = [
  'acpi',
  'kcore',
  'keys',
  'latency_stats',
  'timer_list',
  'timer_stats',
  'sched_debug',
  'scsi',
].map((name) => `/proc/${name}`);
const readonlyPaths = ['asound', 'bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map(
  (name) => `/proc/${name}`,
);

function containerContext(
  given: NonNullable<IContainer['securityContext']>,
  { seccomp, runAsUser, runAsGroup, supplementalGroups, namespaceOptions }: SharedContext,
) {
  const context = new Fields('securityContext', given);
  const capabilities = new Fields('capabilities', context.get('capabilities') ?? {});
  const dropCapabilities = [...(capabilities.get('drop') ?? [])];
  capabilities.done();
  context.expect('privileged', false);
  const translated = {
    capabilities: { addCapabilities: [], dropCapabilities, addAmbientCapabilities: [] },
    privileged: false,
    readonlyRootfs: context.get('readOnlyRootFilesystem') ?? false,
    noNewPrivs: context.get('allowPrivilegeEscalation') === false,
    ...{ seccomp, runAsUser, runAsGroup, supplementalGroups, namespaceOptions },
    runAsUsername: '',
    selinuxOptions: undefined,
    maskedPaths,
    readonlyPaths,
    supplementalGroupsPolicy: SupplementalGroupsPolicy.Merge,
    apparmor: undefined,
    apparmorProfile: '',
    seccompProfilePath: '',
  };
  context.done();
  return translated;
}
