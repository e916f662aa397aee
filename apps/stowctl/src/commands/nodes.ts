import { sizeText, stateCell, usedCell } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { nodeStatus, serviceSummaries, worstState, type NodeStatus } from '../services/node-status';
import { onNodes } from '../transport/on-nodes';
import { statusData } from './status';

/** `stowctl nodes`: one line a node. */
export async function nodes(call: Call): Promise<number> {
  const reach = await call.open();
  const { results, failed } =
    reach.nodes.length === 0
      ? { results: [], failed: 0 }
      : await onNodes(reach, call, (node, transport) => nodeStatus(transport, node));
  const statuses = results.map(({ value }) => value);
  await call.out.show({
    data: statuses.map((one) => ({ state: worstState(one), ...statusData(one) })),
    tables: [
      {
        columns: [
          { title: 'NODE' },
          { title: 'STATE' },
          { title: 'SERVICES', align: 'right' },
          { title: 'RUNTIME' },
          { title: 'VERSION' },
          { title: 'IMAGES', align: 'right' },
          { title: 'IMAGE BYTES', align: 'right' },
          { title: 'FULLEST DISK' },
          { title: 'USED', align: 'right' },
        ],
        rows: statuses.map(row),
        empty: 'no node has published events yet',
      },
    ],
  });
  return failed > 0 ? 1 : 0;
}

function row(one: NodeStatus) {
  const { node, version, stats, gc } = one;
  const services = serviceSummaries(one);
  const there = services.filter(({ state }) => state !== 'absent');
  const versions = [...new Set(services.flatMap((service) => service.version ?? []))];
  const fullest = gc.reply?.disks.toSorted((a, b) => b.usedPercent - a.usedPercent)[0];
  return [
    node,
    stateCell(worstState(one)),
    `${there.length}/${services.length}`,
    version.reply === undefined
      ? '-'
      : `${version.reply.runtimeName} ${version.reply.runtimeVersion}`,
    versions.join(', ') || '-',
    stats.reply === undefined ? '-' : String(stats.reply.imageCount),
    stats.reply === undefined ? '-' : sizeText(stats.reply.totalStorageBytes),
    fullest?.mountpoint ?? '-',
    fullest === undefined ? '-' : usedCell(fullest),
  ];
}
