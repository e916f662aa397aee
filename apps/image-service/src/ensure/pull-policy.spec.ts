import { defaultPullPolicy } from './pull-policy';

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
});
