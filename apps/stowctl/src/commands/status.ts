import { diskCells, diskColumns, stateCell, type Table } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import {
  nodeStatus,
  serviceSummaries,
  type NodeStatus,
  type ServiceState,
} from '../services/node-status';
import { onNodes } from '../transport/on-nodes';

/** `stowctl status`: services and disks of the nodes. */
export async function status(call: Call): Promise<number> {
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    nodeStatus(transport, node),
  );
  const statuses = results.map(({ value }) => value);
  await call.out.show({
    data: statuses.map(statusData),
    tables: [servicesTable(statuses), disksTable(statuses, Date.now())],
    notes: statuses.flatMap(collectionNotes),
  });
  const isAnswered = statuses.some((one) => serviceSummaries(one).some(isThere));
  return failed > 0 || !isAnswered ? 1 : 0;
}

const isThere = ({ state }: { readonly state: ServiceState }): boolean => state !== 'absent';

/** A node's status for programs. */
export function statusData(one: NodeStatus): object {
  const { node, version, stats, gc } = one;
  return {
    node,
    services: serviceSummaries(one),
    runtime: version.reply && {
      name: version.reply.runtimeName,
      version: version.reply.runtimeVersion,
      criVersion: version.reply.criVersion,
    },
    images: stats.reply && {
      count: stats.reply.imageCount,
      totalBytes: stats.reply.totalStorageBytes,
    },
    disks: gc.reply?.disks,
    collects: gc.reply?.collects,
    exemptUnmatched: gc.reply?.exemptUnmatched,
    lastCollection: gc.reply?.lastCollection,
  };
}

function servicesTable(statuses: readonly NodeStatus[]): Table {
  return {
    columns: [
      { title: 'NODE' },
      { title: 'SERVICE' },
      { title: 'STATE' },
      { title: 'VERSION' },
      { title: 'DETAIL' },
    ],
    rows: statuses.flatMap((one) =>
      serviceSummaries(one).map(({ app, state, version = '-', detail }) => [
        one.node,
        app,
        stateCell(state),
        version,
        detail,
      ]),
    ),
  };
}

function disksTable(statuses: readonly NodeStatus[], now: number): Table {
  return {
    columns: [{ title: 'NODE' }, ...diskColumns],
    rows: statuses.flatMap(({ node, gc }) =>
      (gc.reply?.disks ?? []).map((disk) => [node, ...diskCells(disk, gc.reply?.policy, now)]),
    ),
  };
}

function collectionNotes({ node, gc }: NodeStatus): string[] {
  const { reply } = gc;
  if (reply === undefined) return [];
  const full = reply.disks
    .filter(({ overHigh, breakdown }) => overHigh && breakdown?.imagesSuffice === false)
    .map(
      ({ mountpoint }) => `${node}: not even the removal of all images would do for ${mountpoint}`,
    );
  const unmatched =
    reply.exemptUnmatched.length === 0
      ? []
      : [`${node}: exempt, but no image is: ${reply.exemptUnmatched.join(', ')}`];
  return [...full, ...unmatched];
}
