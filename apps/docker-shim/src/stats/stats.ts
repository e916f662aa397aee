import {
  ListPodSandboxMetricsResponse,
  PodSandboxMetrics,
  type ContainerStats,
  type ContainerStatsRequest,
  type ContainerStatsResponse,
  type ListContainerStatsRequest,
  type ListContainerStatsResponse,
  type ListMetricDescriptorsResponse,
  type ListPodSandboxMetricsRequest,
  type ListPodSandboxStatsRequest,
  type ListPodSandboxStatsResponse,
  type PodSandboxStats,
  type PodSandboxStatsRequest,
  type PodSandboxStatsResponse,
} from '@stowage/cri-proto';
import { InvalidArgumentError, NotFoundError } from '@stowage/errors';
import { setImmediate as turn } from 'node:timers/promises';
import type { EngineConnection } from '../engine/engine-connection';
import { EngineResponseError } from '../engine/engine-errors';
import { filesFolder } from '../engine/files-folder';
import { inParallel } from '../engine/in-parallel';
import { parentOf } from './cgroup-dirs';
import {
  containerMetrics,
  networkMetrics,
  type CommonLabelValues,
  type FilesystemFacts,
} from './container-metrics';
import { ContainerUsages, type ContainerUse, type RunningUse } from './container-usages';
import { CpuRates } from './cpu-rates';
import { containerStats, podSandboxStats, type RatedUsage } from './cri-stats';
import { deviceNames, filesystemOf } from './disk-facts';
import type { InterfaceTraffic } from './kernel-text';
import { LayerSizes } from './layer-sizes';
import { metricDescriptors } from './metric-families';
import { openFiles, openFilesLimit } from './process-facts';
import { readDetails, readUsage, type Clocks } from './read-cgroup';
import { sumUsages } from './sum-usages';
import type {
  StatsContainer,
  StatsFilter,
  StatsListener,
  StatsSandbox,
  StatsSubject,
  StatsSubjects,
} from './types';
import type { Usage } from './usage';

export interface StatsOptions {
  readonly subjects: StatsSubjects;
  readonly connection: Pick<EngineConnection, 'engine'>;
  /** Shortest time between two measurements of a writable layer, milliseconds. */
  readonly layerIntervalMs: number;
  /** Where containerd keeps its files when it is the image store; empty to look for it. */
  readonly containerdRoot: string;
  readonly listener: StatsListener;
  /** Where the proc file system of the host is. Default `/proc`. */
  readonly procRoot?: string;
  readonly now?: () => number;
  /** A clock that never jumps, milliseconds. */
  readonly steady?: () => number;
}

type Call = { readonly signal: AbortSignal };

/** Containers that are looked for at once. */
const atOnce = 8;
/** How long files are read before others have their turn, milliseconds. */
const longestMs = 5;

/**
 * The stats of the CRI, out of files of the kernel: a list costs the engine its list of containers,
 * and an inspection of each whose process is not known from another one.
 */
export class Stats {
  readonly #options: StatsOptions;
  readonly #procRoot: string;
  readonly #clocks: Clocks;
  readonly #usages: ContainerUsages;
  readonly #rates = new CpuRates();
  readonly #layers: LayerSizes;
  #breathedAtMs = 0;

  constructor(options: StatsOptions) {
    const { connection, listener, layerIntervalMs, procRoot = '/proc' } = options;
    const { now = Date.now, steady = () => performance.now() } = options;
    this.#options = options;
    this.#procRoot = procRoot;
    this.#clocks = { now, steady };
    this.#usages = new ContainerUsages(connection, procRoot, this.#clocks, listener);
    this.#layers = new LayerSizes({
      connection,
      listener,
      intervalMs: layerIntervalMs,
      now,
      steady,
    });
  }

  /** Ends what goes on in the background. */
  async close(): Promise<void> {
    await this.#layers.close();
  }

  async containerStats(
    { containerId }: ContainerStatsRequest,
    { signal }: Call,
  ): Promise<ContainerStatsResponse> {
    const filter = { id: required('container_id', containerId) };
    const listed = await this.#options.subjects.containers(filter, signal);
    const container = theOne('container', 'container_id', containerId, listed);
    const [stats] = await this.#containerStats([container], signal);
    if (stats === undefined) throw new NotFoundError('container', containerId);
    return { stats };
  }

  async listContainerStats(
    { filter }: ListContainerStatsRequest,
    { signal }: Call,
  ): Promise<ListContainerStatsResponse> {
    const wanted = { ...subjectFilter(filter), podSandboxId: given(filter?.podSandboxId) };
    const listed = await this.#options.subjects.containers(wanted, signal);
    return { stats: await this.#containerStats(listed, signal) };
  }

  async podSandboxStats(
    { podSandboxId }: PodSandboxStatsRequest,
    { signal }: Call,
  ): Promise<PodSandboxStatsResponse> {
    const { subjects } = this.#options;
    const filter = { id: required('pod_sandbox_id', podSandboxId) };
    const listed = await subjects.sandboxes(filter, signal);
    const sandbox = theOne('pod sandbox', 'pod_sandbox_id', podSandboxId, listed);
    const containers = await subjects.containers({ podSandboxId: sandbox.id }, signal);
    const [stats] = await this.#podStats([sandbox], containers, signal);
    if (stats === undefined) throw new NotFoundError('pod sandbox', podSandboxId);
    return { stats };
  }

  async listPodSandboxStats(
    { filter }: ListPodSandboxStatsRequest,
    { signal }: Call,
  ): Promise<ListPodSandboxStatsResponse> {
    const [sandboxes, containers] = await this.#pods(subjectFilter(filter), signal);
    return { stats: await this.#podStats(sandboxes, containers, signal) };
  }

  listMetricDescriptors(): Promise<ListMetricDescriptorsResponse> {
    return Promise.resolve({ descriptors: [...metricDescriptors] });
  }

  /** Of pods that run. */
  async listPodSandboxMetrics(
    _request: ListPodSandboxMetricsRequest,
    { signal }: Call,
  ): Promise<ListPodSandboxMetricsResponse> {
    const [sandboxes, containers] = await this.#pods({}, signal);
    this.#layers.seen(containers);
    const members = bySandbox(containers);
    const { connection, containerdRoot } = this.#options;
    const folder = filesFolder(connection.engine().info, containerdRoot);
    const filesystem = await filesystemOf(this.#procRoot, folder);
    const nameOf = deviceNames(this.#procRoot);
    const all = await inParallel(
      atOnce,
      sandboxes.filter(({ running }) => running),
      async (sandbox) => {
        const of = (subject: StatsSubject, container: string) =>
          this.#metrics(subject, { container, sandbox, filesystem, nameOf }, signal);
        const own = await of(sandbox, 'POD');
        if (own === undefined) return undefined;
        const metrics = PodSandboxMetrics.fromPartial({
          podSandboxId: sandbox.id,
          metrics: [...own.metrics, ...this.#networkMetrics(sandbox, own)],
        });
        for (const container of members.get(sandbox.id) ?? []) {
          if (!container.running) continue;
          const read = await of(container, container.metadata.name);
          if (read === undefined) continue;
          metrics.containerMetrics.push({ containerId: container.id, metrics: read.metrics });
        }
        return metrics;
      },
    );
    this.#forgetOld();
    return ListPodSandboxMetricsResponse.fromPartial({
      podMetrics: all.filter((metrics) => metrics !== undefined),
    });
  }

  /** Both lists are asked for in one turn, so that they can share one answer of the engine. */
  async #pods(
    filter: StatsFilter,
    signal: AbortSignal,
  ): Promise<[readonly StatsSandbox[], readonly StatsContainer[]]> {
    const { subjects } = this.#options;
    return Promise.all([
      subjects.sandboxes(filter, signal),
      subjects.containers({ podSandboxId: filter.id }, signal),
    ]);
  }

  async #containerStats(
    listed: readonly StatsContainer[],
    signal: AbortSignal,
  ): Promise<ContainerStats[]> {
    this.#layers.seen(listed);
    const all = await inParallel(atOnce, listed, async (container) =>
      this.#statsOf(container, await this.#use(container, signal)),
    );
    this.#forgetOld();
    return all.filter((stats) => stats !== undefined);
  }

  async #podStats(
    sandboxes: readonly StatsSandbox[],
    containers: readonly StatsContainer[],
    signal: AbortSignal,
  ): Promise<PodSandboxStats[]> {
    const members = bySandbox(containers);
    this.#layers.seen(sandboxes.flatMap(({ id }) => members.get(id) ?? []));
    const all = await inParallel(atOnce, sandboxes, async (sandbox) => {
      const own = await this.#use(sandbox, signal);
      if (own === 'gone') return undefined;
      const stats: ContainerStats[] = [];
      const usages = isRunning(own) ? [this.#rated(sandbox.id, own.usage)] : [];
      for (const container of members.get(sandbox.id) ?? []) {
        const use = await this.#use(container, signal);
        const of = this.#statsOf(container, use);
        if (of !== undefined) stats.push(of);
        if (isRunning(use)) usages.push(this.#rated(container.id, use.usage));
      }
      const together = isRunning(own) ? this.#podGroup(sandbox, own) : undefined;
      return podSandboxStats(sandbox, {
        usage: together ?? sumUsages(usages),
        traffic: isRunning(own) ? this.#traffic(sandbox, own) : undefined,
        containers: stats,
      });
    });
    this.#forgetOld();
    return all.filter((stats) => stats !== undefined);
  }

  /** Use of the control group that the pod has for itself; undefined when it has none. */
  #podGroup({ id, cgroupParent }: StatsSandbox, { group }: RunningUse): RatedUsage | undefined {
    if (cgroupParent === '' || group === undefined) return undefined;
    const usage = readUsage(parentOf(group), this.#clocks);
    return usage && this.#rated(`pod ${id}`, usage);
  }

  #traffic(
    sandbox: StatsSandbox,
    { usage, interfaces }: RunningUse,
  ): { atMs: number; interfaces: readonly InterfaceTraffic[] } | undefined {
    if (sandbox.hostNetwork) return undefined;
    const read = interfaces ?? this.#usages.traffic(sandbox);
    return read && { atMs: usage.atMs, interfaces: read };
  }

  #statsOf(container: StatsContainer, use: ContainerUse): ContainerStats | undefined {
    if (use === 'gone') return undefined;
    const usage = isRunning(use) ? this.#rated(container.id, use.usage) : undefined;
    const size = this.#layers.size(container.id);
    const { connection, containerdRoot } = this.#options;
    return containerStats(
      container,
      usage,
      size && { size, mountpoint: filesFolder(connection.engine().info, containerdRoot) },
    );
  }

  async #use(subject: StatsSubject, signal: AbortSignal): Promise<ContainerUse> {
    if (!subject.running) return 'stopped';
    await this.#breath();
    try {
      return await this.#usages.read(subject, signal);
    } catch (error) {
      // One container that the engine cannot inspect keeps no other from its numbers.
      if (error instanceof EngineResponseError) return 'stopped';
      throw error;
    }
  }

  /** Lets others have the thread when this has had it for some time: files are read at once. */
  async #breath(): Promise<void> {
    if (performance.now() - this.#breathedAtMs < longestMs) return;
    await turn();
    this.#breathedAtMs = performance.now();
  }

  #rated(key: string, usage: Usage): RatedUsage {
    const { cpuNs, clockMs } = usage;
    const nanoCores = cpuNs === undefined ? undefined : this.#rates.rate(key, { clockMs, cpuNs });
    return { ...usage, nanoCores };
  }

  async #metrics(
    subject: StatsSubject,
    {
      container,
      sandbox,
      filesystem,
      nameOf,
    }: {
      readonly container: string;
      readonly sandbox: StatsSandbox;
      readonly filesystem: FilesystemFacts;
      readonly nameOf: (major: string, minor: string) => string;
    },
    signal: AbortSignal,
  ) {
    const use = await this.#use(subject, signal);
    if (!isRunning(use)) return undefined;
    const { usage, group } = use;
    const details = group && (await readDetails(group));
    const pid = this.#usages.pid(subject);
    const { name: pod, namespace } = sandbox.metadata;
    const { id, name, image } = subject;
    const labels: CommonLabelValues = [
      group?.path ?? `/${id}`,
      name,
      image,
      container,
      pod,
      namespace,
    ];
    const metrics = containerMetrics({
      labels,
      usage,
      details,
      openFiles: details && (await openFiles(this.#procRoot, details.processes)),
      openFilesLimit: pid === undefined ? undefined : openFilesLimit(this.#procRoot, pid),
      startedAtMs: this.#usages.startedAtMs(subject),
      filesystem,
      layerBytes: this.#layers.size(id)?.bytes ?? 0n,
      deviceName: nameOf,
    });
    return { use, labels, metrics };
  }

  #networkMetrics(
    sandbox: StatsSandbox,
    { use, labels }: { readonly use: RunningUse; readonly labels: CommonLabelValues },
  ) {
    const traffic = this.#traffic(sandbox, use);
    return traffic === undefined ? [] : networkMetrics(labels, traffic.atMs, traffic.interfaces);
  }

  #forgetOld(): void {
    this.#rates.forgetOld(this.#clocks.steady());
    this.#usages.forgetOld();
  }
}

const isRunning = (use: ContainerUse): use is RunningUse => typeof use !== 'string';

function bySandbox(
  containers: readonly StatsContainer[],
): ReadonlyMap<string, readonly StatsContainer[]> {
  const members = new Map<string, StatsContainer[]>();
  for (const container of containers) {
    const of = members.get(container.sandboxId);
    if (of === undefined) members.set(container.sandboxId, [container]);
    else of.push(container);
  }
  return members;
}

const given = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

const subjectFilter = (
  filter: { readonly id: string; readonly labelSelector: Record<string, string> } | undefined,
): StatsFilter => ({ id: given(filter?.id), labelSelector: filter?.labelSelector });

function required(field: string, id: string): string {
  if (id === '') throw new InvalidArgumentError(field, id, 'an id, or the beginning of one');
  return id;
}

/** The one that an id, or the beginning of one, means. */
function theOne<Subject extends StatsSubject>(
  kind: string,
  field: string,
  id: string,
  listed: readonly Subject[],
): Subject {
  const matching = listed.filter((subject) => subject.id.startsWith(id));
  const one = matching.find((subject) => subject.id === id) ?? matching[0];
  if (one === undefined) throw new NotFoundError(kind, id);
  if (matching.length > 1 && one.id !== id) {
    throw new InvalidArgumentError(field, id, `enough of an id to mean one ${kind}`);
  }
  return one;
}
