import type { Tone } from '@stowage/status-view';
import type { GcStatus } from '../services/node-status';
import type { Line } from './line';

export type Disk = GcStatus['disks'][number];

/** What each character of a bar stands for. */
export const barLegend = '# images  + containers  o other  . free  | low mark  ! high mark';

const signs = {
  image: { text: '#', tone: 'good' },
  container: { text: '+', tone: 'strong' },
  other: { text: 'o', tone: 'warning' },
  used: { text: '=', tone: 'strong' },
  free: { text: '.', tone: 'dim' },
  low: { text: '|', tone: 'strong' },
  high: { text: '!', tone: 'bad' },
} as const satisfies Readonly<Record<string, { text: string; tone: Tone }>>;

/** Where a threshold stands, in percent of the disk; undefined where it is off. */
function markPercent(
  { capacityBytes }: Disk,
  percent: number,
  availableBytes: number,
): number | undefined {
  if (availableBytes > 0) return (1 - availableBytes / capacityBytes) * 100;
  return percent >= 100 ? undefined : percent;
}

/** A bar of what holds the disk, with its thresholds, as wide as asked for. */
export function diskBar(disk: Disk, policy: GcStatus['policy'], width: number): Line {
  const { capacityBytes, availableBytes, breakdown } = disk;
  const cells = Math.max(0, width - 2);
  const upTo = (bytes: number): number =>
    Math.max(0, Math.min(cells, Math.round((bytes / Math.max(1, capacityBytes)) * cells)));
  const usedCells = upTo(capacityBytes - availableBytes);
  const shown: (keyof typeof signs)[] = Array.from({ length: cells }, (_, at) =>
    at < usedCells ? 'used' : 'free',
  );
  if (breakdown !== undefined) {
    const images = Math.min(usedCells, upTo(breakdown.imageBytes));
    const containers = Math.min(usedCells, upTo(breakdown.imageBytes + breakdown.containerBytes));
    shown.fill('other', 0, usedCells).fill('container', 0, containers).fill('image', 0, images);
  }
  const marks = [
    ['low', markPercent(disk, policy.lowThresholdPercent, policy.lowMarkAvailableBytes)],
    ['high', markPercent(disk, policy.highThresholdPercent, policy.highMarkAvailableBytes)],
  ] as const;
  for (const [sign, percent] of marks) {
    if (percent === undefined) continue;
    const at = Math.round((percent / 100) * cells) - 1;
    if (at >= 0 && at < cells) shown[at] = sign;
  }
  // Neighbours of one kind are one text.
  const line: { text: string; tone: Tone }[] = [];
  for (const sign of shown) {
    const { text, tone } = signs[sign];
    const last = line.at(-1);
    if (last !== undefined && last.text.startsWith(text)) last.text += text;
    else line.push({ text, tone });
  }
  return ['[', ...line, ']'];
}
