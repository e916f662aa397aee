import { LinuxContainerResources } from '@stowage/cri-proto';
import {
  cgroupFiles,
  cgroupLimits,
  criResources,
  engineResources,
  mergeCgroupLimits,
} from './resources';

type Fields = Parameters<typeof LinuxContainerResources.fromPartial>[0];
const asked = (fields: Fields) => LinuxContainerResources.fromPartial(fields);
const none = { hugepageLimits: [], unified: {} };

describe('engineResources', () => {
  it.each<[Fields, object]>([
    [{}, {}],
    [
      { cpuPeriod: 100_000n, cpuQuota: 50_000n, cpuShares: 512n },
      { CpuPeriod: 100_000n, CpuQuota: 50_000n, CpuShares: 512n },
    ],
    [{ cpuQuota: -1n }, { CpuQuota: -1n }],
    [
      { cpusetCpus: '0-1', cpusetMems: '0' },
      { CpusetCpus: '0-1', CpusetMems: '0' },
    ],
    [{ memoryLimitInBytes: 64n }, { Memory: 64n, MemorySwap: 64n }],
    [
      { memoryLimitInBytes: 64n, memorySwapLimitInBytes: 128n },
      { Memory: 64n, MemorySwap: 128n },
    ],
    [
      { memoryLimitInBytes: 64n, memorySwapLimitInBytes: -1n },
      { Memory: 64n, MemorySwap: -1n },
    ],
    [{ memorySwapLimitInBytes: 128n }, {}],
    [{ memoryLimitInBytes: 2n ** 62n }, { Memory: 2n ** 62n, MemorySwap: 2n ** 62n }],
  ])('%o', (fields, resources) => {
    expect(engineResources(asked(fields))).toEqual(resources);
  });

  it('sends the present limit of memory along with a new one of swap', () => {
    const fields = asked({ memorySwapLimitInBytes: 128n });
    expect(engineResources(fields, { Memory: 64 })).toEqual({ Memory: 64n, MemorySwap: 128n });
    expect(engineResources(asked({ cpuShares: 2n }), { Memory: 64 })).toEqual({ CpuShares: 2n });
  });
});

describe('cgroupLimits', () => {
  it('takes huge pages on either version, and other files on the second', () => {
    const hugepageLimits = [{ pageSize: '2MB', limit: 4096n }];
    expect(cgroupLimits(asked({ hugepageLimits }), '1')).toEqual({ hugepageLimits, unified: {} });
    const unified = { 'memory.high': '1000', 'io.weight': '1' };
    expect(cgroupLimits(asked({ unified }), '2')).toEqual({ hugepageLimits: [], unified });
    expect(cgroupLimits(undefined, '1')).toEqual(none);
  });

  it.each<[Fields, string, string]>([
    [
      { unified: { 'memory.high': '1' } },
      '1',
      'unified: "memory.high" is not allowed; allowed: none: this node has control groups v1',
    ],
    [{ unified: { '../memory.high': '1' } }, '2', 'unified: "../memory.high" is not allowed'],
    [{ unified: { memory: '1' } }, '2', 'unified: "memory" is not allowed'],
    [
      { hugepageLimits: [{ pageSize: '../2MB', limit: 1n }] },
      '2',
      'hugepage_limits.page_size: "../2MB" is not allowed; allowed: a size such as 2MB',
    ],
  ])('refuses %o on version %s', (fields, version, message) => {
    expect(() => cgroupLimits(asked(fields), version)).toThrow(message);
  });

  it('later limits go over earlier ones', () => {
    expect(
      mergeCgroupLimits(
        {
          hugepageLimits: [
            { pageSize: '2MB', limit: 1n },
            { pageSize: '1GB', limit: 2n },
          ],
          unified: { 'memory.high': '1', 'memory.low': '2' },
        },
        { hugepageLimits: [{ pageSize: '2MB', limit: 9n }], unified: { 'memory.high': '9' } },
      ),
    ).toEqual({
      hugepageLimits: [
        { pageSize: '2MB', limit: 9n },
        { pageSize: '1GB', limit: 2n },
      ],
      unified: { 'memory.high': '9', 'memory.low': '2' },
    });
  });

  it('are files, of which those asked for by name must be there', () => {
    const hugepageLimits = [{ pageSize: '2MB', limit: 2n ** 64n - 1n }];
    expect(cgroupFiles({ hugepageLimits, unified: {} }, '1')).toEqual([
      {
        name: 'hugetlb.2MB.limit_in_bytes',
        controller: 'hugetlb',
        value: '18446744073709551615',
        required: false,
      },
    ]);
    expect(cgroupFiles({ hugepageLimits, unified: { 'memory.high': 'max' } }, '2')).toMatchObject([
      { name: 'hugetlb.2MB.max', required: false },
      { name: 'memory.high', controller: undefined, value: 'max', required: true },
    ]);
  });
});

it("a container's limits are read as they were sent", () => {
  const fields = asked({
    cpuPeriod: 100_000n,
    cpuQuota: 50_000n,
    cpuShares: 512n,
    cpusetCpus: '0',
    cpusetMems: '0',
    memoryLimitInBytes: 2n ** 62n,
    memorySwapLimitInBytes: 2n ** 62n,
    oomScoreAdj: 900n,
    hugepageLimits: [{ pageSize: '2MB', limit: 7n }],
    unified: { 'memory.high': '5' },
  });
  const HostConfig = { ...engineResources(fields), OomScoreAdj: 900 } as object;
  expect(criResources({ HostConfig }, cgroupLimits(fields, '2'))).toEqual(fields);
  expect(criResources({}, none)).toEqual(asked({}));
});
