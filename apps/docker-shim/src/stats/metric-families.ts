import { MetricType, type MetricDescriptor } from '@stowage/cri-proto';

/** Of every metric, as cAdvisor has them on Docker. */
export const commonLabels = ['id', 'name', 'image', 'container', 'pod', 'namespace'] as const;

interface Family {
  readonly type: MetricType;
  readonly help: string;
  /** Labels beside {@link commonLabels}. */
  readonly labels: readonly string[];
}

const counter = (help: string, ...labels: string[]): Family => ({
  type: MetricType.COUNTER,
  help,
  labels,
});
const gauge = (help: string, ...labels: string[]): Family => ({
  type: MetricType.GAUGE,
  help,
  labels,
});

/** Names, types and units of cAdvisor. Values of the CRI are whole: seconds are rounded down. */
const families = {
  container_blkio_device_usage_total: counter(
    'Bytes read from and written to block devices.',
    'device',
    'major',
    'minor',
    'operation',
  ),
  container_cpu_cfs_periods_total: counter('Periods of the CPU quota that have passed.'),
  container_cpu_cfs_throttled_periods_total: counter('Periods in which the CPU quota was used up.'),
  container_cpu_cfs_throttled_seconds_total: counter('Seconds held up by the CPU quota.'),
  container_cpu_system_seconds_total: counter('Seconds of CPU time in the kernel.'),
  container_cpu_usage_seconds_total: counter('Seconds of CPU time.', 'cpu'),
  container_cpu_user_seconds_total: counter('Seconds of CPU time outside the kernel.'),
  container_file_descriptors: gauge('Open file descriptors.'),
  container_fs_inodes_free: gauge('Free inodes of the file system.', 'device'),
  container_fs_inodes_total: gauge('Inodes of the file system.', 'device'),
  container_fs_limit_bytes: gauge('Size of the file system.', 'device'),
  container_fs_reads_bytes_total: counter('Bytes read from a block device.', 'device'),
  container_fs_reads_total: counter('Reads from a block device.', 'device'),
  container_fs_usage_bytes: gauge('Bytes that the container wrote on top of its image.', 'device'),
  container_fs_writes_bytes_total: counter('Bytes written to a block device.', 'device'),
  container_fs_writes_total: counter('Writes to a block device.', 'device'),
  container_hugetlb_max_usage_bytes: gauge('Highest use of huge pages of a size.', 'pagesize'),
  container_hugetlb_usage_bytes: gauge('Bytes in huge pages of a size.', 'pagesize'),
  container_last_seen: gauge('When the container was last seen, seconds since 1970.'),
  container_memory_cache: gauge('Bytes of page cache.'),
  container_memory_failcnt: counter('Times that the memory limit was hit.'),
  container_memory_failures_total: counter(
    'Page faults, and those that read from a disk.',
    'failure_type',
    'scope',
  ),
  container_memory_kernel_usage: gauge('Bytes that the kernel uses for the container.'),
  container_memory_mapped_file: gauge('Bytes of files mapped into memory.'),
  container_memory_max_usage_bytes: gauge('Highest use of memory, in bytes.'),
  container_memory_rss: gauge('Bytes of anonymous memory.'),
  container_memory_swap: gauge('Bytes of swap.'),
  container_memory_usage_bytes: gauge('Bytes of memory, caches included.'),
  container_memory_working_set_bytes: gauge('Bytes of memory without the inactive file cache.'),
  container_network_receive_bytes_total: counter('Bytes received.', 'interface'),
  container_network_receive_errors_total: counter('Errors while receiving.', 'interface'),
  container_network_receive_packets_dropped_total: counter(
    'Packets that were dropped while receiving.',
    'interface',
  ),
  container_network_receive_packets_total: counter('Packets received.', 'interface'),
  container_network_transmit_bytes_total: counter('Bytes sent.', 'interface'),
  container_network_transmit_errors_total: counter('Errors while sending.', 'interface'),
  container_network_transmit_packets_dropped_total: counter(
    'Packets that were dropped while sending.',
    'interface',
  ),
  container_network_transmit_packets_total: counter('Packets sent.', 'interface'),
  container_oom_events_total: counter('Processes that were killed for want of memory.'),
  container_pressure_cpu_stalled_seconds_total: counter(
    'Seconds in which all tasks waited for CPU.',
  ),
  container_pressure_cpu_waiting_seconds_total: counter(
    'Seconds in which some task waited for CPU.',
  ),
  container_pressure_io_stalled_seconds_total: counter(
    'Seconds in which all tasks waited for I/O.',
  ),
  container_pressure_io_waiting_seconds_total: counter(
    'Seconds in which some task waited for I/O.',
  ),
  container_pressure_memory_stalled_seconds_total: counter(
    'Seconds in which all tasks waited for memory.',
  ),
  container_pressure_memory_waiting_seconds_total: counter(
    'Seconds in which some task waited for memory.',
  ),
  container_processes: gauge('Processes.'),
  container_sockets: gauge('Open sockets.'),
  container_spec_cpu_period: gauge('Period of the CPU quota, microseconds.'),
  container_spec_cpu_quota: gauge('CPU quota in a period, microseconds; absent without one.'),
  container_spec_cpu_shares: gauge('CPU shares.'),
  container_spec_memory_limit_bytes: gauge('Memory limit; 0 without one.'),
  container_spec_memory_reservation_limit_bytes: gauge('Memory reservation; 0 without one.'),
  container_spec_memory_swap_limit_bytes: gauge('Limit of swap; 0 without one.'),
  container_start_time_seconds: gauge('When the container was started, seconds since 1970.'),
  container_threads: gauge('Processes and threads.'),
  container_threads_max: gauge('Limit of processes and threads; 0 without one.'),
  container_ulimits_soft: gauge('Soft limits of the first process; absent without one.', 'ulimit'),
} as const satisfies Record<string, Family>;

export type MetricName = keyof typeof families;

/** Type of a metric. */
export const metricType = (name: MetricName): MetricType => families[name].type;

/** What ListMetricDescriptors answers. */
export const metricDescriptors: readonly MetricDescriptor[] = Object.entries<Family>(families).map(
  ([name, { help, labels }]) => ({ name, help, labelKeys: [...commonLabels, ...labels] }),
);
