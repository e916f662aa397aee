import { sizeText, type DiskAssessment } from '../disk/assess-disk';
import { breakdownText, type DiskBreakdown } from '../disk/break-down';
import type { DiskPoll } from '../disk/disk-watch';
import type { ExceededThreshold } from '../records/exceeded-threshold';
import type { CollectionOutcome } from './collect';

/**
 * Whether a collection did not achieve what it is for: something failed, other than by the stop of
 * the service, or a file system was still over its high threshold afterwards.
 */
export const fellShort = ({ failure, after }: CollectionOutcome): boolean =>
  (failure !== undefined && failure.code !== 'cancelled') || after?.overHigh === true;

export interface CollectionHealthParts {
  /** Thresholds that are exceeded now. */
  readonly exceeded: () => readonly ExceededThreshold[];
  /** Called after each measurement and collection: what is wrong, or undefined. */
  readonly report: (problem: string | undefined) => void;
}

/**
 * What the health of collections says: a problem while an image file system exceeds its high or
 * critical threshold and the last collection fell short. One that was cut off by a stop, or has not
 * run yet, is no problem.
 */
export class CollectionHealth {
  /** How the last collection fell short; undefined when it did not. */
  #shortfall: string | undefined;
  #poll: Pick<DiskPoll, 'disks' | 'breakdowns'> | undefined;

  constructor(private readonly parts: CollectionHealthParts) {}

  collectionEnded(outcome: CollectionOutcome): void {
    this.#shortfall = fellShort(outcome) ? shortfallText(outcome) : undefined;
    this.#report();
  }

  /** A collection that was due could not even be planned. */
  planFailed(reason: string): void {
    this.#shortfall = `could not be planned: ${reason}`;
    this.#report();
  }

  measured(poll: Pick<DiskPoll, 'disks' | 'breakdowns'>): void {
    this.#poll = poll;
    this.#report();
  }

  #report(): void {
    const exceeded = this.parts
      .exceeded()
      .filter(({ role, level }) => role === 'image' && level !== 'warning');
    if (exceeded.length === 0) this.#shortfall = undefined;
    if (this.#shortfall === undefined) {
      this.parts.report(undefined);
      return;
    }
    const mountpoints = [...new Set(exceeded.map(({ mountpoint }) => mountpoint))];
    const disks = mountpoints.map((mountpoint) => this.#diskText(mountpoint));
    this.parts.report(`${disks.join('; ')}; the last collection ${this.#shortfall}`);
  }

  #diskText(mountpoint: string): string {
    const at = <T extends { mountpoint: string }>(list: readonly T[] | undefined) =>
      list?.find((entry) => entry.mountpoint === mountpoint);
    const disk: DiskAssessment | undefined = at(this.#poll?.disks);
    if (disk === undefined) return `${mountpoint} exceeds its threshold`;
    const breakdown: DiskBreakdown | undefined = at(this.#poll?.breakdowns);
    const inodes = disk.overHighInodes ? ` and ${disk.inodesUsedPercent ?? 0} % of its inodes` : '';
    const used = `${mountpoint} is ${disk.usedPercent} % used${inodes}, beyond its threshold`;
    return breakdown === undefined ? used : `${used} (${breakdownText(disk, breakdown)})`;
  }
}

function shortfallText(outcome: CollectionOutcome): string {
  const { removed, measuredBytes, askedBytes, failure, limitedBy } = outcome;
  const images = `${removed.length} ${removed.length === 1 ? 'image' : 'images'}`;
  const freed = measuredBytes == null ? '' : `, freed ${sizeText(Math.max(0, measuredBytes))}`;
  const isAmount = askedBytes !== undefined && askedBytes !== Infinity;
  const asked = isAmount ? ` of ${sizeText(Math.max(0, askedBytes))} asked` : '';
  const failed = failure === undefined ? '' : `: ${failure.code}`;
  const limit = limitedBy === undefined ? '' : `: ${limitedBy}`;
  return `fell short (removed ${images}${freed}${asked})${failed}${limit}`;
}
