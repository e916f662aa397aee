import path from 'node:path';
import { KubernetesYamlError, parseKubernetesYaml } from '@stowage/kubernetes-yaml';
import { nearest, quoteValue } from '@stowage/errors';
import { isMapping, kindOf, type Mapping } from './mapping';

/** What kubelet's own files say. */
export interface KubeletConfiguration {
  readonly values: Readonly<Record<string, unknown>>;
  /** The file that gave each key of the top level. */
  readonly files: ReadonlyMap<string, string>;
  /** What kubelet logs as "Using lenient decoding as strict decoding failed", with its causes. */
  readonly warnings: readonly string[];
}

/** The world outside, as far as kubelet's files go. Both throw errors that can be printed. */
export interface KubeletFiles {
  readonly readFile: (file: string) => string;
  readonly listFolder: (folder: string) => readonly { name: string; isFolder: boolean }[];
}

const kind = 'KubeletConfiguration';
const apiVersion = 'kubelet.config.k8s.io/v1beta1';
/** Unknown keys of one file that are named; more are counted. */
const namedKeys = 20;
/** Folders within each other below a drop-in folder. */
const maxFolderDepth = 16;

/**
 * Reads kubelet's `--config` file and the drop-ins of its `--config-dir` as kubelet does: `*.conf`
 * of the folder and its sub-folders in lexical order, each merged over what came before (RFC 7386:
 * mappings are merged, lists replaced, null takes a key away). Throws an error whose message names
 * the file.
 */
export function readKubeletConfiguration(
  from: { readonly file?: string; readonly folder?: string },
  { readFile, listFolder }: KubeletFiles,
): KubeletConfiguration {
  const warnings: string[] = [];
  const files = new Map<string, string>();
  let values: Mapping = {};
  const dropIns = from.folder === undefined ? [] : confFiles(from.folder, listFolder);
  for (const file of [...(from.file === undefined ? [] : [from.file]), ...dropIns]) {
    const content = parseFile(file, readFile(file), warnings);
    for (const key of Object.keys(content)) files.set(key, file);
    values = mergePatch(values, content);
  }
  return { values, files, warnings };
}

function confFiles(folder: string, listFolder: KubeletFiles['listFolder'], depth = 0): string[] {
  if (depth > maxFolderDepth) {
    throw new Error(`${folder} is more than ${maxFolderDepth} folders deep`);
  }
  return [...listFolder(folder)]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ name, isFolder }) => {
      const full = path.join(folder, name);
      if (isFolder) return confFiles(full, listFolder, depth + 1);
      return path.extname(name) === '.conf' || name === '.conf' ? [full] : [];
    });
}

function parseFile(file: string, text: string, warnings: string[]): Mapping {
  let parsed;
  try {
    parsed = parseKubernetesYaml(text);
  } catch (error) {
    if (!(error instanceof KubernetesYamlError)) throw error;
    throw new Error(`${file} is not YAML as Kubernetes reads it: ${error.message}`, {
      cause: error,
    });
  }
  const content = parsed.value ?? {};
  if (!isMapping(content)) {
    throw new Error(`${file} is ${kindOf(content)}; allowed: a mapping of keys to values`);
  }
  for (const [key, allowed] of [
    ['kind', kind],
    ['apiVersion', apiVersion],
  ] as const) {
    if (content[key] === allowed) continue;
    throw new Error(`${key} (${file}) is ${quoteValue(content[key])}; allowed: ${allowed}`);
  }
  warnings.push(...parsed.warnings.map((warning) => `${file}: ${warning}`));
  const unknown = Object.keys(content).filter((key) => !knownKeys.includes(key));
  for (const key of unknown.slice(0, namedKeys)) {
    warnings.push(
      `${file}: ${quoteValue(key)} is no key of a KubeletConfiguration and is ignored; nearest: ${nearest(key, knownKeys)?.name ?? 'none'}`,
    );
  }
  if (unknown.length > namedKeys) {
    warnings.push(`${file}: ${unknown.length - namedKeys} more unknown keys are ignored`);
  }
  return content;
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: Mapping): Mapping {
  const merged = new Map(isMapping(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value == null) merged.delete(key);
    else merged.set(key, isMapping(value) ? mergePatch(merged.get(key), value) : value);
  }
  return Object.fromEntries(merged);
}

/** The keys of a KubeletConfiguration v1beta1, of Kubernetes 1.29 to 1.37. */
const knownKeys: readonly string[] = `
address allowedUnsafeSysctls apiVersion authentication authorization cgroupDriver cgroupRoot
cgroupsPerQOS clusterDNS clusterDomain configMapAndSecretChangeDetectionStrategy
containerLogMaxFiles containerLogMaxSize containerLogMaxWorkers containerLogMonitorInterval
containerRuntimeEndpoint contentType cpuCFSQuota cpuCFSQuotaPeriod cpuManagerPolicy
cpuManagerPolicyOptions cpuManagerReconcilePeriod crashLoopBackOff defaultPodSysctls
enableContentionProfiling enableControllerAttachDetach enableDebugFlagsHandler
enableDebuggingHandlers enableProfilingHandler enableServer enableSystemLogHandler
enableSystemLogQuery enforceNodeAllocatable eventBurst eventRecordQPS evictionHard
evictionMaxPodGracePeriod evictionMinimumReclaim evictionPressureTransitionPeriod evictionSoft
evictionSoftGracePeriod failCgroupV1 failSwapOn featureGates fileCheckFrequency hairpinMode
healthzBindAddress healthzPort httpCheckFrequency imageGCHighThresholdPercent
imageGCLowThresholdPercent imageMaximumGCAge imageMinimumGCAge
imagePullCredentialsVerificationPolicy imageServiceEndpoint iptablesDropBit iptablesMasqueradeBit
kernelMemcgNotification kind kubeAPIBurst kubeAPIQPS kubeletCgroups kubeReserved kubeReservedCgroup
localStorageCapacityIsolation logging makeIPTablesUtilChains maxOpenFiles maxParallelImagePulls
maxPods memoryManagerPolicy memoryReservationPolicy memorySwap memoryThrottlingFactor
mergeDefaultEvictionSettings nodeLeaseDurationSeconds nodeStatusMaxImages nodeStatusReportFrequency
nodeStatusUpdateFrequency oomScoreAdj podCIDR podLogsDir podPidsLimit podsPerCore port
preloadedImagesVerificationAllowlist protectKernelDefaults providerID qosReserved readOnlyPort
registerNode registerWithTaints registryBurst registryPullQPS reservedMemory reservedSystemCPUs
resolvConf rotateCertificates runOnce runtimeRequestTimeout seccompDefault serializeImagePulls
serverTLSBootstrap showHiddenMetricsForVersion shutdownGracePeriod shutdownGracePeriodByPodPriority
shutdownGracePeriodCriticalPods singleProcessOOMKill staticPodPath staticPodURL staticPodURLHeader
streamingConnectionIdleTimeout syncFrequency systemCgroups systemReserved systemReservedCgroup
tlsCertFile tlsCipherSuites tlsCurvePreferences tlsMinVersion tlsPrivateKeyFile
topologyManagerPolicy topologyManagerPolicyOptions topologyManagerScope tracing userNamespaces
volumePluginDir volumeStatsAggPeriod
`
  .trim()
  .split(/\s+/);
