import { config } from './config';

const { networkMode, cniBinDirs, podCidr } = config.keys;

it('kubenet is refused, and the error says that it is not offered', () => {
  expect(networkMode.schema.safeParse('cni').data).toBe('cni');
  expect(networkMode.schema.safeParse('bridge').data).toBe('bridge');
  expect(networkMode.schema.safeParse('kubenet').success).toBe(false);
  expect(networkMode.allowed).toContain('kubenet is not offered');
});

it.each([
  ['/opt/cni/bin,/usr/lib/cni', true],
  ['', false],
  ['cni', false],
  ['/opt/a:/opt/b', false],
])('folders of plugins: %j', (text, allowed) => {
  expect(cniBinDirs.schema.safeParse(text).success).toBe(allowed);
});

it.each([
  ['', true],
  ['10.1.0.0/24,fd00:1::/64', true],
  ['10.1.0.0', false],
  ['10.1.0.0/33', false],
])('ranges of pods: %j', (text, allowed) => {
  expect(podCidr.schema.safeParse(text).success).toBe(allowed);
});
