import { loadConfig } from '@stowage/service-kit';
import { config, policyOf } from './config';
import { kubeletDifferences, stowageDifferences } from './differences';

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

  it.each<[Record<string, string>, string]>([
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
