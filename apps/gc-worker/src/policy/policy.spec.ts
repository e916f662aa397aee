import { kubeletDifferences, stowageDifferences } from './differences';
import {
  collectionPolicy,
  defaultPolicy,
  kubeletConfigErrors,
  PolicyError,
  startsCollections,
  type CollectionPolicy,
} from './policy';

describe('collectionPolicy', () => {
  it('has kubelet’s defaults', () => {
    expect(collectionPolicy()).toEqual({
      ...defaultPolicy,
      highThresholdPercent: 85,
      lowThresholdPercent: 80,
      minAgeMs: 120_000,
      maxAgeMs: 0,
      differences: stowageDifferences,
    });
  });

  it.each([
    ['a high mark above 100', 101, 0, 'invalid HighThresholdPercent 101, must be in range [0-100]'],
    ['a negative low mark', 85, -1, 'invalid LowThresholdPercent -1, must be in range [0-100]'],
    [
      'the high mark first when both are wrong',
      -1,
      101,
      'invalid HighThresholdPercent -1, must be in range [0-100]',
    ],
    [
      'a low mark above the high one',
      80,
      81,
      'LowThresholdPercent 81 can not be higher than HighThresholdPercent 80',
    ],
    ['a fraction', 85.5, 80, 'invalid HighThresholdPercent 85.5, must be in range [0-100]'],
  ])('refuses %s', (_, highThresholdPercent, lowThresholdPercent, message) => {
    const make = () => collectionPolicy({ highThresholdPercent, lowThresholdPercent });
    expect(make).toThrow(new PolicyError(message));
  });

  it.each<[string, Partial<CollectionPolicy>, string]>([
    [
      'half a byte',
      { highMarkAvailableBytes: 0.5 },
      'highMarkAvailableBytes is 0.5; allowed: a number of bytes, or 0 for percents',
    ],
    [
      'a low mark of bytes below the high one',
      { highMarkAvailableBytes: 10, lowMarkAvailableBytes: 9 },
      'lowMarkAvailableBytes is 9; allowed: at least highMarkAvailableBytes (10)',
    ],
    [
      'a low mark of bytes alone',
      { lowMarkAvailableBytes: 9 },
      'lowMarkAvailableBytes is 9; allowed: 0 where highMarkAvailableBytes is 0',
    ],
    [
      'an inode mark above 100',
      { inodesHighThresholdPercent: 101 },
      'inodesHighThresholdPercent is 101; allowed: a whole number from 0 to 100',
    ],
    ['a negative time', { maxRunMs: -1 }, 'maxRunMs is -1; allowed: milliseconds, 0 or more'],
    [
      'a negative budget',
      { maxImagesPerRun: -1 },
      'maxImagesPerRun is -1; allowed: a whole number, 0 for no limit',
    ],
    [
      'no removal at once',
      { parallelRemovals: 0 },
      'parallelRemovals is 0; allowed: a whole number from 1 to 64',
    ],
    [
      'a window that is none',
      { maintenanceWindows: ['25:00-26:00'] },
      'maintenanceWindows is ["25:00-26:00"]; allowed: windows such as 22:00-06:00, Mon-Fri 01:00-05:00 or Sat,Sun 00:00-24:00',
    ],
    [
      'an unknown time zone',
      { maintenanceTimeZone: 'Atlantis' },
      'maintenanceTimeZone is "Atlantis"; allowed: an IANA time zone such as Europe/Berlin, or empty for that of the process',
    ],
    [
      'an exempt rule without condition',
      { exemptRules: [{}] },
      'exemptRules is {}; allowed: one or more of image, digest, label, namespace, youngerThan',
    ],
  ])('refuses %s, naming field, value and what is allowed', (_, values, message) => {
    expect(() => collectionPolicy(values)).toThrow(new PolicyError(message));
  });

  it('allows equal marks, as kubelet’s constructor does', () => {
    expect(
      collectionPolicy({ highThresholdPercent: 90, lowThresholdPercent: 90 }).lowThresholdPercent,
    ).toBe(90);
  });
});

describe('kubeletConfigErrors', () => {
  const good = {
    highThresholdPercent: 85,
    lowThresholdPercent: 80,
    minAgeMs: 120_000,
    maxAgeMs: 0,
  };
  it.each([
    ['nothing about a good policy', good, []],
    [
      'equal marks, unlike the constructor',
      { ...good, lowThresholdPercent: 85 },
      [
        'invalid configuration: imageGCLowThresholdPercent (--image-gc-low-threshold) 85 must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) 85',
      ],
    ],
    [
      'every error, in kubelet’s order',
      { highThresholdPercent: -1, lowThresholdPercent: 101, minAgeMs: -1000, maxAgeMs: -500 },
      [
        'invalid configuration: imageGCHighThresholdPercent (--image-gc-high-threshold) -1 must be between 0 and 100, inclusive',
        'invalid configuration: imageGCLowThresholdPercent (--image-gc-low-threshold) 101 must be between 0 and 100, inclusive',
        'invalid configuration: imageGCLowThresholdPercent (--image-gc-low-threshold) 101 must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) -1',
        'invalid configuration: imageMinimumGCAge -1s must not be negative',
        'invalid configuration: imageMaximumGCAge -500ms must not be negative',
      ],
    ],
    [
      'a maximum age that is not above the minimum age',
      { ...good, maxAgeMs: 120_000 },
      ['invalid configuration: imageMaximumGCAge 2m0s must be greater than imageMinimumGCAge 2m0s'],
    ],
  ])('says %s', (_, policy, errors) => {
    expect(kubeletConfigErrors(policy)).toEqual(errors);
  });
});

describe('startsCollections', () => {
  it.each([
    ['not at a high mark of 100 without maximum age', 100, 0, false],
    ['at a high mark of 100 with a maximum age', 100, 1, true],
    ['at a high mark of 99', 99, 0, true],
  ])('is %s', (_, highThresholdPercent, maxAgeMs, starts) => {
    expect(startsCollections({ highThresholdPercent, maxAgeMs })).toBe(starts);
  });
});

describe('differences', () => {
  it('differ from kubelet in every entry', () => {
    for (const name of Object.keys(stowageDifferences) as (keyof typeof stowageDifferences)[]) {
      expect(stowageDifferences[name]).not.toBe(kubeletDifferences[name]);
    }
  });
});
