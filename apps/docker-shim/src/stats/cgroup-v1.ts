import path from 'node:path';
import type { CgroupDirs, Controller } from './cgroup-dirs';
import { hugePages } from './huge-pages';
import { blkioStat, keyedNumbers, wholeNumber, wholeNumbers } from './kernel-text';
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
  (controller: Controller, file: string): Promise<string | undefined> => {
    const dir = dirs[controller];
    return dir === undefined ? Promise.resolve(undefined) : readText(path.join(dir, file));
  };

/** What the control groups of version 1 say; undefined when they are gone. */
export async function readUsageV1(
  dirs: Dirs,
): Promise<Omit<Usage, 'atMs' | 'clockMs'> | undefined> {
  const read = reader(dirs);
  const [cpu, used, stat, memoryLimit, withSwap, withSwapLimit, tasks] = await Promise.all([
    read('cpuacct', 'cpuacct.usage'),
    read('memory', 'memory.usage_in_bytes'),
    read('memory', 'memory.stat'),
    read('memory', 'memory.limit_in_bytes'),
    read('memory', 'memory.memsw.usage_in_bytes'),
    read('memory', 'memory.memsw.limit_in_bytes'),
    read('pids', 'pids.current'),
  ]);
  const cpuNs = wholeNumber(cpu);
  const usedBytes = wholeNumber(used);
  if (cpuNs === undefined && usedBytes === undefined) return undefined;
  const numbers = keyedNumbers(stat);
  const limitBytes = limit(memoryLimit);
  const withSwapBytes = wholeNumber(withSwap);
  const withSwapLimitBytes = limit(withSwapLimit);
  return {
    cpuNs,
    tasks: wholeNumber(tasks),
    memory:
      usedBytes === undefined
        ? undefined
        : {
            usedBytes,
            inactiveFileBytes: numbers.get('total_inactive_file') ?? 0n,
            anonymousBytes: numbers.get('total_rss') ?? 0n,
            pageFaults: numbers.get('total_pgfault') ?? 0n,
            majorPageFaults: numbers.get('total_pgmajfault') ?? 0n,
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
    read('blkio', `blkio.throttle.${file}_recursive`).then(
      (text) => text ?? read('blkio', `blkio.throttle.${file}`),
    );
  const [acct, cpu, shares, period, quota] = await Promise.all([
    read('cpuacct', 'cpuacct.stat'),
    read('cpu', 'cpu.stat'),
    read('cpu', 'cpu.shares'),
    read('cpu', 'cpu.cfs_period_us'),
    read('cpu', 'cpu.cfs_quota_us'),
  ]);
  const [stat, kernel, highest, hits, soft, oom] = await Promise.all([
    read('memory', 'memory.stat'),
    read('memory', 'memory.kmem.usage_in_bytes'),
    read('memory', 'memory.max_usage_in_bytes'),
    read('memory', 'memory.failcnt'),
    read('memory', 'memory.soft_limit_in_bytes'),
    read('memory', 'memory.oom_control'),
  ]);
  const [bytes, operations, procs, tasksLimit] = await Promise.all([
    io('io_service_bytes'),
    io('io_serviced'),
    read('memory', 'cgroup.procs'),
    read('pids', 'pids.max'),
  ]);
  const acctNumbers = keyedNumbers(acct);
  const cpuNumbers = keyedNumbers(cpu);
  const memory = keyedNumbers(stat);
  const quotaUs = wholeNumber(quota) ?? -1n;
  return {
    cpu: {
      userNs: (acctNumbers.get('user') ?? 0n) * tickNs,
      systemNs: (acctNumbers.get('system') ?? 0n) * tickNs,
      periods: cpuNumbers.get('nr_periods') ?? 0n,
      throttledPeriods: cpuNumbers.get('nr_throttled') ?? 0n,
      throttledNs: cpuNumbers.get('throttled_time') ?? 0n,
      shares: wholeNumber(shares) ?? 0n,
      periodUs: wholeNumber(period) ?? 0n,
      quotaUs: quotaUs < 0n ? undefined : quotaUs,
    },
    memory: {
      cacheBytes: memory.get('total_cache') ?? 0n,
      mappedFileBytes: memory.get('total_mapped_file') ?? 0n,
      kernelBytes: wholeNumber(kernel) ?? 0n,
      highestBytes: wholeNumber(highest) ?? 0n,
      reservedBytes: limit(soft) ?? 0n,
      limitHits: wholeNumber(hits) ?? 0n,
      ownPageFaults: memory.get('pgfault') ?? 0n,
      ownMajorPageFaults: memory.get('pgmajfault') ?? 0n,
      oomKills: keyedNumbers(oom).get('oom_kill') ?? 0n,
    },
    tasksLimit: wholeNumber(tasksLimit),
    processes: wholeNumbers(procs),
    io: blkioStat(bytes, operations),
    hugePages: await hugePages(dirs.hugetlb, 'usage_in_bytes', 'max_usage_in_bytes'),
  };
}

const notBelowZero = (value: bigint): bigint => (value < 0n ? 0n : value);
