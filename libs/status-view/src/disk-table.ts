import type { CommandReply, gcWorker } from '@stowage/commands';
import type { Cell, Column } from './table';
import { ageText, sizeText, spanText } from './units';

type GcStatus = CommandReply<typeof gcWorker.status>;

/** What a table shows of a file system, as gc-worker's status has it. */
export type DiskStatus = Omit<GcStatus['disks'][number], 'exceeded'>;

/** What of the policy says when a disk is full. */
export type DiskMarks = Pick<
  GcStatus['policy'],
  | 'highThresholdPercent'
  | 'lowThresholdPercent'
  | 'highMarkAvailableBytes'
  | 'lowMarkAvailableBytes'
>;

/** Columns of a table of disks. */
export const diskColumns: readonly Column[] = [
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
];

/** A disk under {@link diskColumns}; `now` in milliseconds since the epoch. */
export const diskCells = (
  disk: DiskStatus,
  marks: DiskMarks | undefined,
  now: number,
): readonly Cell[] => [
  disk.mountpoint,
  usedCell(disk),
  sizeText(disk.capacityBytes),
  sizeText(disk.availableBytes),
  marksText(marks),
  trendText(disk),
  spanOrDash(disk.trend.bytes?.timeToFullMs),
  sizeOrDash(disk.breakdown?.imageBytes),
  sizeOrDash(disk.breakdown?.containerBytes),
  sizeOrDash(disk.breakdown?.otherBytes),
  disk.inodesUsedPercent == null ? '-' : `${disk.inodesUsedPercent} %`,
  disk.role,
  ageText(disk.exceededSince, now),
];

/** How full a disk is. */
export const usedCell = ({
  usedPercent,
  overCritical,
  overHigh,
}: Pick<DiskStatus, 'usedPercent' | 'overCritical' | 'overHigh'>): Cell => ({
  text: `${usedPercent} %`,
  tone: overCritical ? 'bad' : overHigh ? 'warning' : 'good',
});

const sizeOrDash = (sizeBytes: number | undefined): string =>
  sizeBytes === undefined ? '-' : sizeText(sizeBytes);
const spanOrDash = (spanMs: number | undefined): string =>
  spanMs === undefined ? '-' : spanText(spanMs);

function marksText(marks: DiskMarks | undefined): string {
  if (marks === undefined) return '-';
  const { highMarkAvailableBytes: high, lowMarkAvailableBytes: low } = marks;
  return high > 0
    ? `free ${sizeText(high)} / ${sizeText(low)}`
    : `${marks.highThresholdPercent} / ${marks.lowThresholdPercent} %`;
}

/** Growth in an hour, as in `+1.2 GiB/h`. */
export function trendText({ trend }: Pick<DiskStatus, 'trend'>): string {
  const { bytes } = trend;
  if (bytes === undefined) return '-';
  const perHour = bytes.perSecond * 3600;
  return `${perHour > 0 ? '+' : ''}${sizeText(Math.round(perHour))}/h`;
}
