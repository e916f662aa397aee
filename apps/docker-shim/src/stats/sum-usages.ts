import type { RatedUsage } from './cri-stats';
import type { MemoryUse } from './usage';

/**
 * What several control groups use together. Pressure has no sum, and a limit of one is none of all.
 */
export function sumUsages(usages: readonly RatedUsage[]): RatedUsage | undefined {
  const [first] = usages;
  if (first === undefined) return undefined;
  const memories = usages.flatMap(({ memory }) => memory ?? []);
  return {
    atMs: first.atMs,
    clockMs: first.clockMs,
    cpuNs: sum(usages.map(({ cpuNs }) => cpuNs)),
    nanoCores: sum(usages.map(({ nanoCores }) => nanoCores)),
    tasks: sum(usages.map(({ tasks }) => tasks)),
    memory: memories.length === 0 ? undefined : sumMemories(memories),
  };
}

function sumMemories(memories: readonly MemoryUse[]): MemoryUse {
  const of = (pick: (memory: MemoryUse) => bigint) => sum(memories.map(pick)) ?? 0n;
  return {
    usedBytes: of(({ usedBytes }) => usedBytes),
    inactiveFileBytes: of(({ inactiveFileBytes }) => inactiveFileBytes),
    anonymousBytes: of(({ anonymousBytes }) => anonymousBytes),
    pageFaults: of(({ pageFaults }) => pageFaults),
    majorPageFaults: of(({ majorPageFaults }) => majorPageFaults),
  };
}

/** Of the numbers that there are; undefined when there is none. */
const sum = (numbers: readonly (bigint | undefined)[]): bigint | undefined =>
  numbers.reduce(
    (total, number) => (number === undefined ? total : (total ?? 0n) + number),
    undefined,
  );
