import {
  ContainerStats,
  NetworkUsage,
  PodSandboxStats,
  type CpuUsage,
  type IoUsage,
  type LinuxPodSandboxStats,
  type MemoryUsage,
  type NetworkInterfaceUsage,
  type PsiStats,
  type SwapUsage,
  type UInt64Value,
} from '@stowage/cri-proto';
import type { InterfaceTraffic, Pressure, PressureLines } from './kernel-text';
import type { LayerSize } from './layer-sizes';
import type { StatsContainer, StatsSandbox } from './types';
import { workingSetBytes, type MemoryUse, type Usage } from './usage';

/** A usage with the rate that was made of it, billionths of a core. */
export interface RatedUsage extends Usage {
  readonly nanoCores: bigint | undefined;
}

/** The writable layer of a container. */
export interface Layer {
  readonly size: LayerSize;
  /** A folder on the file system that it lies on. */
  readonly mountpoint: string;
}

/** Stats of a container; without `usage`, of one that is not running. */
export function containerStats(
  { id, metadata, labels, annotations }: StatsContainer,
  usage: RatedUsage | undefined,
  layer: Layer | undefined,
): ContainerStats {
  return ContainerStats.fromPartial({
    attributes: { id, metadata, labels, annotations },
    ...(usage && {
      cpu: cpuUsage(usage),
      memory: memoryUsage(usage),
      swap: swapUsage(usage),
      io: ioUsage(usage),
    }),
    writableLayer: layer && {
      timestamp: nanoseconds(layer.size.atMs),
      fsId: { mountpoint: layer.mountpoint },
      usedBytes: { value: layer.size.bytes },
    },
  });
}

/** What a pod uses as a whole. */
export interface PodUse {
  readonly usage: RatedUsage | undefined;
  /** Absent on the host's network. */
  readonly traffic:
    { readonly atMs: number; readonly interfaces: readonly InterfaceTraffic[] } | undefined;
  readonly containers: readonly ContainerStats[];
}

/** Name that CNI plugins and Docker's bridge give the interface of a pod. */
const podInterface = 'eth0';

export function podSandboxStats(
  { id, metadata, labels, annotations }: StatsSandbox,
  { usage, traffic, containers }: PodUse,
): PodSandboxStats {
  const linux: Partial<LinuxPodSandboxStats> = { containers: [...containers] };
  if (usage !== undefined) {
    linux.cpu = cpuUsage(usage);
    linux.memory = memoryUsage(usage);
    linux.io = ioUsage(usage);
    if (usage.tasks !== undefined) {
      linux.process = { timestamp: nanoseconds(usage.atMs), processCount: { value: usage.tasks } };
    }
  }
  if (traffic !== undefined) linux.network = networkUsage(traffic.atMs, traffic.interfaces);
  return PodSandboxStats.fromPartial({
    attributes: { id, metadata, labels, annotations },
    linux,
  });
}

function networkUsage(atMs: number, interfaces: readonly InterfaceTraffic[]): NetworkUsage {
  const first = interfaces.find(({ name }) => name === podInterface) ?? interfaces[0];
  return NetworkUsage.fromPartial({
    timestamp: nanoseconds(atMs),
    defaultInterface: first && interfaceUsage(first),
    interfaces: interfaces.filter((of) => of !== first).map(interfaceUsage),
  });
}

const interfaceUsage = (of: InterfaceTraffic): NetworkInterfaceUsage => ({
  name: of.name,
  rxBytes: { value: of.receivedBytes },
  rxErrors: { value: of.receiveErrors },
  txBytes: { value: of.sentBytes },
  txErrors: { value: of.sendErrors },
});

const cpuUsage = ({ atMs, cpuNs, nanoCores, pressure }: RatedUsage): CpuUsage | undefined =>
  cpuNs === undefined
    ? undefined
    : {
        timestamp: nanoseconds(atMs),
        usageCoreNanoSeconds: { value: cpuNs },
        usageNanoCores: value(nanoCores),
        psi: psiStats(pressure?.cpu),
      };

const memoryUsage = ({ atMs, memory, pressure }: Usage): MemoryUsage | undefined =>
  memory && {
    timestamp: nanoseconds(atMs),
    workingSetBytes: { value: workingSetBytes(memory) },
    availableBytes: value(availableBytes(memory)),
    usageBytes: { value: memory.usedBytes },
    rssBytes: { value: memory.anonymousBytes },
    pageFaults: { value: memory.pageFaults },
    majorPageFaults: { value: memory.majorPageFaults },
    psi: psiStats(pressure?.memory),
  };

const swapUsage = ({ atMs, swap }: Usage): SwapUsage | undefined =>
  swap && {
    timestamp: nanoseconds(atMs),
    swapUsageBytes: { value: swap.usedBytes },
    swapAvailableBytes: value(
      swap.limitBytes === undefined ? undefined : notBelowZero(swap.limitBytes - swap.usedBytes),
    ),
  };

function ioUsage({ atMs, pressure }: Usage): IoUsage | undefined {
  const psi = psiStats(pressure?.io);
  return psi && { timestamp: nanoseconds(atMs), psi };
}

const psiStats = (lines: PressureLines | undefined): PsiStats | undefined =>
  lines && { Full: psiData(lines.full), Some: psiData(lines.some) };

const psiData = (pressure: Pressure | undefined) =>
  pressure && {
    Total: pressure.totalNs,
    Avg10: pressure.avg10,
    Avg60: pressure.avg60,
    Avg300: pressure.avg300,
  };

const availableBytes = (memory: MemoryUse): bigint | undefined =>
  memory.limitBytes === undefined
    ? undefined
    : notBelowZero(memory.limitBytes - workingSetBytes(memory));

const notBelowZero = (difference: bigint): bigint => (difference < 0n ? 0n : difference);
const value = (number: bigint | undefined): UInt64Value | undefined =>
  number === undefined ? undefined : { value: number };

/** Milliseconds of a clock as the CRI has them. */
export const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms * 1000)) * 1000n;
