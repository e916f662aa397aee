import type { ImageFsInfoResponse } from '@stowage/cri-proto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DiskUsage } from '../engine/engine-client';
import type { Engine } from '../engine/engine-connection';
import { ImageFsInfo } from './image-fs-info';

let root: string;
let asked: (string | undefined)[];
let clockMs: number;
const begin = 1_700_000_000_000;
const { signal } = new AbortController();

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'stowage-image-fs-'));
  asked = [];
  clockMs = begin;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** On an engine with this API, which finds a byte more each time. */
function onEngine(api: string): ImageFsInfo {
  const diskUsage = (type?: string): Promise<DiskUsage> => {
    asked.push(type);
    return Promise.resolve({ LayersSize: asked.length, Containers: [{ SizeRw: 5 }] });
  };
  const engine = { api, client: { diskUsage }, info: { ID: 'one', DockerRootDir: root } };
  return new ImageFsInfo(
    { engine: () => ({ ...engine, lost: signal }) as unknown as Engine },
    '',
    () => clockMs,
  );
}

/** Milliseconds since the beginning, and bytes of images. */
const seen = ({ imageFilesystems: [usage] }: ImageFsInfoResponse) => [
  Number(usage?.timestamp ?? 0n) / 1e6 - begin,
  Number(usage?.usedBytes?.value ?? 0n),
];

it.each(['1.41', '1.44'])(
  'API %s: figures that are kept are dated as of the call, as kubelet evicts on newer ones only',
  async (api) => {
    const info = onEngine(api);
    expect(seen(await info.get({ signal }))).toEqual([0, 1]);
    clockMs += 10_000;
    const again = await info.get({ signal });
    expect(seen(again)).toEqual([10_000, 1]);
    expect(again.containerFilesystems[0]).toMatchObject({
      timestamp: BigInt(begin + 10_000) * 1_000_000n,
      usedBytes: { value: 5n },
      fsId: { mountpoint: root },
    });
    expect(again.containerFilesystems[0]?.inodesUsed?.value).toBeGreaterThan(0n);
  },
);

it('an engine that measures apart is asked again at once when images changed, and after 30 s', async () => {
  const info = onEngine('1.44');
  await info.get({ signal });
  expect(asked).toEqual(['image', 'container']);
  info.changed();
  expect(seen(await info.get({ signal }))).toEqual([0, 3]);
  clockMs += 30_000;
  expect(seen(await info.get({ signal }))).toEqual([30_000, 4]);
  expect(asked).toEqual(['image', 'container', 'image', 'image']);
});

it('an engine that goes through all files is spared, and its figures from before a change keep their time', async () => {
  const info = onEngine('1.41');
  await info.get({ signal });
  clockMs += 20_000;
  info.changed();
  expect(seen(await info.get({ signal }))).toEqual([0, 1]);
  clockMs += 10_000;
  expect(seen(await info.get({ signal }))).toEqual([30_000, 2]);
  clockMs += 299_999;
  expect(seen(await info.get({ signal }))).toEqual([329_999, 2]);
  clockMs += 1;
  expect(seen(await info.get({ signal }))).toEqual([330_000, 3]);
  expect(asked).toEqual([undefined, undefined, undefined]);
});

it('callers at one moment wait for one measurement', async () => {
  const info = onEngine('1.41');
  const all = await Promise.all([info.get({ signal }), info.get({ signal })]);
  expect(all.map(seen)).toEqual([
    [0, 1],
    [0, 1],
  ]);
  expect(asked).toHaveLength(1);
});
