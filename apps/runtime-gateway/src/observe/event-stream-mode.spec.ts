import { broadcastsEvents } from './event-stream-mode';

test.each([
  ['containerd', 'v1.6.20', false],
  ['containerd', '1.7.27', false],
  ['containerd', 'v2.0.0-rc.1', true],
  ['containerd', 'v2.1.4', true],
  ['containerd', 'unknown', false],
  ['cri-o', '1.27.1', false],
  ['cri-o', '1.28.0', true],
  ['docker', '27.1.0', true],
  ['another', '', true],
])('%s %s: every reader gets every event: %s', (runtimeName, runtimeVersion, expected) => {
  expect(broadcastsEvents({ runtimeName, runtimeVersion })).toBe(expected);
});
