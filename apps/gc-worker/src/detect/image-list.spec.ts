import { ImageList } from './image-list';
import { FakeWorker, listed } from '../testing/fake-worker';
import { now } from '../testing/plan-fixtures';

const { signal } = new AbortController();

function make() {
  const worker = new FakeWorker();
  const { runtime, log } = worker;
  const metrics = worker.metrics.detection;
  return { worker, list: new ImageList({ runtime, metrics, log, now: worker.now }) };
}

describe('ImageList', () => {
  it('holds the largest first, ids downwards between equals, up to five names each', async () => {
    const { worker, list } = make();
    worker.runtime.images = [
      listed('a', { sizeBytes: 5 }),
      listed('c', { sizeBytes: 9, repoDigests: ['d1', 'd2'], repoTags: ['t1', 't2', 't3', 't4'] }),
      listed('b', { sizeBytes: 5 }),
    ];
    await list.refresh({ signal });
    expect(list.nodeImages(-1)).toEqual([
      { names: ['d1', 'd2', 't1', 't2', 't3'], sizeBytes: 9 },
      { names: ['registry.example/b:1'], sizeBytes: 5 },
      { names: ['registry.example/a:1'], sizeBytes: 5 },
    ]);
    expect(list.nodeImages(1)).toHaveLength(1);
    expect(list.at()).toBe(now);
  });

  it('says when images came or went, but not at the first answer', async () => {
    const { worker, list } = make();
    const changes: boolean[] = [];
    for (const ids of [['a'], ['a'], ['a', 'b'], ['a', 'c'], ['c']]) {
      worker.runtime.images = ids.map((id) => listed(id));
      changes.push(await list.refresh({ signal }));
    }
    expect(changes).toEqual([false, false, true, true, true]);
  });

  it('keeps the old list while the runtime does not answer, and says so once', async () => {
    const { worker, list } = make();
    worker.runtime.images = [listed('a')];
    await list.refresh({ signal });
    worker.runtime.failure = new Error('away');
    worker.clock += 30_000;
    expect(await list.refresh({ signal })).toBe(false);
    await list.refresh({ signal });
    expect([list.nodeImages(-1).length, list.at()]).toEqual([1, now]);
    expect(worker.lines).toEqual([
      { message: 'image list not renewed', fields: { reason: 'away' } },
    ]);
  });
});
