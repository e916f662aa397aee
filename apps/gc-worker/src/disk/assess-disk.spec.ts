import fc from 'fast-check';
import { isExceeded, marksOf } from './thresholds';
import type { CollectionPolicy } from '../policy/policy';
import { policy } from '../testing/plan-fixtures';
import {
  assessDisk,
  bytesToFree,
  bytesToPlan,
  disksToRelieve,
  insufficientSpaceText,
  InvalidDiskCapacityError,
  isRelieved,
  sizeText,
  usedPercent,
  type FileSystemReading,
} from './assess-disk';

const marks = { highThresholdPercent: 85, lowThresholdPercent: 80 };
const reading = (values: Partial<FileSystemReading> = {}): FileSystemReading => ({
  mountpoint: '/images',
  capacityBytes: 1000,
  availableBytes: 600,
  inodes: 100,
  inodesFree: 75,
  ...values,
});

describe('assessDisk', () => {
  it('holds a reading against the marks', () => {
    expect(assessDisk(reading({ availableBytes: 109 }), marks)).toEqual({
      mountpoint: '/images',
      role: 'image',
      capacityBytes: 1000,
      availableBytes: 109,
      clamped: false,
      usedPercent: 90,
      overHigh: true,
      overHighBytes: true,
      overHighInodes: false,
      overCritical: false,
      bytesToFree: 91,
      inodes: 100,
      inodesFree: 75,
      inodesUsedPercent: 25,
      inodesToFree: null,
    });
  });

  it('takes an available amount above the capacity for the capacity', () => {
    const disk = assessDisk(reading({ availableBytes: 1500 }), marks);
    expect(disk).toMatchObject({ availableBytes: 1000, clamped: true, usedPercent: 0 });
  });

  it('has no inode percentage where their number is not fixed', () => {
    const disk = assessDisk(reading({ inodes: 0, inodesFree: 0 }), marks);
    expect(disk.inodesUsedPercent).toBeNull();
  });

  it.each([[null], [0]])('refuses capacity %p with kubelet’s words', (capacityBytes) => {
    expect(() => assessDisk(reading({ capacityBytes }), marks)).toThrow(
      new InvalidDiskCapacityError('/images', 0),
    );
    expect(new InvalidDiskCapacityError('/images', 0).message).toBe(
      'invalid capacity 0 on image filesystem',
    );
  });

  it('is exact beyond what a product of doubles holds', () => {
    const capacity = 9_000_000_000_000_000;
    expect(usedPercent(capacity, 899_999_999_999_999)).toBe(91);
    expect(bytesToFree(capacity, 1, 80)).toBe(1_799_999_999_999_999);
  });

  it('freeing the bytes to free brings usage to the low mark, one percent of rounding aside', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: Number.MAX_SAFE_INTEGER }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 100 }),
        (capacity, share, low) => {
          const available = Math.floor(capacity * share);
          const free = bytesToFree(capacity, available, low);
          if (free <= 0) return;
          // kubelet truncates the wanted amount, so the percentage can stay one above.
          expect(usedPercent(capacity, available + free)).toBeLessThanOrEqual(low + 1);
        },
      ),
    );
  });
});

describe('marksOf and isExceeded', () => {
  const state = (was: boolean, used: number, values: Partial<CollectionPolicy> = {}): boolean => {
    const some = policy(values);
    const assessment = assessDisk(reading({ availableBytes: 1000 - used * 10 }), some);
    const high = marksOf(assessment, {}, some).find(({ level }) => level === 'high')!;
    return isExceeded(high, was);
  };
  it.each([
    ['stays normal below the high mark', false, 84, false],
    ['is exceeded at the high mark', false, 85, true],
    ['stays exceeded between the marks', true, 81, true],
    ['stays exceeded above the high mark', true, 97, true],
    ['recovers at the low mark', true, 80, false],
    ['stays normal between the marks on the way up', false, 82, false],
  ] as const)('%s', (_, was, used, next) => {
    expect(state(was, used)).toBe(next);
  });

  it('recovers only below the mark when both marks are equal', () => {
    const equal = { highThresholdPercent: 90, lowThresholdPercent: 90 };
    expect(state(true, 90, equal)).toBe(true);
    expect(state(true, 89, equal)).toBe(false);
  });

  it('recovers when the asked bytes are free although the percentage rounds up above the low mark', () => {
    const disk = assessDisk(reading({ capacityBytes: 1001, availableBytes: 200 }), marks);
    expect(disk).toMatchObject({ usedPercent: 81, bytesToFree: 0 });
    expect(marksOf(disk, {}, policy())).toContainEqual(
      expect.objectContaining({ level: 'high', isReached: false, isLeft: true }),
    );
  });

  const levels = (
    used: number,
    timeToFullMs: number | undefined,
    was: boolean,
    values: Partial<CollectionPolicy> = {},
  ) => {
    const some = policy({ warningThresholdPercent: 75, warningTimeToFullMs: 60_000, ...values });
    const assessment = assessDisk(reading({ availableBytes: 1000 - used * 10 }), some);
    const trend = { perSecond: 1, windowMs: 60_000, ...(timeToFullMs ? { timeToFullMs } : {}) };
    return marksOf(assessment, { bytes: trend }, some)
      .filter((mark) => isExceeded(mark, was))
      .map(({ level, cause }) => `${level} ${cause}`);
  };
  it.each([
    ['nothing when there is room', 50, undefined, false, []],
    ['a warning by percent', 75, undefined, false, ['warning used']],
    ['a warning by time to full', 20, 59_000, false, ['warning time-to-full']],
    ['no warning when it takes longer', 20, 61_000, false, []],
    ['a warning that stays until twice the time', 20, 119_000, true, ['warning time-to-full']],
    ['a warning that ends then', 20, 120_000, true, []],
    ['a warning that stays a little below its mark', 74, undefined, true, ['warning time-to-full']],
    ['a warning that ends two percent below', 73, undefined, true, []],
    ['all levels at once', 95, undefined, false, ['warning used', 'high used', 'critical used']],
    [
      'critical until two percent below',
      94,
      undefined,
      true,
      ['warning used', 'high used', 'critical used'],
    ],
    ['no longer critical', 93, undefined, true, ['warning used', 'high used']],
  ] as const)('give %s', (_, used, timeToFullMs, was, expected) => {
    expect(levels(used, timeToFullMs, was)).toEqual(expected);
  });

  it('are off where the policy has none', () => {
    const off = {
      warningThresholdPercent: 0,
      warningTimeToFullMs: 0,
      criticalThresholdPercent: 100,
    };
    expect(levels(99, 1, false, off)).toEqual(['high used']);
  });
});

describe('absolute marks and inodes', () => {
  const absolute = policy({ highMarkAvailableBytes: 300, lowMarkAvailableBytes: 400 });
  it.each([
    ['not reached with as many bytes as the mark', 300, false, 100],
    ['reached with one byte less', 299, true, 101],
    ['down at the low mark', 400, false, 0],
  ])('bytes instead of percents: %s', (_, availableBytes, overHigh, bytesToFree) => {
    expect(assessDisk(reading({ availableBytes }), absolute)).toMatchObject({
      overHigh,
      bytesToFree,
    });
  });

  const some = policy({ inodesHighThresholdPercent: 90, inodesLowThresholdPercent: 80 });
  it('inodes start a collection; the bytes to plan for follow from bytes per inode', () => {
    const disk = assessDisk(reading({ availableBytes: 600, inodes: 100, inodesFree: 5 }), some);
    expect(disk).toMatchObject({
      overHigh: true,
      overHighBytes: false,
      overHighInodes: true,
      inodesToFree: 15,
      inodesUsedPercent: 95,
    });
    // 400 bytes in 95 inodes, 15 to free.
    expect(bytesToPlan(disk)).toBe(64);
    const after = assessDisk(reading({ availableBytes: 600, inodes: 100, inodesFree: 20 }), some);
    expect(isRelieved(disk, after)).toBe(true);
    expect(isRelieved(disk, disk)).toBe(false);
    expect(marksOf(disk, {}, some)).toContainEqual(
      expect.objectContaining({ resource: 'inodes', level: 'high', isReached: true }),
    );
  });

  it('inodes without a fixed number, or without a mark, start nothing', () => {
    expect(assessDisk(reading({ inodes: 0, inodesFree: 0 }), some).overHigh).toBe(false);
    const full = reading({ inodes: 100, inodesFree: 0 });
    expect(assessDisk(full, policy())).toMatchObject({ overHigh: false, inodesToFree: null });
  });

  it('outside the maintenance windows only what is critical is relieved', () => {
    const disk = (used: number) =>
      assessDisk(reading({ availableBytes: 1000 - used * 10 }), policy());
    expect(disksToRelieve([disk(90)], false)).toEqual([]);
    expect(disksToRelieve([disk(90)], true)).toHaveLength(1);
    expect(disksToRelieve([disk(95)], false)).toHaveLength(1);
  });
});

describe('sizeText', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1280, '1.2 KiB'],
    [1792, '1.8 KiB'],
    [1_048_575, '1024.0 KiB'],
    [1_048_576, '1.0 MiB'],
    [10_737_418_240, '10.0 GiB'],
    [1_099_511_627_775, '1024.0 GiB'],
    [1_125_899_906_842_624, '1024.0 TiB'],
    [-5, '-5 B'],
  ])('%d bytes are %s, halves to the even digit as Go does', (bytes, text) => {
    expect(sizeText(bytes)).toBe(text);
  });
});

describe('insufficientSpaceText', () => {
  it('is kubelet’s text', () => {
    expect(
      insufficientSpaceText({ usedPercent: 95, capacityBytes: 10_737_418_240 }, 524_288_000),
    ).toBe(
      "Insufficient free disk space on the node's image filesystem (95% of 10.0 GiB used). Failed to free sufficient space by deleting unused images (freed 524288000 bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other data.",
    );
  });
});
