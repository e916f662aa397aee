import type { Call } from '../command-line/define';
import type { Cell, Table, Tone } from '../output/table';
import { ageText, sizeText, spanText } from '../output/units';
import {
  nodeStatus,
  serviceSummaries,
  type GcStatus,
  type NodeStatus,
  type ServiceState,
} from '../services/node-status';
import { onNodes } from '../transport/on-nodes';

const tones: Readonly<Record<string, Tone>> = {
  ok: 'good',
  degraded: 'warning',
  down: 'bad',
  absent: 'bad',
  unknown: 'warning',
};

export const stateCell = (state: ServiceState): Cell => ({
  text: state,
  tone: tones[state] ?? 'dim',
});

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

type Disk = GcStatus['disks'][number];

function disksTable(statuses: readonly NodeStatus[], now: number): Table {
  return {
    columns: [
      { title: 'NODE' },
      { title: 'DISK' },
      { title: 'USED', align: 'right' },
      { title: 'SIZE', align: 'right' },
      { title: 'FREE', align: 'right' },
      { title: 'MARKS' },
      { title: 'TREND' },
      { title: 'FULL IN' },
      { title: 'IMAGES', align: 'right' },
      { title: 'CONTAINERS', align: 'right' },
      { title: 'OTHER', align: 'right' },
      { title: 'INODES', align: 'right', isWide: true },
      { title: 'ROLE', isWide: true },
      { title: 'EXCEEDED FOR', isWide: true },
    ],
    rows: statuses.flatMap(({ node, gc }) =>
      (gc.reply?.disks ?? []).map((disk) => [
        node,
        disk.mountpoint,
        usedCell(disk),
        sizeText(disk.capacityBytes),
        sizeText(disk.availableBytes),
        marksText(gc.reply),
        trendText(disk),
        spanOrDash(disk.trend.bytes?.timeToFullMs),
        sizeOrDash(disk.breakdown?.imageBytes),
        sizeOrDash(disk.breakdown?.containerBytes),
        sizeOrDash(disk.breakdown?.otherBytes),
        disk.inodesUsedPercent == null ? '-' : `${disk.inodesUsedPercent} %`,
        disk.role,
        ageText(disk.exceededSince, now),
      ]),
    ),
  };
}

export const usedCell = ({ usedPercent, overCritical, overHigh }: Disk): Cell => ({
  text: `${usedPercent} %`,
  tone: overCritical ? 'bad' : overHigh ? 'warning' : 'good',
});

const sizeOrDash = (sizeBytes: number | undefined): string =>
  sizeBytes === undefined ? '-' : sizeText(sizeBytes);
const spanOrDash = (spanMs: number | undefined): string =>
  spanMs === undefined ? '-' : spanText(spanMs);

function marksText(gc: GcStatus | undefined): string {
  if (gc === undefined) return '-';
  const { highMarkAvailableBytes: high, lowMarkAvailableBytes: low, ...percents } = gc.policy;
  return high > 0
    ? `free ${sizeText(high)} / ${sizeText(low)}`
    : `${percents.highThresholdPercent} / ${percents.lowThresholdPercent} %`;
}

/** Growth in an hour, as in `+1.2 GiB/h`. */
export function trendText({ trend }: Disk): string {
  const { bytes } = trend;
  if (bytes === undefined) return '-';
  const perHour = bytes.perSecond * 3600;
  return `${perHour > 0 ? '+' : ''}${sizeText(Math.round(perHour))}/h`;
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
