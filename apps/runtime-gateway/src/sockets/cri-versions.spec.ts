import type { CriVersion, RuntimeAvailability } from '@stowage/cri-client';
import { eventually } from '@stowage/testing';
import { CriVersions } from './cri-versions';

const version = (name: string) => `/runtime.${name}.RuntimeService/Version`;

/** A runtime whose connections the test makes, and whose v1alpha2 it answers for. */
function fakeRuntime() {
  let availability: RuntimeAvailability = { available: false, since: new Date(0), connections: 0 };
  const listeners = new Set<(now: RuntimeAvailability) => void>();
  const answers: ((isSpoken: boolean | undefined) => void)[] = [];
  const change = (next: Partial<RuntimeAvailability>) => {
    availability = { ...availability, ...next };
    for (const listener of listeners) listener(availability);
  };
  const criVersions = new CriVersions(
    {
      availability: () => availability,
      onAvailability: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    () => new Promise((resolve) => answers.push(resolve)),
    new AbortController().signal,
    1,
  );
  return {
    criVersions,
    answers,
    connected: (spoken: CriVersion) =>
      change({ available: true, version: spoken, connections: availability.connections + 1 }),
    lost: () => change({ available: false, version: undefined }),
    answer: async (isSpoken: boolean | undefined) => {
      answers.shift()?.(isSpoken);
      await Promise.resolve();
      await Promise.resolve();
    },
  };
}

test('a runtime with v1alpha2 alone is asked in it, and not asked for it again', () => {
  const { criVersions, connected, answers } = fakeRuntime();
  connected('v1alpha2');
  expect(criVersions.path(version('v1'))).toBe(version('v1alpha2'));
  expect(criVersions.path(version('v1alpha2'))).toBe(version('v1alpha2'));
  expect(criVersions.path('/runtime.v1.ImageService/PullImage')).toBe(
    '/runtime.v1alpha2.ImageService/PullImage',
  );
  expect(criVersions.servesBoth).toBe(false);
  expect(answers).toHaveLength(0);
});

test('v1alpha2 is asked for when a client uses it, not before, and once a connection', async () => {
  const { criVersions, connected, answer, answers } = fakeRuntime();
  connected('v1');
  expect(criVersions.path(version('v1'))).toBe(version('v1'));
  expect(criVersions.path('/runtime.v2.RuntimeService/Version')).toMatch('v2');
  expect(criVersions.servesBoth).toBe(false);
  expect(answers).toHaveLength(0);
  expect(criVersions.path(version('v1alpha2'))).toBe(version('v1'));
  expect(criVersions.path(version('v1alpha2'))).toBe(version('v1'));
  expect(answers).toHaveLength(1);
  await answer(false);
  expect(criVersions.path(version('v1alpha2'))).toBe(version('v1'));
  expect(criVersions.servesBoth).toBe(false);
  expect(answers).toHaveLength(0);
});

test('a runtime with both is left alone', async () => {
  const { criVersions, connected, answer } = fakeRuntime();
  connected('v1');
  criVersions.path(version('v1alpha2'));
  await answer(true);
  expect(criVersions.servesBoth).toBe(true);
  expect(criVersions.path(version('v1alpha2'))).toBe(version('v1alpha2'));
  expect(criVersions.path(version('v1'))).toBe(version('v1'));
});

test('each connection is asked anew, and a late answer of the last one does not count', async () => {
  const { criVersions, connected, lost, answer, answers } = fakeRuntime();
  connected('v1');
  criVersions.path(version('v1alpha2'));
  lost();
  expect(criVersions.path(version('v1alpha2'))).toBe(version('v1alpha2'));
  connected('v1');
  await answer(true);
  expect(criVersions.servesBoth).toBe(false);
  expect(answers).toHaveLength(0);
  expect(criVersions.path(version('v1alpha2'))).toBe(version('v1'));
  await answer(false);
  expect(criVersions.servesBoth).toBe(false);
  connected('v1');
  criVersions.path(version('v1alpha2'));
  await answer(true);
  expect(criVersions.servesBoth).toBe(true);
  criVersions.close();
});

test('a runtime that gave no answer is asked again', async () => {
  const { criVersions, connected, answer, answers } = fakeRuntime();
  connected('v1');
  criVersions.path(version('v1alpha2'));
  await answer(undefined);
  expect(criVersions.servesBoth).toBe(false);
  await eventually(() => answers.length === 1);
  await answer(true);
  expect(criVersions.servesBoth).toBe(true);
});

test.each([
  '/runtime.v2.RuntimeService/Version',
  '/grpc.health.v1.Health/Check',
  '',
  '/runtime.v1.Other/X',
])('the path %j of another service stays', (path) => {
  const { criVersions, connected } = fakeRuntime();
  connected('v1alpha2');
  expect(criVersions.path(path)).toBe(path);
});
