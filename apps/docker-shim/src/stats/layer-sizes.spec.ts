import type { Engine } from '../engine/engine-connection';
import { EngineResponseError } from '../engine/engine-errors';
import { LayerSizes } from './layer-sizes';

const intervalMs = 60_000;

describe('LayerSizes', () => {
  let layers: LayerSizes;
  const measured: { id: string; atMs: number }[] = [];
  const reported: [boolean, number][] = [];
  /** How long a measurement takes, milliseconds. */
  let takesMs = 10;
  let most = 0;
  let answer: (id: string) => Promise<{ SizeRw?: number }>;

  beforeEach(() => {
    jest.useFakeTimers({ now: 1_000_000 });
    measured.length = 0;
    reported.length = 0;
    takesMs = 10;
    most = 0;
    let atOnce = 0;
    answer = (id) => Promise.resolve({ SizeRw: id.length });
    const client = {
      inspectContainer: async (id: string) => {
        measured.push({ id, atMs: Date.now() - 1_000_000 });
        atOnce += 1;
        most = Math.max(most, atOnce);
        await new Promise((resolve) => setTimeout(resolve, takesMs));
        atOnce -= 1;
        return answer(id);
      },
    };
    layers = new LayerSizes({
      connection: { engine: () => ({ client }) as unknown as Engine },
      intervalMs,
      listener: { layerMeasured: (isMeasured, ms) => reported.push([isMeasured, Math.round(ms)]) },
      now: Date.now,
      steady: Date.now,
    });
  });
  afterEach(async () => {
    await layers.close();
    jest.useRealTimers();
  });

  const see = (ids: readonly string[], running = true) =>
    layers.seen(ids.map((id) => ({ id, running })));
  const timesOf = (id: string) => measured.filter((one) => one.id === id).map(({ atMs }) => atMs);

  it('measures one at a time, spread over the interval, each once in it', async () => {
    const ids = Array.from({ length: 60 }, (_one, n) => `c${n}`);
    see(ids);
    expect(layers.size('c0')).toBeUndefined();
    for (let s = 0; s < 180; s += 10) {
      await jest.advanceTimersByTimeAsync(10_000);
      see(ids);
    }
    expect(most).toBe(1);
    expect(layers.size('c10')).toMatchObject({ bytes: 3n });
    for (const id of ids) {
      const [first = 0, second = 0, third] = timesOf(id);
      expect(second - first).toBeGreaterThanOrEqual(intervalMs);
      expect(third === undefined || third - second >= intervalMs).toBe(true);
      expect(first).toBeLessThan(intervalMs + 2000);
    }
    // Two in two seconds.
    const gaps = measured.slice(2).map(({ atMs }, n) => atMs - (measured[n]?.atMs ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1990);
  });

  it('measures few at a time where there are many, and keeps the pace where that takes long', async () => {
    const ids = Array.from({ length: 240 }, (_one, n) => `c${n}`);
    const minutes = async (count: number) => {
      measured.length = 0;
      for (let s = 0; s < count * 60; s += 10) {
        see(ids);
        await jest.advanceTimersByTimeAsync(10_000);
      }
    };
    await minutes(3);
    const gaps = (apart: number) =>
      measured.slice(apart).map(({ atMs }, n) => atMs - (measured[n]?.atMs ?? 0));
    // Eight in two seconds, and nothing between.
    expect(Math.min(...gaps(8))).toBeGreaterThanOrEqual(1990);
    expect(gaps(1).filter((gap) => gap > 100).length).toBeLessThan(100);
    for (const id of ids) {
      const [first = 0, second = 0] = timesOf(id);
      expect(second - first).toBeGreaterThanOrEqual(intervalMs);
      expect(second - first).toBeLessThan(intervalMs * 1.1);
    }
    takesMs = 150;
    await minutes(2);
    expect(most).toBe(1);
    expect(Math.min(...gaps(1))).toBeGreaterThanOrEqual(390);
    expect(new Set(measured.map(({ id }) => id)).size).toBe(240);
  });

  it('takes longer pauses where measuring takes long, up to twenty minutes, and no longer after that', async () => {
    takesMs = 1500;
    see(['slow']);
    for (let minute = 0; minute < 90; minute += 1) {
      await jest.advanceTimersByTimeAsync(60_000);
      see(['slow']);
    }
    const times = timesOf('slow');
    const minutes = times.slice(1).map((at, n) => Math.round((at - (times[n] ?? 0)) / 60_000));
    expect(minutes.slice(0, 6)).toEqual([2, 4, 8, 16, 20, 20]);
    takesMs = 10;
    await jest.advanceTimersByTimeAsync(20 * 60_000);
    const before = measured.length;
    for (let minute = 0; minute < 5; minute += 1) {
      see(['slow']);
      await jest.advanceTimersByTimeAsync(60_000);
    }
    expect(measured.length - before).toBeGreaterThanOrEqual(4);
  });

  it('measures one that does not run once, and again when it runs', async () => {
    see(['c'], false);
    await jest.advanceTimersByTimeAsync(400_000);
    see(['c'], false);
    await jest.advanceTimersByTimeAsync(400_000);
    expect(timesOf('c')).toHaveLength(1);
    see(['c'], true);
    await jest.advanceTimersByTimeAsync(61_000);
    expect(timesOf('c').length).toBeGreaterThanOrEqual(2);
  });

  it('stops when nobody asks any more, and forgets what is gone', async () => {
    see(['a', 'b']);
    answer = (id) =>
      id === 'a'
        ? Promise.reject(new EngineResponseError('measure container', 404, 'no such container'))
        : Promise.resolve({ SizeRw: 1 });
    await jest.advanceTimersByTimeAsync(700_000);
    expect(timesOf('a')).toHaveLength(1);
    const before = timesOf('b').length;
    expect(before).toBeGreaterThan(5);
    await jest.advanceTimersByTimeAsync(3_600_000);
    expect(timesOf('b').length).toBeLessThanOrEqual(before + 1);
    expect(layers.size('b')).toBeUndefined();
  });

  it('keeps the last size while the engine is away, and reports the failure', async () => {
    see(['c']);
    await jest.advanceTimersByTimeAsync(1000);
    answer = () => Promise.reject(new Error('away'));
    await jest.advanceTimersByTimeAsync(70_000);
    expect(layers.size('c')).toMatchObject({ bytes: 1n });
    expect(reported).toEqual([
      [true, 10],
      [false, 10],
    ]);
  });
});
