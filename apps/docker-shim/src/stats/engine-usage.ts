import type { EngineStats } from '../engine/engine-client';
import type { InterfaceTraffic } from './kernel-text';
import type { Usage } from './usage';

const whole = (value: number | bigint | null | undefined): bigint | undefined =>
  value == null ? undefined : BigInt(value);

/**
 * The engine's own numbers; undefined when it has none, since the container does not run.
 *
 * @param hostBytes memory of the machine, which the engine reports as limit where there is none.
 */
export function engineUsage(
  { cpu_stats: cpu, memory_stats: memory, pids_stats: pids, networks }: EngineStats,
  at: Pick<Usage, 'atMs' | 'clockMs'>,
  hostBytes: number | null | undefined,
): { readonly usage: Usage; readonly interfaces: InterfaceTraffic[] } | undefined {
  const cpuNs = whole(cpu?.cpu_usage?.total_usage);
  const usedBytes = whole(memory?.usage);
  if (!cpuNs && !usedBytes) return undefined;
  const number = (...names: string[]): bigint => {
    for (const name of names) {
      const value = whole(memory?.stats?.[name]);
      if (value !== undefined) return value;
    }
    return 0n;
  };
  const limitBytes = whole(memory?.limit);
  return {
    usage: {
      ...at,
      cpuNs,
      tasks: whole(pids?.current),
      memory:
        usedBytes === undefined
          ? undefined
          : {
              usedBytes,
              inactiveFileBytes: number('total_inactive_file', 'inactive_file'),
              anonymousBytes: number('total_rss', 'anon'),
              pageFaults: number('total_pgfault', 'pgfault'),
              majorPageFaults: number('total_pgmajfault', 'pgmajfault'),
              limitBytes: limitBytes === whole(hostBytes) ? undefined : limitBytes,
            },
    },
    interfaces: Object.entries(networks ?? {}).map(([name, of]) => ({
      name,
      receivedBytes: whole(of.rx_bytes) ?? 0n,
      receivedPackets: whole(of.rx_packets) ?? 0n,
      receiveErrors: whole(of.rx_errors) ?? 0n,
      receiveDropped: whole(of.rx_dropped) ?? 0n,
      sentBytes: whole(of.tx_bytes) ?? 0n,
      sentPackets: whole(of.tx_packets) ?? 0n,
      sendErrors: whole(of.tx_errors) ?? 0n,
      sendDropped: whole(of.tx_dropped) ?? 0n,
    })),
  };
}
