import {
  containerId,
  knownContainer,
  observedCall,
  ObserverFixture,
  pod,
} from '../testing/observer-fixture';

const update = observedCall('UpdateContainerResources', {
  containerId: containerId.slice(0, 12),
  linux: { cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n, memoryLimitInBytes: 1n << 33n },
});

test('is logged with the new limits, and not as an event', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  await fixture.observe(update);
  expect([fixture.events, fixture.failures, fixture.facts.asked]).toEqual([[], [], []]);
  expect(fixture.logged).toEqual([
    {
      containerId,
      pod,
      name: 'main',
      cpuShares: 512,
      cpuQuota: 50_000,
      cpuPeriod: 100_000,
      cpusetCpus: '',
      memoryLimitBytes: 8_589_934_592,
      message: 'resources of a container were updated',
    },
  ]);
});

test('is not published when it failed', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  await fixture.observe({ ...update, grpcStatus: 3, response: undefined });
  expect(fixture.logged).toEqual([]);
});
