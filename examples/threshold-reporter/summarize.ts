import type { CommandReply, gcWorker } from '@stowage/commands';
import type { StowageEvent } from '@stowage/events';

/** What gc-worker would do on its node, images in the order of their removal. */
type Plan = CommandReply<typeof gcWorker.plan>;

/** Most images that a summary lists. */
const listed = 10;

/** Bytes for people, 1024-based. */
function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

const minutes = (ms: number) => `${String(Math.max(1, Math.round(ms / 60_000)))} min`;

/**
 * Names of images come from anywhere: nothing but printable characters goes to a terminal or a
 * chat.
 */
const printable = (line: string) => line.replace(/[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]/g, '?');

/**
 * What happened to the disk and what gc-worker would do about it; `plan` is the reason where there
 * is none.
 */
export function summarize(event: StowageEvent<'ThresholdExceeded'>, plan: Plan | string): string {
  const { filesystem, resource, mark, thresholdPercent, bytesToFree, trend } = event.data;
  const used = resource === 'inodes' ? filesystem.inodesUsedPercent : filesystem.usedPercent;
  const what = resource === 'inodes' ? 'of its inodes used' : 'full';
  const timeToFullMs = trend?.timeToFullMs;
  const lines = [
    `${event.node}: ${filesystem.mountpoint} is ${String(used)} % ${what}, ${mark} mark ${String(thresholdPercent)} %`,
    [
      `  ${size(filesystem.availableBytes)} of ${size(filesystem.capacityBytes)} available`,
      ...(bytesToFree > 0 ? [`${size(bytesToFree)} to free`] : []),
      ...(timeToFullMs === undefined ? [] : [`full in ${minutes(timeToFullMs)} at this rate`]),
    ].join(', '),
    ...(typeof plan === 'string' ? [`  no plan from gc-worker: ${plan}`] : planLines(plan)),
  ];
  return lines.map(printable).join('\n');
}

function planLines({ planId, total, removeCount, expectedBytes, keptByRule, images }: Plan) {
  const removed = images.filter(({ verdict }) => verdict === 'remove').slice(0, listed);
  const kept = Object.entries(keptByRule).map(([rule, count]) => `${String(count)} ${rule}`);
  return [
    removeCount === 0
      ? `  plan ${planId}: none of ${String(total)} images would go`
      : `  plan ${planId}: ${String(removeCount)} of ${String(total)} images would go, about ${size(expectedBytes)}`,
    ...removed.map(
      ({ imageId, repoTags, expectedBytes: bytes, why }, i) =>
        `    ${String(i + 1)}. ${repoTags[0] ?? imageId} (${size(bytes)}): ${why}`,
    ),
    ...(removeCount > removed.length
      ? [`    and ${String(removeCount - removed.length)} more`]
      : []),
    ...(kept.length === 0 ? [] : [`  kept: ${kept.join(', ')}`]),
  ];
}
