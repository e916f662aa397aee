import { PermissionDeniedError } from '@stowage/errors';
import { breakDown, breakdownText, imagesSuffice, type FileSystemUse } from './break-down';
import { DiskBreakdowns } from './disk-breakdowns';
import type { RuntimeUsage } from '../runtime/runtime';

const { signal } = new AbortController();

const use = (values: Partial<FileSystemUse>): FileSystemUse => ({
  mountpoint: '/images',
  role: 'image',
  usedBytes: 1000,
  storedBytes: 0,
  writtenBytes: 0,
  ...values,
});

const held = (uses: readonly FileSystemUse[], listedBytes: number) =>
  breakDown(uses, listedBytes).map(
    ({ mountpoint, imageBytes, containerBytes, otherBytes }) =>
      `${mountpoint}: ${imageBytes} ${containerBytes} ${otherBytes}`,
  );

describe('breakDown', () => {
  it.each([
    ['containerd: packed and unpacked', { storedBytes: 300, writtenBytes: 40 }, 100, '360 40 600'],
    ['containerd: no container', { storedBytes: 300 }, 100, '400 0 600'],
    ['CRI-O: its account is of metadata', { storedBytes: 5, writtenBytes: 40 }, 100, '105 40 855'],
    ['nothing of the runtime', {}, 0, '0 0 1000'],
    [
      'containers wrote more than is stored',
      { storedBytes: 30, writtenBytes: 90 },
      10,
      '10 30 960',
    ],
    ['an old account exceeds what is in use', { storedBytes: 1500 }, 400, '1000 0 0'],
  ])('%s', (_, values, listedBytes, parts) => {
    expect(held([use(values)], listedBytes)).toEqual([`/images: ${parts}`]);
  });

  it('file systems of containers hold no images', () => {
    const containers = use({ mountpoint: '/containers', role: 'container', writtenBytes: 70 });
    expect(held([use({ storedBytes: 100 }), containers], 100)).toEqual([
      '/images: 200 0 800',
      '/containers: 0 70 930',
    ]);
  });

  it('several file systems of images: it is not known how many lie on which', () => {
    const containers = use({ mountpoint: '/containers', role: 'container' });
    const uses = [use({}), use({ mountpoint: '/other' }), containers];
    expect(held(uses, 100)).toEqual(['/containers: 0 0 1000']);
  });
});

describe('whether images suffice, and the breakdown in words', () => {
  const [breakdown] = breakDown([use({ storedBytes: 300, writtenBytes: 40 })], 100);
  if (breakdown === undefined) throw new Error('no breakdown');
  const words = 'of 1000 B in use, images hold 360 B, containers 40 B, other files 600 B';

  it.each([
    [361, false, `${words}: without any image it would still be above its low threshold`],
    [360, true, words],
    [0, undefined, words],
  ])('%i bytes to free', (bytesToFree, suffice, text) => {
    expect(imagesSuffice({ bytesToFree }, breakdown)).toBe(suffice);
    expect(breakdownText({ bytesToFree }, breakdown)).toBe(text);
  });
});

describe('DiskBreakdowns', () => {
  function breakdowns(values: {
    listed?: number;
    usage?: RuntimeUsage | Error;
    layers?: ReadonlyMap<string, number>;
  }) {
    let asked = 0;
    let clock = 0;
    const made = new DiskBreakdowns({
      runtime: {
        usage: () => {
          asked += 1;
          return values.usage instanceof Error
            ? Promise.reject(values.usage)
            : Promise.resolve(values.usage);
        },
        writableLayers: () => Promise.resolve(values.layers),
      },
      uses: ({ stored }) => Promise.resolve([use({ storedBytes: stored.get('/images') ?? 0 })]),
      listedBytes: () => values.listed,
      log: { debug: () => undefined },
      elapsedMs: () => clock,
    });
    const current = (maxAgeMs: number) => made.current({ signal, maxAgeMs });
    return { current, asked: () => asked, at: (ms: number) => (clock = ms) };
  }
  const usage = { byMountpoint: new Map([['/images', 200]]), sampledAt: 0 };
  const layers = new Map<string, number>();

  it('asks again when what is known is too old', async () => {
    const { current, at, asked } = breakdowns({ listed: 100, usage, layers });
    expect(await current(1000)).toMatchObject([{ imageBytes: 300, otherBytes: 700 }]);
    at(999);
    await current(1000);
    expect(asked()).toBe(1);
    at(1000);
    await current(1000);
    expect(asked()).toBe(2);
  });

  it('does not ask a runtime again for an hour that refuses to give an account', async () => {
    const refused = new PermissionDeniedError('ListContainerStats', 'read-only');
    const { current, at, asked } = breakdowns({ listed: 100, usage: refused, layers });
    await current(0);
    at(3_599_999);
    expect(await current(0)).toEqual([]);
    expect(asked()).toBe(1);
    at(3_600_000);
    await current(0);
    expect(asked()).toBe(2);
  });

  it.each([
    ['nothing was detected yet', { usage, layers }],
    ['the runtime does not report its stores', { listed: 1, layers }],
    ['nor what containers wrote', { listed: 1, usage }],
    ['the runtime fails', { listed: 1, usage: new Error('away'), layers }],
  ])('is not known where %s', async (_, values) => {
    expect(await breakdowns(values).current(0)).toEqual([]);
  });
});
