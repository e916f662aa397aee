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

test('is told in the log with the new limits, and not as an event', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  await to.observe(update);
  expect([to.events, to.failures, to.facts.asked]).toEqual([[], [], []]);
  expect(to.logged).toEqual([
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

test('is not told when it failed', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  await to.observe({ ...update, grpcStatus: 3, response: undefined });
  expect(to.logged).toEqual([]);
});
