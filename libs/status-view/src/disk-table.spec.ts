import { gcWorker } from '@stowage/commands';
import { diskCells, diskColumns, type DiskMarks, type DiskStatus } from './disk-table';
import { cellText } from './table';

const { reply } = gcWorker.status.example;
const disk = reply.disks[0] as DiskStatus;
const now = Date.parse('2026-11-20T22:12:00Z');

const shown = (more: Partial<DiskStatus> = {}, marks: DiskMarks | undefined = reply.policy) =>
  Object.fromEntries(
    diskCells({ ...disk, ...more }, marks, now).map((cell, at) => [
      diskColumns[at]?.title ?? '',
      cellText(cell),
    ]),
  );

it('shows marks, trend and what the bytes belong to', () => {
  expect(shown()).toEqual({
    DISK: '/var/lib/containerd',
    USED: '89 %',
    SIZE: '100.0 GiB',
    FREE: '12.0 GiB',
    MARKS: '85 / 80 %',
    TREND: '+3.5 GiB/h',
    'FULL IN': '3h24m',
    IMAGES: '20.0 GiB',
    CONTAINERS: '4.0 GiB',
    OTHER: '64.0 GiB',
    INODES: '20 %',
    ROLE: 'image',
    'EXCEEDED FOR': '10s',
  });
});

it('has a dash for what is not known', () => {
  const unknown = { trend: {}, breakdown: undefined, inodesUsedPercent: null, exceededSince: null };
  expect(shown(unknown)).toMatchObject({
    ...{ TREND: '-', 'FULL IN': '-', IMAGES: '-', CONTAINERS: '-', OTHER: '-', INODES: '-' },
    'EXCEEDED FOR': '-',
  });
});

it('shows marks in available bytes where the policy has these', () => {
  const marks = {
    ...reply.policy,
    highMarkAvailableBytes: 2 ** 30,
    lowMarkAvailableBytes: 2 ** 31,
  };
  expect(shown({}, marks).MARKS).toBe('free 1.0 GiB / 2.0 GiB');
});

it.each([
  [{ overHigh: false, overCritical: false }, 'good'],
  [{ overHigh: true, overCritical: false }, 'warning'],
  [{ overHigh: true, overCritical: true }, 'bad'],
])('%j is %s', (levels, tone) => {
  expect(diskCells({ ...disk, ...levels }, reply.policy, now)[1]).toEqual({ text: '89 %', tone });
});
