import type { KubeletDifferences } from '../policy/differences';
import { DiskWatch, type MeasuredFileSystem } from './disk-watch';
import type { CollectionPolicy } from '../policy/policy';
import { FakeWorker, noBreakdowns } from '../testing/fake-worker';
import type { DiskBreakdown } from './break-down';
import { policy } from '../testing/plan-fixtures';

const { signal } = new AbortController();
let worker: FakeWorker;
let problem: string | undefined;
let monotonic: number | undefined;
let measured: Record<string, Partial<MeasuredFileSystem> | Error>;
let breakdowns: DiskBreakdown[] | undefined;

beforeEach(() => {
  worker = new FakeWorker();
  problem = undefined;
  monotonic = undefined;
  measured = { '/images': {} };
  breakdowns = undefined;
});

const used = (percent: number): Partial<MeasuredFileSystem> => ({
  availableBytes: 1000 - percent * 10,
});

function watch(
  differences: Partial<KubeletDifferences> = {},
  hostRoot = '',
  values: Partial<CollectionPolicy> = {},
): DiskWatch {
  return new DiskWatch({
    runtime: worker.runtime,
    measure: (path) => {
      const values = measured[path] ?? new Error(`ENOENT: ${path}`);
      return values instanceof Error
        ? Promise.reject(values)
        : Promise.resolve({
            device: path,
            capacityBytes: 1000,
            availableBytes: 500,
            inodes: null,
            inodesFree: null,
            ...values,
          });
    },
    policy: { current: policy({ ...values, differences }) },
    store: worker.store,
    breakdowns:
      breakdowns === undefined
        ? noBreakdowns
        : { current: () => Promise.resolve(breakdowns ?? []) },
    publish: worker.publish,
    nextSequence: worker.nextSequence,
    metrics: worker.metrics.disk,
    health: (text) => {
      problem = text;
    },
    log: worker.log,
    hostRoot,
    now: worker.now,
    monotonicNow: () => monotonic ?? worker.clock,
  });
}

describe('poll', () => {
  it('tells a crossing once, with hysteresis, and its end at the low mark', async () => {
    const disks = watch();
    const seen: [number, boolean, string[]][] = [];
    for (const percent of [50, 85, 90, 84, 86, 81, 80, 82]) {
      measured['/images'] = used(percent);
      worker.clock += 1000;
      const { crossed } = await disks.poll({ signal });
      seen.push([percent, crossed.length > 0, worker.takeEvents()]);
    }
    expect(seen).toEqual([
      [50, false, []],
      [85, true, ['ThresholdExceeded /images']],
      [90, false, []],
      [84, false, []],
      [86, false, []],
      [81, false, []],
      [80, false, ['ThresholdRecovered /images']],
      [82, false, []],
    ]);
  });

  it('says what holds the file system, and whether images can bring it down, in event, log and metrics', async () => {
    const [usedBytes, imageBytes, containerBytes, otherBytes] = [900, 20, 5, 875];
    const held = { usedBytes, imageBytes, containerBytes, otherBytes };
    breakdowns = [{ mountpoint: '/images', role: 'image', ...held }];
    measured['/images'] = used(90);
    const poll = await watch({}, '', { warningThresholdPercent: 70 }).poll({ signal });
    expect(poll.breakdowns).toEqual(breakdowns);
    expect(worker.published.at(-1)).toMatchObject({
      name: 'ThresholdExceeded',
      data: { mark: 'high', breakdown: { ...held, imagesSuffice: false } },
    });
    expect(worker.lines.at(-1)).toMatchObject({
      message:
        'high threshold exceeded: of 900 B in use, images hold 20 B, containers 5 B, ' +
        'other files 875 B: without any image it would still be above its low threshold',
      fields: { breakdown: held, bytesToFree: 100 },
    });
    const metrics = await worker.registry.metrics();
    for (const line of [
      'stowage_gc_filesystem_held_bytes{mountpoint="/images",role="image",by="images"} 20',
      'stowage_gc_filesystem_held_bytes{mountpoint="/images",role="image",by="containers"} 5',
      'stowage_gc_filesystem_held_bytes{mountpoint="/images",role="image",by="other"} 875',
      'stowage_gc_filesystem_images_suffice{mountpoint="/images",role="image"} 0',
      'stowage_gc_threshold_percent{resource="bytes",mark="high"} 85',
      'stowage_gc_threshold_percent{resource="bytes",mark="low"} 80',
      'stowage_gc_threshold_percent{resource="bytes",mark="warning"} 70',
      'stowage_gc_threshold_percent{resource="bytes",mark="critical"} 95',
    ]) {
      expect(metrics).toContain(`${line}\n`);
    }
    expect(metrics).not.toContain('resource="inodes",mark=');
    breakdowns = [];
    await watch().poll({ signal });
    expect(await worker.registry.metrics()).not.toMatch(/stowage_gc_filesystem_held_bytes\{/);
  });

  it('has its thresholds among the metrics: of inodes, and as available bytes where they are set so', async () => {
    await watch({}, '', {
      highMarkAvailableBytes: 100,
      lowMarkAvailableBytes: 200,
      inodesHighThresholdPercent: 90,
      inodesLowThresholdPercent: 80,
      criticalThresholdPercent: 100,
    }).poll({ signal });
    const metrics = await worker.registry.metrics();
    const lines = metrics.split('\n').filter((line) => /^stowage_gc_threshold_(p|a)/.test(line));
    expect(lines).toEqual([
      'stowage_gc_threshold_percent{resource="inodes",mark="high"} 90',
      'stowage_gc_threshold_percent{resource="inodes",mark="low"} 80',
      'stowage_gc_threshold_available_bytes{mark="high"} 100',
      'stowage_gc_threshold_available_bytes{mark="low"} 200',
    ]);
  });

  it('does not tell it again after a restart', async () => {
    measured['/images'] = used(90);
    await watch().poll({ signal });
    worker.takeEvents();
    const { crossed, overHigh } = await watch().poll({ signal });
    expect([crossed, overHigh, worker.takeEvents()]).toEqual([[], true, []]);
  });

  it('watches each file system on its own', async () => {
    worker.runtime.fileSystems = ['/a', '/b'];
    measured = { '/a': used(90), '/b': used(10) };
    const disks = watch();
    expect((await disks.poll({ signal })).crossed).toEqual(['/a']);
    measured = { '/a': used(90), '/b': used(99) };
    expect((await disks.poll({ signal })).crossed).toEqual(['/b']);
    const told = worker.published.map(({ subject, data }) => `${subject} ${String(data.mark)}`);
    expect(told).toEqual(['/a high', '/b high', '/b critical']);
  });

  it('warns by trend before a mark is reached, and tells when that is over', async () => {
    const disks = watch();
    const look = async (percent: number) => {
      measured['/images'] = used(percent);
      worker.clock += 10_000;
      await disks.poll({ signal });
    };
    for (const percent of [10, 14, 18, 22]) await look(percent);
    expect(worker.published).toEqual([]);
    await look(26);
    expect(worker.published).toMatchObject([
      {
        name: 'ThresholdExceeded',
        data: {
          mark: 'warning',
          cause: 'time-to-full',
          thresholdPercent: 100,
          trend: { bytesPerSecond: 4, windowMs: 40_000, timeToFullMs: 185_000 },
        },
      },
    ]);
    worker.takeEvents();
    for (let count = 0; count < 60; count += 1) await look(26);
    expect(worker.takeEvents()).toEqual(['ThresholdRecovered /images']);
    expect(worker.store.exceeded()).toEqual([]);
  });

  it('takes no harm from a wall clock that jumps', async () => {
    const disks = watch({}, '', { warningTimeToFullMs: 0 });
    monotonic = 0;
    const look = async (percent: number, jumpMs: number) => {
      measured['/images'] = used(percent);
      monotonic = (monotonic ?? 0) + 10_000;
      worker.clock += jumpMs;
      await disks.poll({ signal });
    };
    for (const jump of [0, 86_400_000, -86_400_000, 0, 0, 0]) await look(50, jump);
    expect(worker.takeEvents()).toEqual([]);
    await look(86, -86_400_000);
    worker.clock -= 86_400_000;
    await look(70, 0);
    const [exceeded, recovered] = worker.published;
    expect([exceeded?.name, recovered?.data.exceededForMs]).toEqual(['ThresholdExceeded', 0]);
  });

  it('forgets marks that a new policy does not have', async () => {
    measured['/images'] = used(96);
    await watch().poll({ signal });
    expect(worker.store.exceeded().map(({ level }) => level)).toEqual(['high', 'critical']);
    await watch({}, '', { criticalThresholdPercent: 100 }).poll({ signal });
    expect(worker.store.exceeded().map(({ level }) => level)).toEqual(['high']);
  });
});

describe('container file systems', () => {
  beforeEach(() => {
    worker.runtime.containerFileSystems = ['/containers'];
    measured = { '/images': used(50), '/containers': used(50) };
  });

  it('are told with their role and hysteresis, and give no reason to collect', async () => {
    const disks = watch();
    const seen: [number, string[]][] = [];
    for (const percent of [50, 97, 90, 80]) {
      measured['/containers'] = used(percent);
      worker.clock += 1000;
      const { crossed, overHigh } = await disks.poll({ signal });
      expect([crossed, overHigh]).toEqual([[], false]);
      expect(worker.published.every(({ data }) => data.role === 'container')).toBe(true);
      const marks = worker.published.map(({ data }) => String(data.mark));
      seen.push([percent, worker.takeEvents().map((event, at) => `${event} ${marks[at] ?? ''}`)]);
    }
    expect(seen).toEqual([
      [50, []],
      [97, ['ThresholdExceeded /containers high', 'ThresholdExceeded /containers critical']],
      [90, ['ThresholdRecovered /containers critical']],
      [80, ['ThresholdRecovered /containers high']],
    ]);
  });

  it('and image file systems have marks and trends of their own', async () => {
    const disks = watch();
    for (const percent of [10, 14, 18, 22, 26]) {
      measured['/containers'] = used(percent);
      worker.clock += 10_000;
      await disks.poll({ signal });
    }
    expect(worker.published).toMatchObject([
      { subject: '/containers', data: { role: 'container', mark: 'warning' } },
    ]);
    measured['/images'] = used(90);
    expect((await disks.poll({ signal })).crossed).toEqual(['/images']);
    expect(worker.published.at(-1)).toMatchObject({ subject: '/images', data: { role: 'image' } });
    expect(disks.trends().get('/images')?.bytes).toBeDefined();
    const metrics = await worker.registry.metrics();
    const labels = 'mountpoint="/containers",role="container"';
    expect(metrics).toContain(`stowage_gc_filesystem_used_percent{${labels}} 26`);
    expect(metrics).toContain(`stowage_gc_filesystem_time_to_full_seconds{${labels},`);
    expect(metrics).toContain(
      `stowage_gc_threshold_exceeded{${labels},resource="bytes",mark="warning"} 1`,
    );
  });

  it.each([
    ['path', ['/images'], { '/images': used(90) }],
    ['device', ['/c'], { '/images': { ...used(90), device: '7' }, '/c': { device: '7' } }],
  ])(
    'that are an image file system by %s count once, as that',
    async (_, containers: string[], values: Record<string, Partial<MeasuredFileSystem>>) => {
      worker.runtime.containerFileSystems = containers;
      measured = values;
      const { disks, crossed } = await watch().poll({ signal });
      expect(disks).toMatchObject([{ mountpoint: '/images', role: 'image' }]);
      expect(crossed).toEqual(['/images']);
      expect(worker.takeEvents()).toEqual(['ThresholdExceeded /images']);
      expect(problem).toBeUndefined();
    },
  );

  it('are nothing that a collection looks at, nor watched with kubelet’s option', async () => {
    expect(await watch().read({ signal })).toMatchObject([{ mountpoint: '/images' }]);
    const { disks } = await watch({ imageFileSystems: 'first' }).poll({ signal });
    expect(disks).toMatchObject([{ mountpoint: '/images' }]);
  });

  it('that cannot be seen are named, whoever looks in between', async () => {
    delete measured['/containers'];
    const disks = watch();
    await disks.poll({ signal });
    await disks.read({ signal });
    expect(problem).toMatch(/^container file system \/containers \(ENOENT: \/containers\) cannot/);
    measured = {};
    await disks.poll({ signal });
    expect(problem).toMatch(/^image file system \/images \(.*\) and container file system \/cont/);
    measured = { '/images': {}, '/containers': {} };
    await disks.poll({ signal });
    expect(problem).toBeUndefined();
  });
});

describe('read', () => {
  it('takes only the first file system with kubelet’s option', async () => {
    worker.runtime.fileSystems = ['/a', '/b'];
    measured = { '/a': {}, '/b': {} };
    const disks = watch({ imageFileSystems: 'first' });
    expect((await disks.read({ signal })).map(({ mountpoint }) => mountpoint)).toEqual(['/a']);
  });

  it('counts a file system once that several paths lie on', async () => {
    worker.runtime.fileSystems = ['/a', '/a/snapshots'];
    measured = { '/a': { device: '7' }, '/a/snapshots': { device: '7' } };
    expect(await watch().read({ signal })).toHaveLength(1);
  });

  it.each([
    [
      'the only one without a mount point',
      [''],
      'the runtime does not say where its image file systems are: it names an image file system without a mount point',
    ],
    [
      'none at all',
      [],
      'the runtime does not say where its image file systems are: imageFs information is unavailable',
    ],
  ])('says that a runtime names no image file system: %s', async (_, fileSystems, text) => {
    worker.runtime.fileSystems = fileSystems;
    const disks = watch();
    await expect(disks.poll({ signal })).rejects.toThrow();
    expect(problem).toBe(text);
    worker.runtime.fileSystems = ['/images'];
    await disks.poll({ signal });
    expect(problem).toBeUndefined();
  });

  it('says that one of several has no mount point, and that one has no capacity, and watches the others', async () => {
    worker.runtime.fileSystems = ['', '/images', '/empty'];
    measured = { '/images': {}, '/empty': { capacityBytes: 0 } };
    const disks = watch();
    const { disks: watched } = await disks.poll({ signal });
    expect(watched.map(({ mountpoint }) => mountpoint)).toEqual(['/images']);
    expect(problem).toBe(
      'the runtime names no mount point of its image file system, so its thresholds are not watched; ' +
        'image file system /empty has a capacity of 0 bytes, so its thresholds are not watched',
    );
    measured = { '/images': {}, '/empty': {} };
    worker.runtime.fileSystems = ['/images', '/empty', '/empty'];
    disks.forgetMountpoints();
    expect((await disks.poll({ signal })).disks).toHaveLength(2);
    expect(problem).toBeUndefined();
  });

  it('says which file system it cannot see and how to change that, and takes it back', async () => {
    measured = {};
    const disks = watch();
    expect(await disks.read({ signal })).toEqual([]);
    expect(problem).toBe(
      'image file system /images (ENOENT: /images) cannot be measured from this process, so its thresholds are not watched: mount it here at the same path, or below hostRoot (STOWAGE_HOST_ROOT)',
    );
    measured = { '/images': {} };
    await disks.read({ signal });
    expect(problem).toBeUndefined();
  });

  it('looks below the host’s root where that is mounted', async () => {
    measured = { '/host/images': used(42) };
    const [reading] = await watch({}, '/host').read({ signal });
    expect(reading).toMatchObject({ mountpoint: '/images', availableBytes: 580 });
  });

  it('goes on measuring known file systems while the runtime is away', async () => {
    const disks = watch();
    await disks.read({ signal });
    worker.runtime.failure = new Error('away');
    worker.clock += 3_600_000;
    expect(await disks.read({ signal })).toHaveLength(1);
  });

  it('fails while the runtime never said where the images are', async () => {
    worker.runtime.failure = new Error('away');
    await expect(watch().read({ signal })).rejects.toThrow('away');
    worker.runtime.failure = undefined;
    worker.runtime.fileSystems = [];
    await expect(watch().read({ signal })).rejects.toThrow('imageFs information is unavailable');
  });

  it('asks the runtime where they are once a minute, or when told to', async () => {
    const disks = watch();
    const asked = () => worker.runtime.calls.length;
    await disks.read({ signal });
    worker.clock += 59_999;
    await disks.read({ signal });
    expect(asked()).toBe(1);
    worker.clock += 1;
    await disks.read({ signal });
    expect(asked()).toBe(2);
    disks.forgetMountpoints();
    await disks.read({ signal });
    expect(asked()).toBe(3);
  });
});

describe('imageUse', () => {
  const stored = new Map([
    ['/images', 300],
    ['/containers', 500],
  ]);

  it('leaves out what the runtime keeps of containers on a file system of their own', async () => {
    measured = { '/images': { usedBytes: 950 }, '/containers': { usedBytes: 600 } };
    worker.runtime.containerFileSystems = ['/containers'];
    expect(await watch().imageUse(stored, { signal })).toEqual({
      usedBytes: 950,
      storedBytes: 300,
    });
  });

  it('counts them where they lie on the file system of the images, and that one once', async () => {
    measured = {
      '/images': { device: 'one', usedBytes: 950 },
      '/more': { device: 'one', usedBytes: 950 },
      '/containers': { device: 'one', usedBytes: 950 },
    };
    worker.runtime.fileSystems = ['/images', '/more'];
    worker.runtime.containerFileSystems = ['/containers'];
    expect(await watch().imageUse(stored, { signal })).toEqual({
      usedBytes: 950,
      storedBytes: 800,
    });
  });

  it('adds up several image file systems', async () => {
    measured = { '/images': { usedBytes: 950 }, '/more': { usedBytes: 50 } };
    worker.runtime.fileSystems = ['/images', '/more'];
    const both = new Map([...stored, ['/more', 20]]);
    both.delete('/containers');
    expect(await watch().imageUse(both, { signal })).toEqual({ usedBytes: 1000, storedBytes: 320 });
  });

  it('is unknown where one does not tell what is in use, and fails where one cannot be seen', async () => {
    expect(await watch().imageUse(new Map([['/images', 3]]), { signal })).toBeUndefined();
    measured = { '/images': { usedBytes: 950 } };
    await expect(watch().imageUse(stored, { signal })).rejects.toThrow('ENOENT: /containers');
  });
});
