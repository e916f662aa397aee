import { LinuxContainerResources, type HugepageLimit } from '@stowage/cri-proto';
import { InvalidArgumentError } from '@stowage/errors';
import type { ContainerChanges, InspectedContainer } from '../engine/engine-client';

/** Limits in the engine's words; what is absent stays as it is. */
export type EngineResources = Pick<
  ContainerChanges,
  'CpuPeriod' | 'CpuQuota' | 'CpuShares' | 'CpusetCpus' | 'CpusetMems' | 'Memory' | 'MemorySwap'
>;

/** Limits that the engine has no words for: they are written into files of the control group. */
export interface CgroupLimits {
  readonly hugepageLimits: readonly HugepageLimit[];
  /** File of control group v2 to its content. */
  readonly unified: Readonly<Record<string, string>>;
}

/** A file of a container's control group. */
export interface CgroupFile {
  readonly name: string;
  /** Whose hierarchy of control groups v1 it is in. */
  readonly controller: 'hugetlb' | undefined;
  readonly value: string;
  /** Whether the container cannot be without it. */
  readonly required: boolean;
}

const pageSize = /^[1-9]\d*[KMG]B$/;
const unifiedKey = /^[a-z0-9_]+\.[a-z0-9_.]+$/;

/** Memory and swap together where nothing is said of swap: as much as memory, so none. */
const unlimited = -1n;

/**
 * The engine's limits for those of a container. Zero means that nothing is asked for.
 *
 * @param present limits of a container that is there already; the engine wants a limit of memory
 *   beside one of swap.
 */
export function engineResources(
  asked: LinuxContainerResources | undefined,
  present: { readonly Memory?: number | bigint } = {},
): EngineResources {
  if (asked === undefined) return {};
  const { cpuPeriod, cpuQuota, cpuShares, cpusetCpus, cpusetMems } = asked;
  return {
    CpuPeriod: given(cpuPeriod),
    CpuQuota: given(cpuQuota),
    CpuShares: given(cpuShares),
    CpusetCpus: given(cpusetCpus),
    CpusetMems: given(cpusetMems),
    ...memory(asked, BigInt(present.Memory ?? 0)),
  };
}

/** Zero and the empty text stand for nothing. */
const given = <T extends bigint | string>(value: T): T | undefined =>
  value === 0n || value === '' ? undefined : value;

function memory(
  { memoryLimitInBytes, memorySwapLimitInBytes: swap }: LinuxContainerResources,
  present: bigint,
): EngineResources {
  const isSwapGiven = swap > 0n || swap === unlimited;
  const limit = memoryLimitInBytes > 0n ? memoryLimitInBytes : isSwapGiven ? present : 0n;
  return limit > 0n ? { Memory: limit, MemorySwap: isSwapGiven ? swap : limit } : {};
}

/**
 * What is asked for beside what the engine has words for.
 *
 * @param cgroupVersion of the node, as the engine says it.
 * @throws {InvalidArgumentError}
 */
export function cgroupLimits(
  asked: LinuxContainerResources | undefined,
  cgroupVersion: string,
): CgroupLimits {
  const { hugepageLimits = [], unified = {} } = asked ?? {};
  for (const { pageSize: size } of hugepageLimits) {
    if (pageSize.test(size)) continue;
    throw new InvalidArgumentError('hugepage_limits.page_size', size, 'a size such as 2MB');
  }
  for (const key of Object.keys(unified)) {
    if (cgroupVersion !== '2') {
      const allowed = `none: this node has control groups v${cgroupVersion}`;
      throw new InvalidArgumentError('unified', key, allowed);
    }
    if (unifiedKey.test(key)) continue;
    throw new InvalidArgumentError('unified', key, 'names of files such as memory.high');
  }
  return { hugepageLimits, unified };
}

/** Later limits on top of earlier ones. */
export function mergeCgroupLimits(before: CgroupLimits, later: CgroupLimits): CgroupLimits {
  const bySize = new Map(before.hugepageLimits.map((limit) => [limit.pageSize, limit]));
  for (const limit of later.hugepageLimits) bySize.set(limit.pageSize, limit);
  return {
    hugepageLimits: [...bySize.values()],
    unified: { ...before.unified, ...later.unified },
  };
}

/** The files that hold the limits. */
export function cgroupFiles(
  { hugepageLimits, unified }: CgroupLimits,
  cgroupVersion: string,
): CgroupFile[] {
  const last = cgroupVersion === '2' ? 'max' : 'limit_in_bytes';
  return [
    ...hugepageLimits.map(({ pageSize: size, limit }) => ({
      name: `hugetlb.${size}.${last}`,
      controller: 'hugetlb' as const,
      value: String(limit),
      required: false,
    })),
    ...Object.entries(unified).map(([name, value]) => ({
      name,
      controller: undefined,
      value,
      required: true,
    })),
  ];
}

/** Limits of a container of the engine, and those in its control group's files. */
export function criResources(
  { HostConfig }: InspectedContainer,
  { hugepageLimits, unified }: CgroupLimits,
): LinuxContainerResources {
  const { CpuPeriod, CpuQuota, CpuShares, CpusetCpus, CpusetMems } = HostConfig ?? {};
  const { Memory, MemorySwap, OomScoreAdj } = HostConfig ?? {};
  return LinuxContainerResources.fromPartial({
    cpuPeriod: BigInt(CpuPeriod ?? 0),
    cpuQuota: BigInt(CpuQuota ?? 0),
    cpuShares: BigInt(CpuShares ?? 0),
    cpusetCpus: CpusetCpus ?? '',
    cpusetMems: CpusetMems ?? '',
    memoryLimitInBytes: BigInt(Memory ?? 0),
    memorySwapLimitInBytes: BigInt(MemorySwap ?? 0),
    oomScoreAdj: BigInt(OomScoreAdj ?? 0),
    hugepageLimits: [...hugepageLimits],
    unified,
  });
}
