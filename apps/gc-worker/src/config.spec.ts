import { loadConfig } from '@stowage/service-kit';
import { config, policyOf } from './config';
import { defaultPolicy } from './policy/policy';
import { kubeletDifferences, stowageDifferences } from './policy/differences';

async function load(env: Record<string, string>, kubelet?: string) {
  const outcome = await loadConfig(config, {
    argv: kubelet === undefined ? [] : ['--kubelet-config', '/kubelet.yaml'],
    env,
    version: '0.0.0',
    hostName: 'node-a',
    readFile: (path) => {
      if (path === '/kubelet.yaml' && kubelet !== undefined) return kubelet;
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    },
  });
  return outcome.action === 'run' ? policyOf(outcome.config) : outcome.output;
}

const kubeletFile = (lines: string) =>
  `apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n${lines}\n`;

describe('config', () => {
  it('has kubelet’s defaults and our differences', async () => {
    expect(await load({})).toEqual({
      ...defaultPolicy,
      highThresholdPercent: 85,
      lowThresholdPercent: 80,
      minAgeMs: 120_000,
      maxAgeMs: 0,
      differences: stowageDifferences,
    });
  });

  it('reads kubelet’s file; a minimum age of 0 there means kubelet’s default', async () => {
    const file = kubeletFile(
      'imageGCHighThresholdPercent: 70\nimageGCLowThresholdPercent: 60\nimageMinimumGCAge: 0s\nimageMaximumGCAge: 24h',
    );
    expect(await load({}, file)).toMatchObject({
      highThresholdPercent: 70,
      lowThresholdPercent: 60,
      minAgeMs: 120_000,
      maxAgeMs: 86_400_000,
    });
  });

  it('switches all differences back to kubelet, or some', async () => {
    expect(await load({ STOWAGE_KUBELET_BEHAVIOUR: 'all' })).toMatchObject({
      differences: kubeletDifferences,
    });
    expect(await load({ STOWAGE_KUBELET_BEHAVIOUR: 'useCheck,inUseMatch' })).toMatchObject({
      differences: { ...stowageDifferences, useCheck: 'once', inUseMatch: 'image-id' },
    });
  });

  it('reads everything of the policy that kubelet does not have', async () => {
    expect(
      await load({
        STOWAGE_EXEMPT_IMAGES: 'nginx:*,{redis,memcached}:*,/^quay\\.io\\/[a-z]{2,8}\\//',
        STOWAGE_MIN_RECLAIM: '1Gi',
        STOWAGE_EXEMPT_RULES:
          '[{"label":"tier=base","namespace":"kube-system"},{"image":"ci/**","youngerThan":"7h"}]',
        STOWAGE_HIGH_MARK_AVAILABLE_BYTES: '10Gi',
        STOWAGE_LOW_MARK_AVAILABLE_BYTES: '15Gi',
        STOWAGE_INODES_HIGH_THRESHOLD_PERCENT: '95',
        STOWAGE_WARNING_THRESHOLD_PERCENT: '70',
        STOWAGE_WARNING_TIME_TO_FULL: '1h',
        STOWAGE_CRITICAL_THRESHOLD_PERCENT: '97',
        STOWAGE_MAX_IMAGES_PER_RUN: '5',
        STOWAGE_MAX_BYTES_PER_RUN: '2Gi',
        STOWAGE_MAX_RUN: '90s',
        STOWAGE_REMOVALS_PER_MINUTE: '30',
        STOWAGE_PARALLEL_REMOVALS: '4',
        STOWAGE_MAINTENANCE_WINDOWS: 'Mon-Fri 22:00-06:00,Sun 00:00-24:00',
        STOWAGE_MAINTENANCE_TIME_ZONE: 'Europe/Berlin',
        STOWAGE_REMOVAL_ORDER: 'cost',
        STOWAGE_REGRET_WINDOW: '12h',
      }),
    ).toEqual({
      ...defaultPolicy,
      exemptImages: ['nginx:*', '{redis,memcached}:*', '/^quay\\.io\\/[a-z]{2,8}\\//'],
      minReclaimBytes: 2 ** 30,
      exemptRules: [
        { label: 'tier=base', namespace: 'kube-system' },
        { image: 'ci/**', youngerThanMs: 7 * 3_600_000 },
      ],
      highMarkAvailableBytes: 10 * 2 ** 30,
      lowMarkAvailableBytes: 15 * 2 ** 30,
      inodesHighThresholdPercent: 95,
      warningThresholdPercent: 70,
      warningTimeToFullMs: 3_600_000,
      criticalThresholdPercent: 97,
      maxImagesPerRun: 5,
      maxBytesPerRun: 2 * 2 ** 30,
      maxRunMs: 90_000,
      removalsPerMinute: 30,
      parallelRemovals: 4,
      maintenanceWindows: ['Mon-Fri 22:00-06:00', 'Sun 00:00-24:00'],
      maintenanceTimeZone: 'Europe/Berlin',
      order: 'cost',
      regretWindowMs: 12 * 3_600_000,
    });
  });

  it.each<[Record<string, string>, string]>([
    [
      { STOWAGE_EXEMPT_IMAGES: 'nginx,regex:busybox' },
      'gc-worker: configuration: exemptImages (STOWAGE_EXEMPT_IMAGES, from environment) is ["nginx","regex:busybox"]; allowed: references, globs over them such as quay.io/base/** or nginx:1.*, regular expressions as /…/; "regex:busybox" matches none: "regex:" is no part of a reference; a regular expression is written as /…/, for example /busybox/',
    ],
    [
      { STOWAGE_EXEMPT_IMAGES: '[' },
      'gc-worker: configuration: exemptImages (STOWAGE_EXEMPT_IMAGES, from environment) is ["["]; allowed: references, globs over them such as quay.io/base/** or nginx:1.*, regular expressions as /…/; "[" matches none: a "[" without "]"',
    ],
    [
      { STOWAGE_MAINTENANCE_WINDOWS: 'sometimes' },
      'gc-worker: configuration: STOWAGE_MAINTENANCE_WINDOWS (environment) is "sometimes"; allowed: windows such as 22:00-06:00, Mon-Fri 01:00-05:00; in the environment days as a range or one day',
    ],
    [
      { STOWAGE_MAINTENANCE_TIME_ZONE: 'Atlantis' },
      'gc-worker: configuration: STOWAGE_MAINTENANCE_TIME_ZONE (environment) is "Atlantis"; allowed: an IANA time zone such as Europe/Berlin, or empty for that of the process',
    ],
    [
      { STOWAGE_EXEMPT_RULES: '[{"lable":"x"}]' },
      'gc-worker: configuration: STOWAGE_EXEMPT_RULES (environment) is [{"lable":"x"}]; allowed: a list of mappings with one or more of image (glob), digest, label (name or name=value), namespace (glob), youngerThan (duration); in the environment as JSON',
    ],
    [
      { STOWAGE_HIGH_MARK_AVAILABLE_BYTES: '10Gi' },
      'gc-worker: configuration: lowMarkAvailableBytes (STOWAGE_LOW_MARK_AVAILABLE_BYTES, from default) is "0"; allowed: at least highMarkAvailableBytes (10737418240)',
    ],
    [
      { STOWAGE_INODES_HIGH_THRESHOLD_PERCENT: '80' },
      'gc-worker: configuration: inodesLowThresholdPercent (STOWAGE_INODES_LOW_THRESHOLD_PERCENT, from default) is 90; allowed: at most inodesHighThresholdPercent (80)',
    ],
    [
      { STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '101' },
      'gc-worker: configuration: STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT (environment) is 101; allowed: a whole number from 0 to 100',
    ],
    [
      { STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '80' },
      'gc-worker: configuration: imageGCLowThresholdPercent (STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT, from default) is 80; allowed: less than imageGCHighThresholdPercent (80)',
    ],
    [
      { STOWAGE_IMAGE_MAXIMUM_GC_AGE: '2m' },
      'gc-worker: configuration: imageMaximumGCAge (STOWAGE_IMAGE_MAXIMUM_GC_AGE, from environment) is "2m"; allowed: 0, or more than imageMinimumGCAge',
    ],
    [
      { STOWAGE_IMAGE_MINIMUM_GC_AGE: '-1s' },
      'gc-worker: configuration: STOWAGE_IMAGE_MINIMUM_GC_AGE (environment) is "-1s"; allowed: a duration from 0 to 8760h, such as 90s, 2m or 1h30m',
    ],
    [
      { STOWAGE_KUBELET_BEHAVIOUR: 'everything' },
      `gc-worker: configuration: STOWAGE_KUBELET_BEHAVIOUR (environment) is "everything"; allowed: all, or a list of ${Object.keys(stowageDifferences).join(', ')}`,
    ],
  ])('refuses %p', async (env, line) => {
    expect(await load(env)).toBe(line);
  });
});
