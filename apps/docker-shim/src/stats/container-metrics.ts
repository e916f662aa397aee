import type { Metric } from '@stowage/cri-proto';
import { nanoseconds } from './cri-stats';
import type { InterfaceTraffic } from './kernel-text';
import { metricType, type MetricName } from './metric-families';
import type { OpenFiles } from './process-facts';
import { workingSetBytes, type Usage, type UsageDetails } from './usage';

/** Values of the labels that all metrics of a container have, in their order. */
export type CommonLabelValues = readonly [
  id: string,
  name: string,
  image: string,
  container: string,
  pod: string,
  namespace: string,
];

/** The file system of the writable layers. */
export interface FilesystemFacts {
  readonly device: string;
  readonly sizeBytes: bigint;
  readonly inodes: bigint;
  readonly freeInodes: bigint;
}

/** All that metrics of a container are made of. */
export interface ContainerFacts {
  readonly labels: CommonLabelValues;
  readonly usage: Usage;
  /** Absent where the numbers are the engine's. */
  readonly details: UsageDetails | undefined;
  readonly openFiles: OpenFiles | undefined;
  /** Absent for any number. */
  readonly openFilesLimit: bigint | undefined;
  readonly startedAtMs: number | undefined;
  readonly filesystem: FilesystemFacts;
  /** Of the writable layer; 0 before it was measured. */
  readonly layerBytes: bigint;
  readonly deviceName: (major: string, minor: string) => string;
}

type Add = (name: MetricName, value: bigint | undefined, ...labels: string[]) => void;

const secondNs = 1_000_000_000n;

/** Collects metrics of one container; values that are absent make none. */
function collect(labels: CommonLabelValues, atMs: number, into: Metric[]): Add {
  return (name, value, ...more) => {
    if (value === undefined) return;
    into.push({
      name,
      timestamp: nanoseconds(atMs),
      metricType: metricType(name),
      labelValues: [...labels, ...more],
      value: { value },
    });
  };
}

/** The metrics of a container, network traffic aside. */
export function containerMetrics(facts: ContainerFacts): Metric[] {
  const metrics: Metric[] = [];
  const add = collect(facts.labels, facts.usage.atMs, metrics);
  const { usage, details, filesystem } = facts;
  add('container_last_seen', BigInt(Math.floor(usage.atMs / 1000)));
  add(
    'container_start_time_seconds',
    facts.startedAtMs === undefined ? undefined : BigInt(Math.floor(facts.startedAtMs / 1000)),
  );
  add('container_cpu_usage_seconds_total', seconds(usage.cpuNs), 'total');
  addMemory(usage, add);
  addPressure(usage, add);
  add('container_threads', usage.tasks);
  add('container_fs_usage_bytes', facts.layerBytes, filesystem.device);
  add('container_fs_limit_bytes', filesystem.sizeBytes, filesystem.device);
  add('container_fs_inodes_total', filesystem.inodes, filesystem.device);
  add('container_fs_inodes_free', filesystem.freeInodes, filesystem.device);
  add('container_file_descriptors', whole(facts.openFiles?.files));
  add('container_sockets', whole(facts.openFiles?.sockets));
  add('container_ulimits_soft', facts.openFilesLimit, 'max_open_files');
  if (details !== undefined) addDetails(details, facts.deviceName, add);
  return metrics;
}

function addMemory({ memory, swap }: Usage, add: Add): void {
  if (memory === undefined) return;
  add('container_memory_usage_bytes', memory.usedBytes);
  add('container_memory_working_set_bytes', workingSetBytes(memory));
  add('container_memory_rss', memory.anonymousBytes);
  add('container_memory_swap', swap?.usedBytes ?? 0n);
  add('container_memory_failures_total', memory.pageFaults, 'pgfault', 'hierarchy');
  add('container_memory_failures_total', memory.majorPageFaults, 'pgmajfault', 'hierarchy');
  add('container_spec_memory_limit_bytes', memory.limitBytes ?? 0n);
  add('container_spec_memory_swap_limit_bytes', swap?.limitBytes ?? 0n);
}

function addPressure({ pressure }: Usage, add: Add): void {
  for (const resource of ['cpu', 'memory', 'io'] as const) {
    const { some, full } = pressure?.[resource] ?? {};
    add(`container_pressure_${resource}_waiting_seconds_total`, seconds(some?.totalNs));
    add(`container_pressure_${resource}_stalled_seconds_total`, seconds(full?.totalNs));
  }
}

function addDetails(
  { cpu, memory, tasksLimit, processes, io, hugePages }: UsageDetails,
  deviceName: ContainerFacts['deviceName'],
  add: Add,
): void {
  add('container_cpu_user_seconds_total', seconds(cpu.userNs));
  add('container_cpu_system_seconds_total', seconds(cpu.systemNs));
  add('container_cpu_cfs_periods_total', cpu.periods);
  add('container_cpu_cfs_throttled_periods_total', cpu.throttledPeriods);
  add('container_cpu_cfs_throttled_seconds_total', seconds(cpu.throttledNs));
  add('container_spec_cpu_period', cpu.periodUs);
  add('container_spec_cpu_shares', cpu.shares);
  add('container_spec_cpu_quota', cpu.quotaUs);
  add('container_memory_cache', memory.cacheBytes);
  add('container_memory_mapped_file', memory.mappedFileBytes);
  add('container_memory_kernel_usage', memory.kernelBytes);
  add('container_memory_max_usage_bytes', memory.highestBytes);
  add('container_memory_failcnt', memory.limitHits);
  add('container_memory_failures_total', memory.ownPageFaults, 'pgfault', 'container');
  add('container_memory_failures_total', memory.ownMajorPageFaults, 'pgmajfault', 'container');
  add('container_spec_memory_reservation_limit_bytes', memory.reservedBytes);
  add('container_oom_events_total', memory.oomKills);
  add('container_threads_max', tasksLimit ?? 0n);
  add('container_processes', whole(processes.length));
  for (const { major, minor, readBytes, writtenBytes, reads, writes } of io) {
    const device = deviceName(major, minor);
    add('container_blkio_device_usage_total', readBytes, device, major, minor, 'Read');
    add('container_blkio_device_usage_total', writtenBytes, device, major, minor, 'Write');
    add('container_fs_reads_bytes_total', readBytes, device);
    add('container_fs_reads_total', reads, device);
    add('container_fs_writes_bytes_total', writtenBytes, device);
    add('container_fs_writes_total', writes, device);
  }
  for (const { pageSize, usedBytes, highestBytes } of hugePages) {
    add('container_hugetlb_usage_bytes', usedBytes, pageSize);
    add('container_hugetlb_max_usage_bytes', highestBytes, pageSize);
  }
}

/** The metrics of a pod's network. */
export function networkMetrics(
  labels: CommonLabelValues,
  atMs: number,
  interfaces: readonly InterfaceTraffic[],
): Metric[] {
  const metrics: Metric[] = [];
  const add = collect(labels, atMs, metrics);
  for (const of of interfaces) {
    add('container_network_receive_bytes_total', of.receivedBytes, of.name);
    add('container_network_receive_errors_total', of.receiveErrors, of.name);
    add('container_network_receive_packets_total', of.receivedPackets, of.name);
    add('container_network_receive_packets_dropped_total', of.receiveDropped, of.name);
    add('container_network_transmit_bytes_total', of.sentBytes, of.name);
    add('container_network_transmit_errors_total', of.sendErrors, of.name);
    add('container_network_transmit_packets_total', of.sentPackets, of.name);
    add('container_network_transmit_packets_dropped_total', of.sendDropped, of.name);
  }
  return metrics;
}

const seconds = (ns: bigint | undefined): bigint | undefined =>
  ns === undefined ? undefined : ns / secondNs;
const whole = (number: number | undefined): bigint | undefined =>
  number === undefined ? undefined : BigInt(number);
