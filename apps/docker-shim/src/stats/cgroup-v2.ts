import { hugePages } from './huge-pages';
import { ioStat, numbersIn, pressureLines, wholeNumber, wholeNumbers } from './kernel-text';
import { readText } from './read-text';
import type { Usage, UsageDetails } from './usage';

/** What a control group of version 2 says; undefined when it is gone. */
export function readUsageV2(dir: string): Omit<Usage, 'atMs' | 'clockMs'> | undefined {
  const read = (file: string) => readText(`${dir}/${file}`);
  const cpuUs = numbersIn(read('cpu.stat'))('usage_usec');
  const usedBytes = wholeNumber(read('memory.current'));
  if (cpuUs === undefined && usedBytes === undefined) return undefined;
  const number = numbersIn(read('memory.stat'));
  const swapBytes = wholeNumber(read('memory.swap.current'));
  return {
    cpuNs: cpuUs === undefined ? undefined : cpuUs * 1000n,
    tasks: wholeNumber(read('pids.current')),
    memory:
      usedBytes === undefined
        ? undefined
        : {
            usedBytes,
            inactiveFileBytes: number('inactive_file') ?? 0n,
            anonymousBytes: number('anon') ?? 0n,
            pageFaults: number('pgfault') ?? 0n,
            majorPageFaults: number('pgmajfault') ?? 0n,
            limitBytes: wholeNumber(read('memory.max')),
          },
    swap:
      swapBytes === undefined
        ? undefined
        : { usedBytes: swapBytes, limitBytes: wholeNumber(read('memory.swap.max')) },
    pressure: {
      cpu: pressureLines(read('cpu.pressure')),
      memory: pressureLines(read('memory.pressure')),
      io: pressureLines(read('io.pressure')),
    },
  };
}

/** What only metrics show. */
export async function readDetailsV2(dir: string): Promise<UsageDetails> {
  const read = (file: string) => readText(`${dir}/${file}`);
  const cpu = numbersIn(read('cpu.stat'));
  const memory = numbersIn(read('memory.stat'));
  const memoryEvents = numbersIn(read('memory.events'));
  const [quota, period] = (read('cpu.max') ?? '').trim().split(' ');
  const us = (name: string) => (cpu(name) ?? 0n) * 1000n;
  const bytes = (name: string) => memory(name) ?? 0n;
  return {
    cpu: {
      userNs: us('user_usec'),
      systemNs: us('system_usec'),
      periods: cpu('nr_periods') ?? 0n,
      throttledPeriods: cpu('nr_throttled') ?? 0n,
      throttledNs: us('throttled_usec'),
      shares: sharesOf(wholeNumber(read('cpu.weight'))),
      periodUs: wholeNumber(period) ?? 0n,
      quotaUs: wholeNumber(quota),
    },
    memory: {
      cacheBytes: bytes('file'),
      mappedFileBytes: bytes('file_mapped'),
      // The sum stands there since Linux 5.18.
      kernelBytes: memory('kernel') ?? bytes('kernel_stack') + bytes('slab') + bytes('percpu'),
      // Linux 5.19 and later.
      highestBytes: wholeNumber(read('memory.peak')) ?? wholeNumber(read('memory.current')) ?? 0n,
      reservedBytes: wholeNumber(read('memory.low')) ?? 0n,
      limitHits: memoryEvents('max') ?? 0n,
      ownPageFaults: bytes('pgfault'),
      ownMajorPageFaults: bytes('pgmajfault'),
      oomKills: memoryEvents('oom_kill') ?? 0n,
    },
    tasksLimit: wholeNumber(read('pids.max')),
    processes: wholeNumbers(read('cgroup.procs')),
    io: ioStat(read('io.stat')),
    hugePages: await hugePages(dir, 'current', 'max_usage'),
  };
}

/** The weight 1 to 10000 as shares 2 to 262144, in the way back that OCI runtimes go. */
const sharesOf = (weight: bigint | undefined): bigint =>
  weight === undefined || weight === 0n ? 0n : 2n + ((weight - 1n) * 262_142n) / 9999n;
