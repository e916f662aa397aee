import path from 'node:path';
import { hugePages } from './huge-pages';
import { ioStat, keyedNumbers, pressureLines, wholeNumber, wholeNumbers } from './kernel-text';
import { readText } from './read-text';
import type { Usage, UsageDetails } from './usage';

/** What a control group of version 2 says; undefined when it is gone. */
export async function readUsageV2(
  dir: string,
): Promise<Omit<Usage, 'atMs' | 'clockMs'> | undefined> {
  const read = (file: string) => readText(path.join(dir, file));
  const [cpu, used, stat, memoryLimit, swap, swapLimit, tasks] = await Promise.all([
    read('cpu.stat'),
    read('memory.current'),
    read('memory.stat'),
    read('memory.max'),
    read('memory.swap.current'),
    read('memory.swap.max'),
    read('pids.current'),
  ]);
  const [cpuPressure, memoryPressure, ioPressure] = await Promise.all([
    read('cpu.pressure'),
    read('memory.pressure'),
    read('io.pressure'),
  ]);
  const cpuUs = keyedNumbers(cpu).get('usage_usec');
  const usedBytes = wholeNumber(used);
  if (cpuUs === undefined && usedBytes === undefined) return undefined;
  const numbers = keyedNumbers(stat);
  const swapBytes = wholeNumber(swap);
  return {
    cpuNs: cpuUs === undefined ? undefined : cpuUs * 1000n,
    tasks: wholeNumber(tasks),
    memory:
      usedBytes === undefined
        ? undefined
        : {
            usedBytes,
            inactiveFileBytes: numbers.get('inactive_file') ?? 0n,
            anonymousBytes: numbers.get('anon') ?? 0n,
            pageFaults: numbers.get('pgfault') ?? 0n,
            majorPageFaults: numbers.get('pgmajfault') ?? 0n,
            limitBytes: wholeNumber(memoryLimit),
          },
    swap:
      swapBytes === undefined
        ? undefined
        : { usedBytes: swapBytes, limitBytes: wholeNumber(swapLimit) },
    pressure: {
      cpu: pressureLines(cpuPressure),
      memory: pressureLines(memoryPressure),
      io: pressureLines(ioPressure),
    },
  };
}

/** What only metrics show. */
export async function readDetailsV2(dir: string): Promise<UsageDetails> {
  const read = (file: string) => readText(path.join(dir, file));
  const [cpu, weight, max, stat, current, peak, events] = await Promise.all([
    read('cpu.stat'),
    read('cpu.weight'),
    read('cpu.max'),
    read('memory.stat'),
    read('memory.current'),
    read('memory.peak'),
    read('memory.events'),
  ]);
  const [low, procs, tasksLimit, io] = await Promise.all([
    read('memory.low'),
    read('cgroup.procs'),
    read('pids.max'),
    read('io.stat'),
  ]);
  const cpuNumbers = keyedNumbers(cpu);
  const memory = keyedNumbers(stat);
  const memoryEvents = keyedNumbers(events);
  const [quota, period] = (max ?? '').trim().split(' ');
  const us = (name: string) => (cpuNumbers.get(name) ?? 0n) * 1000n;
  const bytes = (name: string) => memory.get(name) ?? 0n;
  return {
    cpu: {
      userNs: us('user_usec'),
      systemNs: us('system_usec'),
      periods: cpuNumbers.get('nr_periods') ?? 0n,
      throttledPeriods: cpuNumbers.get('nr_throttled') ?? 0n,
      throttledNs: us('throttled_usec'),
      shares: sharesOf(wholeNumber(weight)),
      periodUs: wholeNumber(period) ?? 0n,
      quotaUs: wholeNumber(quota),
    },
    memory: {
      cacheBytes: bytes('file'),
      mappedFileBytes: bytes('file_mapped'),
      // The sum stands there since Linux 5.18.
      kernelBytes: memory.get('kernel') ?? bytes('kernel_stack') + bytes('slab') + bytes('percpu'),
      // Linux 5.19 and later.
      highestBytes: wholeNumber(peak) ?? wholeNumber(current) ?? 0n,
      reservedBytes: wholeNumber(low) ?? 0n,
      limitHits: memoryEvents.get('max') ?? 0n,
      ownPageFaults: bytes('pgfault'),
      ownMajorPageFaults: bytes('pgmajfault'),
      oomKills: memoryEvents.get('oom_kill') ?? 0n,
    },
    tasksLimit: wholeNumber(tasksLimit),
    processes: wholeNumbers(procs),
    io: ioStat(io),
    hugePages: await hugePages(dir, 'current', 'max_usage'),
  };
}

/** The weight 1 to 10000 as shares 2 to 262144, in the way back that OCI runtimes go. */
const sharesOf = (weight: bigint | undefined): bigint =>
  weight === undefined || weight === 0n ? 0n : 2n + ((weight - 1n) * 262_142n) / 9999n;
