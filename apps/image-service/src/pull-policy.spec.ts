import { defaultPullPolicy, ensureStep, needsPresence } from './pull-policy';

describe('pull policy', () => {
  it.each([
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['nginx:1.25', 'IfNotPresent'],
    [`nginx@sha256:${'a'.repeat(64)}`, 'IfNotPresent'],
    [`nginx:latest@sha256:${'a'.repeat(64)}`, 'Always'],
    ['registry.example:5000/team/app', 'Always'],
    ['Not A Name', 'IfNotPresent'],
  ])('of %s is %s by default', (image, policy) => expect(defaultPullPolicy(image)).toBe(policy));

  it.each([
    ['Always', false, 'pull'],
    ['Always', true, 'pull'],
    ['IfNotPresent', false, 'pull'],
    ['IfNotPresent', true, 'use-present'],
    ['Never', false, 'refuse'],
    ['Never', true, 'use-present'],
  ] as const)('%s with the image present %s: %s', (policy, isPresent, step) =>
    expect(ensureStep(policy, isPresent)).toBe(step),
  );

  it('asks for presence except for Always, as kubelet does', () => {
    expect([
      needsPresence('Always'),
      needsPresence('IfNotPresent'),
      needsPresence('Never'),
    ]).toEqual([false, true, true]);
  });
});
