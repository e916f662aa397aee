import { AsyncLocalStorage } from 'node:async_hooks';
import { PendingRemovals } from './pending-removals';

describe('PendingRemovals', () => {
  const trace = new AsyncLocalStorage<string>();
  let listed: string[] | Error;
  let lists: number;
  let clock: number;
  let listMs: number;
  let gone: { removals: readonly string[]; in: string | undefined }[];
  let failures: unknown[];
  let pending: PendingRemovals<string>;

  beforeEach(() => {
    jest.useFakeTimers();
    [listed, lists, clock, listMs, gone, failures] = [[], 0, 0, 0, [], []];
    pending = new PendingRemovals({
      listedIds: () => {
        lists += 1;
        clock += listMs;
        return listed instanceof Error ? Promise.reject(listed) : Promise.resolve(new Set(listed));
      },
      gone: (removals) => {
        gone.push({ removals, in: trace.getStore() });
      },
      failed: (error) => {
        failures.push(error);
      },
      elapsedMs: () => clock,
    });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('are looked at together, 200 ms after the first, in its trace', async () => {
    trace.run('first', () => {
      pending.add('a', 'a');
    });
    await jest.advanceTimersByTimeAsync(199);
    trace.run('second', () => {
      pending.add('b', 'b');
    });
    expect(gone).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect([gone, lists]).toEqual([[{ removals: ['a', 'b'], in: 'first' }], 1]);
  });

  it('are looked at when asked, and say once which images stayed', async () => {
    listed = ['a', 'other'];
    pending.add('a', 'a');
    pending.add('b', 'b');
    expect([...(await pending.settle())]).toEqual(['a']);
    expect(gone.map(({ removals }) => removals)).toEqual([['b']]);
    expect([...(await pending.settle())]).toEqual([]);
    await jest.advanceTimersByTimeAsync(1000);
    expect(lists).toBe(1);
  });

  it('count where the list cannot be had', async () => {
    listed = new Error('away');
    pending.add('a', 'a');
    expect((await pending.settle()).size).toBe(0);
    expect([gone[0]?.removals, failures]).toEqual([['a'], [listed]]);
  });

  it('count at once when the image came back', async () => {
    listed = ['a'];
    pending.add('a', 'a');
    pending.cameBack('a');
    pending.cameBack('unknown');
    expect(gone[0]?.removals).toEqual(['a']);
    expect((await pending.settle()).size).toBe(0);
    expect([gone.length, lists]).toEqual([1, 0]);
  });

  it('wait longer where a list takes long, so that looking takes a tenth of the time', async () => {
    listMs = 200;
    pending.add('a', 'a');
    await jest.advanceTimersByTimeAsync(200);
    pending.add('b', 'b');
    await jest.advanceTimersByTimeAsync(1999);
    expect(lists).toBe(1);
    await jest.advanceTimersByTimeAsync(1);
    expect(lists).toBe(2);
  });
});
