import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Image, ImageFsInfoResponse } from '@stowage/cri-proto';
import type { Pull, PullProgress } from '../pull';
import { ContentStore } from './content-store';
import { PullProgressWatch, type ProgressPolicy } from './pull-progress';

const layer = `sha256:${'a'.repeat(64)}`;
const config = `sha256:${'b'.repeat(64)}`;
const policy: ProgressPolicy = { deadlineMs: 10_000, intervalMs: 1000, trustImageFs: false };

describe('progress of pulls', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'content-'));
    mkdirSync(path.join(root, 'ingest'));
    mkdirSync(path.join(root, 'blobs', 'sha256'), { recursive: true });
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const blob = (digest: string, content: string) =>
    writeFileSync(path.join(root, 'blobs', 'sha256', digest.slice(7)), content);

  const manifest = (): string => {
    const content = JSON.stringify({
      config: { digest: config, size: 10 },
      layers: [{ digest: layer, size: 990 }],
    });
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    blob(digest, content);
    return digest;
  };

  const download = (digest: string, bytes: number) => {
    const folder = path.join(root, 'ingest', digest.slice(7, 20));
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'data'), Buffer.alloc(bytes));
    writeFileSync(path.join(folder, 'ref'), `k8s.io/1/layer-${digest}`);
  };

  function watching(
    options: Partial<ProgressPolicy> = {},
    store: ContentStore | null = new ContentStore(root),
    { hasOwnClock = true } = {},
  ) {
    const clock = { ms: Date.now() };
    const start = clock.ms;
    const fs = { usedBytes: 0, answers: true, imageSizes: [] as number[] };
    const reported: PullProgress[] = [];
    const stalled: string[] = [];
    const watch = new PullProgressWatch(
      { ...policy, ...options },
      {
        imageFsInfo: async () => {
          if (!fs.answers) throw new Error('deadline exceeded');
          return Promise.resolve(
            ImageFsInfoResponse.fromPartial({
              imageFilesystems: [
                { fsId: { mountpoint: '/m' }, usedBytes: { value: BigInt(fs.usedBytes) } },
              ],
            }),
          );
        },
        listImages: async () => {
          if (!fs.answers) throw new Error('deadline exceeded');
          const images = fs.imageSizes.map((size) => Image.fromPartial({ size: BigInt(size) }));
          return Promise.resolve({ images });
        },
      },
      (mountpoint) => Promise.resolve(mountpoint === '/m' ? (store ?? undefined) : undefined),
      (_pull, progress) => reported.push(progress),
      hasOwnClock ? () => clock.ms : undefined,
    );
    const begin = (reference = 'reg.io/a:1') => {
      const pull: Pull = { id: 'p', requestedReference: reference, reference };
      return watch.watch(pull, ({ message }) => stalled.push(message));
    };
    const lookAt = async (afterMs: number) => {
      clock.ms = start + afterMs;
      await watch.look();
    };
    return { watch, fs, reported, stalled, begin, lookAt, clock };
  }

  it('says how far a pull is when asked, layer by layer, also where none is reported', async () => {
    const { watch, reported, begin, clock } = watching({ intervalMs: 0, deadlineMs: 0 });
    const end = begin();
    expect(await watch.progress(['p'])).toEqual(
      new Map([
        [
          'p',
          { progress: expect.objectContaining({ bytes: 0, approximate: true }), layers: undefined },
        ],
      ]),
    );
    manifest();
    blob(config, 'x'.repeat(10));
    download(layer, 190);
    clock.ms += 1000;
    const both = await Promise.all([watch.progress(['p']), watch.progress(['p'])]);
    expect(both[1]).toEqual(both[0]);
    expect(both[0].get('p')).toMatchObject({
      progress: { bytes: 200, totalBytes: 1000, percent: 20, approximate: false },
      layers: [
        { digest: config, sizeBytes: 10, bytes: 10 },
        { digest: layer, sizeBytes: 990, bytes: 190 },
      ],
    });
    // Asked again at once it is what was seen.
    download(layer, 390);
    expect((await watch.progress(['p'])).get('p')?.progress.bytes).toBe(200);
    clock.ms += 200;
    expect((await watch.progress(['p', 'q'])).get('p')?.progress.bytes).toBe(400);
    end();
    expect(await watch.progress(['p'])).toEqual(new Map());
    expect(reported).toEqual([]);
  });

  it('knows bytes, percent and time left by the manifest of the only pull', async () => {
    const { reported, begin, lookAt } = watching();
    const end = begin();
    manifest();
    blob(config, 'x'.repeat(10));
    download(layer, 190);
    await lookAt(1000);
    download(layer, 390);
    await lookAt(2000);
    end();
    expect(reported).toEqual([
      {
        bytes: 200,
        totalBytes: 1000,
        percent: 20,
        bytesPerSecond: undefined,
        remainingMs: undefined,
        elapsedMs: 1000,
        approximate: false,
      },
      {
        bytes: 400,
        totalBytes: 1000,
        percent: 40,
        bytesPerSecond: 200,
        remainingMs: 3000,
        elapsedMs: 2000,
        approximate: false,
      },
    ]);
  });

  it('knows it by the digest of the reference beside other pulls, whose bytes are approximate', async () => {
    const { reported, begin, lookAt } = watching();
    const ends = [begin(`reg.io/a@${manifest()}`), begin('reg.io/b:1')];
    await lookAt(500);
    download(layer, 500);
    await lookAt(1500);
    for (const end of ends) end();
    expect(reported).toMatchObject([
      { bytes: 500, percent: 50, approximate: false },
      { bytes: 500, approximate: true },
    ]);
    expect(reported[1]?.percent).toBeUndefined();
  });

  it('reports nothing that is not new, and not too often', async () => {
    const { reported, begin, lookAt } = watching();
    const end = begin();
    download(layer, 100);
    await lookAt(500);
    await lookAt(1100);
    expect(reported).toHaveLength(0);
    download(layer, 200);
    await lookAt(1200);
    await lookAt(2500);
    download(layer, 300);
    await lookAt(2100);
    end();
    expect(reported).toHaveLength(1);
  });

  it('ends a pull that stands still for the deadline, once', async () => {
    const { stalled, begin, lookAt } = watching();
    const end = begin();
    download(layer, 100);
    await lookAt(1000);
    await lookAt(10_999);
    expect(stalled).toEqual([]);
    await lookAt(11_000);
    await lookAt(30_000);
    end();
    expect(stalled).toEqual(['the pull made no progress for 10000 ms and was cancelled']);
  });

  it('ends a pull whose own download stands still beside others, but not while it unpacks', async () => {
    const { fs, stalled, begin, lookAt } = watching();
    const ends = [begin(`reg.io/a@${manifest()}`), begin('reg.io/b:1')];
    const other = `sha256:${'f'.repeat(64)}`;
    const oneMore = async (step: number) => {
      download(other, step);
      fs.usedBytes += 5;
      await lookAt(step * 4000);
    };
    // Its layer has come, or was there unpacked: what is left is unpacking, which only shows in all
    // that is used.
    for (const step of [1, 2, 3, 4]) await oneMore(step);
    expect(stalled).toEqual([]);
    download(layer, 500);
    for (const step of [5, 6, 7]) await oneMore(step);
    expect(stalled).toEqual([]);
    await oneMore(8);
    expect(stalled).toHaveLength(1);
    for (const end of ends) end();
  });

  it('ends a pull of a runtime that has stopped answering, or answers now and then', async () => {
    const { fs, stalled, begin, lookAt } = watching();
    fs.usedBytes = 5;
    const end = begin();
    download(layer, 100);
    await lookAt(1000);
    for (const afterMs of [3000, 5000, 7000, 9000]) {
      fs.answers = !fs.answers;
      await lookAt(afterMs);
    }
    fs.answers = false;
    await lookAt(10_999);
    expect(stalled).toEqual([]);
    await lookAt(11_000);
    end();
    expect(stalled).toHaveLength(1);
  });

  it('does not take a clock that is set for a pull that stands still', async () => {
    const started = Date.now();
    const wall = jest.spyOn(Date, 'now').mockReturnValue(started);
    const { watch, stalled, begin } = watching({}, undefined, { hasOwnClock: false });
    const end = begin();
    download(layer, 100);
    await watch.look();
    wall.mockReturnValue(started + 3_600_000);
    await watch.look();
    end();
    jest.restoreAllMocks();
    expect(stalled).toEqual([]);
  });

  it('forgets what it knows of blobs that are gone', async () => {
    const store = new ContentStore(root);
    const digest = manifest();
    const file = path.join(root, 'blobs', 'sha256', digest.slice(7));
    const content = readFileSync(file);
    writeFileSync(file, 'no manifest');
    expect(await store.manifestsSince(0)).toEqual([]);
    rmSync(file);
    expect(await store.manifestsSince(0)).toEqual([]);
    writeFileSync(file, content);
    expect(await store.manifestsSince(0)).toEqual([expect.objectContaining({ digest })]);
  });

  it('reads no blob that is too large for a manifest, whoever names its digest', async () => {
    const content = `${JSON.stringify({ config: { digest: config, size: 1 }, layers: [] })}${' '.repeat(2 ** 22)}`;
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    blob(digest, content);
    const { reported, begin, lookAt } = watching();
    const end = begin(`reg.io/a@${digest}`);
    download(layer, 190);
    await lookAt(1000);
    download(layer, 390);
    await lookAt(2000);
    end();
    expect(reported).toMatchObject([{ totalBytes: undefined, approximate: true }]);
  });

  it.each([
    ['unpacking moves it too', false, 0],
    ['without the content store ImageFsInfo does not count', true, 0],
  ])('%s', async (what, isBlind, expected) => {
    const { fs, stalled, begin, lookAt } = isBlind ? watching({}, null) : watching();
    const end = begin();
    await lookAt(1000);
    if (!isBlind) fs.usedBytes = 5;
    await lookAt(9000);
    await lookAt(15_000);
    end();
    expect([what, stalled.length]).toEqual([what, expected]);
  });

  describe('by ImageFsInfo alone', () => {
    const mib = 1024 * 1024;

    it('is no progress where the runtime counts its notes and not the images', async () => {
      const { fs, reported, stalled, begin, lookAt } = watching({ trustImageFs: true }, null);
      Object.assign(fs, { usedBytes: 24_000, imageSizes: [15 * mib] });
      const end = begin();
      for (const second of [1, 5, 11, 20, 60, 120]) {
        fs.usedBytes += 3000;
        await lookAt(second * 1000);
      }
      await lookAt(600_000);
      end();
      expect([reported, stalled]).toEqual([[], []]);
    });

    it('is none before an image has proved what is counted', async () => {
      const { fs, reported, stalled, begin, lookAt } = watching({ trustImageFs: true }, null);
      fs.usedBytes = 20 * mib;
      const first = begin();
      await lookAt(1000);
      await lookAt(40_000);
      first();
      expect([reported, stalled]).toEqual([[], []]);
      fs.imageSizes = [15 * mib];
      await lookAt(75_000);
      const second = begin();
      await lookAt(80_000);
      fs.usedBytes += 4 * mib;
      await lookAt(82_000);
      await lookAt(91_999);
      expect([reported.map(({ bytes }) => bytes), stalled]).toEqual([[4 * mib], []]);
      fs.answers = false;
      await lookAt(92_000);
      second();
      expect(stalled).toHaveLength(1);
    });
  });

  it('is over for nobody when it is switched off', () => {
    jest.useFakeTimers();
    try {
      const { begin } = watching({ deadlineMs: 0, intervalMs: 0 });
      begin();
      expect(jest.getTimerCount()).toBe(0);
      const other = watching();
      const end = other.begin();
      expect(jest.getTimerCount()).toBe(1);
      end();
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });
});
