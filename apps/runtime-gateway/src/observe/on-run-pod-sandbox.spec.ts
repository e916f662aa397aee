import {
  isoTime,
  knownSandbox,
  nowMs,
  observedCall,
  ObserverFixture,
  pod,
  sandboxConfig,
  sandboxId,
} from '../testing/observer-fixture';

const run = (request: object = {}, more: object = {}) =>
  observedCall(
    'RunPodSandbox',
    { config: sandboxConfig, ...request },
    { podSandboxId: sandboxId },
    more,
  );
const started = { podSandboxId: sandboxId, pod, attempt: 0, durationMs: 400, observedBy: 'call' };

test.each([
  { sentence: 'a sandbox of the default handler', call: run(), data: started },
  {
    sentence: 'a sandbox of another handler',
    call: run({ runtimeHandler: 'kata' }),
    data: { ...started, runtimeHandler: 'kata' },
  },
  {
    sentence: 'a sandbox in place of another',
    call: run({ config: { metadata: { ...pod, attempt: 2 } } }),
    data: { ...started, attempt: 2 },
  },
  {
    sentence: 'a pod outside Kubernetes',
    call: run({ config: { metadata: { name: 'web' } } }),
    data: { ...started, pod: { namespace: '', name: 'web', uid: '' } },
  },
  {
    sentence: 'a call in v1alpha2',
    call: run({}, { method: '/runtime.v1alpha2.RuntimeService/RunPodSandbox' }),
    data: started,
  },
])('publishes $sentence', async ({ call, data }) => {
  const fixture = new ObserverFixture();
  await fixture.observe(call);
  expect(fixture.events).toEqual([
    { name: 'PodSandboxStarted', subject: sandboxId, data, time: new Date(nowMs) },
  ]);
  expect(fixture.facts.asked).toEqual([]);
  expect(isoTime(nowMs)).toBe('2026-11-20T22:14:10.000Z');
});

test.each([
  { sentence: 'a call that failed', call: run({}, { grpcStatus: 13, response: undefined }) },
  {
    sentence: 'a call that was cancelled',
    call: run({}, { outcome: 'cancelled', grpcStatus: undefined, response: undefined }),
  },
  {
    sentence: 'a call of another service',
    call: run({}, { method: '/runtime.v1.ImageService/RunPodSandbox' }),
  },
])('publishes nothing of $sentence', async ({ call }) => {
  const fixture = new ObserverFixture();
  await fixture.observe(call);
  expect([...fixture.events, ...fixture.failures]).toEqual([]);
});

test('a sandbox that a listing published already is not published again', async () => {
  const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
  await fixture.observe(run());
  expect(fixture.events).toEqual([]);
});

test('is written while the call is being reported, before anything else happens', () => {
  const fixture = new ObserverFixture();
  fixture.calls.ended(run());
  expect(fixture.events).toHaveLength(1);
});
