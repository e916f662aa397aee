import fc from 'fast-check';
import {
  assessDisk,
  bytesToFree,
  insufficientSpaceText,
  InvalidDiskCapacityError,
  nextThresholdState,
  sizeText,
  usedPercent,
  type FileSystemReading,
} from './threshold';

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
      capacityBytes: 1000,
      availableBytes: 109,
      clamped: false,
      usedPercent: 90,
      overHigh: true,
      bytesToFree: 91,
      inodes: 100,
      inodesFree: 75,
      inodesUsedPercent: 25,
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

describe('nextThresholdState', () => {
  it.each([
    ['stays normal below the high mark', 'normal', 84, 'normal'],
    ['is exceeded at the high mark', 'normal', 85, 'exceeded'],
    ['stays exceeded between the marks', 'exceeded', 81, 'exceeded'],
    ['stays exceeded above the high mark', 'exceeded', 97, 'exceeded'],
    ['recovers at the low mark', 'exceeded', 80, 'normal'],
    ['stays normal between the marks on the way up', 'normal', 82, 'normal'],
  ] as const)('%s', (_, state, used, next) => {
    const assessment = assessDisk(reading({ availableBytes: 1000 - used * 10 }), marks);
    expect(nextThresholdState(state, assessment)).toBe(next);
  });

  it('recovers only below the mark when both marks are equal', () => {
    const equal = { highThresholdPercent: 90, lowThresholdPercent: 90 };
    const at = (used: number) => assessDisk(reading({ availableBytes: 1000 - used * 10 }), equal);
    expect(nextThresholdState('exceeded', at(90))).toBe('exceeded');
    expect(nextThresholdState('exceeded', at(89))).toBe('normal');
  });

  it('recovers when the asked bytes are free although the percentage rounds up above the low mark', () => {
    const disk = assessDisk(reading({ capacityBytes: 1001, availableBytes: 200 }), marks);
    expect(disk).toMatchObject({ usedPercent: 81, bytesToFree: 0 });
    expect(nextThresholdState('exceeded', disk)).toBe('normal');
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
