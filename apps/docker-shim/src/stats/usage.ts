import type { DeviceIo, PressureLines } from './kernel-text';

/** What a control group uses now. What is absent, the kernel does not say. */
export interface Usage {
  /** When it was read, milliseconds since the epoch. */
  readonly atMs: number;
  /** The same on a clock that never jumps, milliseconds. */
  readonly clockMs: number;
  /** Since the start, all cores together. */
  readonly cpuNs?: bigint;
  readonly memory?: MemoryUse;
  readonly swap?: { readonly usedBytes: bigint; readonly limitBytes?: bigint };
  /** Processes and threads. */
  readonly tasks?: bigint;
  readonly pressure?: {
    readonly cpu?: PressureLines;
    readonly memory?: PressureLines;
    readonly io?: PressureLines;
  };
}

/** Bytes, and numbers of faults since the start. */
export interface MemoryUse {
  readonly usedBytes: bigint;
  /** File cache that can go without harm. */
  readonly inactiveFileBytes: bigint;
  readonly anonymousBytes: bigint;
  readonly pageFaults: bigint;
  readonly majorPageFaults: bigint;
  /** Absent without a limit. */
  readonly limitBytes?: bigint;
}

/** What eviction goes by: what is used, but for the file cache that can go without harm. */
export const workingSetBytes = ({ usedBytes, inactiveFileBytes }: MemoryUse): bigint =>
  usedBytes > inactiveFileBytes ? usedBytes - inactiveFileBytes : 0n;

/** What of a control group only metrics show. */
export interface UsageDetails {
  readonly cpu: {
    readonly userNs: bigint;
    readonly systemNs: bigint;
    readonly periods: bigint;
    readonly throttledPeriods: bigint;
    readonly throttledNs: bigint;
    readonly shares: bigint;
    readonly periodUs: bigint;
    /** Absent without a quota. */
    readonly quotaUs?: bigint;
  };
  /** Bytes but for the last five, which are numbers since the start. */
  readonly memory: {
    readonly cacheBytes: bigint;
    readonly mappedFileBytes: bigint;
    readonly kernelBytes: bigint;
    /** Highest since the start. */
    readonly highestBytes: bigint;
    readonly reservedBytes: bigint;
    readonly limitHits: bigint;
    readonly ownPageFaults: bigint;
    readonly ownMajorPageFaults: bigint;
    readonly oomKills: bigint;
  };
  /** Absent without a limit. */
  readonly tasksLimit?: bigint;
  readonly processes: readonly number[];
  readonly io: readonly DeviceIo[];
  readonly hugePages: readonly HugePages[];
}

/** Huge pages of one size. */
export interface HugePages {
  /** As the kernel names it, for instance `2MB`. */
  readonly pageSize: string;
  readonly usedBytes: bigint;
  /** Highest since the start; what is used now where the kernel does not keep it. */
  readonly highestBytes: bigint;
}
