import type { CgroupDirs, Controller } from './cgroup-dirs';
import { hugePages } from './huge-pages';
import { blkioStat, numbersIn, wholeNumber, wholeNumbers } from './kernel-text';
import { readText } from './read-text';
import type { Usage, UsageDetails } from './usage';

type Dirs = Extract<CgroupDirs, { version: 1 }>['dirs'];

/** Limits from here on are none. */
const unlimited = 1n << 62n;
/** The kernel counts `cpuacct.stat` in these. */
const tickNs = 10_000_000n;

const limit = (text: string | undefined): bigint | undefined => {
  const value = wholeNumber(text);
  return value === undefined || value >= unlimited ? undefined : value;
};

const reader =
  (dirs: Dirs) =>
  (controller: Controller, file: string): string | undefined => {
    const dir = dirs[controller];
    return dir === undefined ? undefined : readText(`${dir}/${file}`);
  };

/** What the control groups of version 1 say; undefined when they are gone. */
export function readUsageV1(dirs: Dirs): Omit<Usage, 'atMs' | 'clockMs'> | undefined {
  const read = reader(dirs);
  const cpuNs = wholeNumber(read('cpuacct', 'cpuacct.usage'));
  const usedBytes = wholeNumber(read('memory', 'memory.usage_in_bytes'));
  if (cpuNs === undefined && usedBytes === undefined) return undefined;
  const number = numbersIn(read('memory', 'memory.stat'));
  const limitBytes = limit(read('memory', 'memory.limit_in_bytes'));
  const withSwapBytes = wholeNumber(read('memory', 'memory.memsw.usage_in_bytes'));
  // Without accounting of swap neither of the two is there.
  const withSwapLimitBytes = withSwapBytes && limit(read('memory', 'memory.memsw.limit_in_bytes'));
  return {
    cpuNs,
    tasks: wholeNumber(read('pids', 'pids.current')),
    memory:
      usedBytes === undefined
        ? undefined
        : {
            usedBytes,
            inactiveFileBytes: number('total_inactive_file') ?? 0n,
            anonymousBytes: number('total_rss') ?? 0n,
            pageFaults: number('total_pgfault') ?? 0n,
            majorPageFaults: number('total_pgmajfault') ?? 0n,
            limitBytes,
          },
    swap:
      withSwapBytes === undefined || usedBytes === undefined
        ? undefined
        : {
            // The two files are read one after the other.
            usedBytes: notBelowZero(withSwapBytes - usedBytes),
            limitBytes:
              withSwapLimitBytes === undefined || limitBytes === undefined
                ? undefined
                : notBelowZero(withSwapLimitBytes - limitBytes),
          },
  };
}

/** What only metrics show. */
export async function readDetailsV1(dirs: Dirs): Promise<UsageDetails> {
  const read = reader(dirs);
  const io = (file: string) =>
    read('blkio', `blkio.throttle.${file}_recursive`) ?? read('blkio', `blkio.throttle.${file}`);
  const acct = numbersIn(read('cpuacct', 'cpuacct.stat'));
  const cpu = numbersIn(read('cpu', 'cpu.stat'));
  const memory = numbersIn(read('memory', 'memory.stat'));
  const quotaUs = wholeNumber(read('cpu', 'cpu.cfs_quota_us')) ?? -1n;
  return {
    cpu: {
      userNs: (acct('user') ?? 0n) * tickNs,
      systemNs: (acct('system') ?? 0n) * tickNs,
      periods: cpu('nr_periods') ?? 0n,
      throttledPeriods: cpu('nr_throttled') ?? 0n,
      throttledNs: cpu('throttled_time') ?? 0n,
      shares: wholeNumber(read('cpu', 'cpu.shares')) ?? 0n,
      periodUs: wholeNumber(read('cpu', 'cpu.cfs_period_us')) ?? 0n,
      quotaUs: quotaUs < 0n ? undefined : quotaUs,
    },
    memory: {
      cacheBytes: memory('total_cache') ?? 0n,
      mappedFileBytes: memory('total_mapped_file') ?? 0n,
      kernelBytes: wholeNumber(read('memory', 'memory.kmem.usage_in_bytes')) ?? 0n,
      highestBytes: wholeNumber(read('memory', 'memory.max_usage_in_bytes')) ?? 0n,
      reservedBytes: limit(read('memory', 'memory.soft_limit_in_bytes')) ?? 0n,
      limitHits: wholeNumber(read('memory', 'memory.failcnt')) ?? 0n,
      ownPageFaults: memory('pgfault') ?? 0n,
      ownMajorPageFaults: memory('pgmajfault') ?? 0n,
      oomKills: numbersIn(read('memory', 'memory.oom_control'))('oom_kill') ?? 0n,
    },
    tasksLimit: wholeNumber(read('pids', 'pids.max')),
    processes: wholeNumbers(read('memory', 'cgroup.procs')),
    io: blkioStat(io('io_service_bytes'), io('io_serviced')),
    hugePages: await hugePages(dirs.hugetlb, 'usage_in_bytes', 'max_usage_in_bytes'),
  };
}

const notBelowZero = (value: bigint): bigint => (value < 0n ? 0n : value);
