import { PullQueue } from './pull-queue';
import type { PullLimits } from './pull-queue';

const never = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

function harness(limits: Partial<PullLimits> = {}) {
  const clock = { ms: 0 };
  const queue = new PullQueue(limits, () => clock.ms);
  const begun: string[] = [];
  const finish = new Map<string, () => void>();
  const run = (name: string, priority?: number, signal: AbortSignal = never) =>
    queue.run(
      ({ waitedMs }) => {
        begun.push(name);
        return new Promise<number>((resolve) => finish.set(name, () => resolve(waitedMs)));
      },
      { signal, priority },
    );
  const end = async (name: string) => {
    finish.get(name)?.();
    await turn();
  };
  return { clock, queue, begun, run, end };
}

describe('queue of pulls', () => {
  it('lets all start where nothing limits it', async () => {
    const { queue, begun, run } = harness();
    for (const name of ['a', 'b', 'c']) void run(name);
    await turn();
    expect(begun).toEqual(['a', 'b', 'c']);
    expect([queue.running, queue.waiting]).toEqual([3, 0]);
  });

  it('keeps to the cap, and lets the next one start when one ends', async () => {
    const { queue, begun, run, end } = harness({ maxParallel: 2 });
    for (const name of ['a', 'b', 'c', 'd']) void run(name);
    await turn();
    expect([begun, queue.running, queue.waiting]).toEqual([['a', 'b'], 2, 2]);
    await end('b');
    expect(begun).toEqual(['a', 'b', 'c']);
  });

  it('takes the higher priority first, and the order of arrival within one', async () => {
    const { begun, run, end } = harness({ maxParallel: 1 });
    for (const [name, priority] of [
      ['first', 0],
      ['low', -5],
      ['a', 0],
      ['high', 9],
      ['b', 0],
    ] as const) {
      void run(name, priority);
    }
    await turn();
    for (const name of ['first', 'high', 'a', 'b', 'low']) await end(name);
    expect(begun).toEqual(['first', 'high', 'a', 'b', 'low']);
  });

  it('reports how long a pull waited', async () => {
    const { clock, run, end } = harness({ maxParallel: 1 });
    void run('a');
    const second = run('b');
    await turn();
    clock.ms = 250;
    await end('a');
    await end('b');
    expect(await second).toBe(250);
  });

  it('lets a waiting pull be given up, and one that failed makes room', async () => {
    const { queue, begun, run, end } = harness({ maxParallel: 1 });
    const abort = new AbortController();
    const failing = queue.run(() => Promise.reject(new Error('no')), { signal: never });
    const leaving = run('a', 0, abort.signal);
    await expect(failing).rejects.toThrow('no');
    const blocked = run('b', 0, abort.signal);
    abort.abort(new Error('gone'));
    await expect(blocked).rejects.toThrow('gone');
    await end('a');
    await leaving;
    expect([begun, queue.running, queue.waiting]).toEqual([['a'], 0, 0]);
    await expect(run('c', 0, abort.signal)).rejects.toThrow('gone');
  });

  it('refuses more than may wait', async () => {
    const { run } = harness({ maxParallel: 1, maxWaiting: 1 });
    void run('a');
    void run('b');
    await expect(run('c')).rejects.toThrow('queue of pulls is full: limit 1');
  });

  describe('with a rate', () => {
    const rate = { qps: 2, burst: 2 };

    it("fails at once in kubelet's words where it must not wait", async () => {
      const { clock, begun, run } = harness({ ...rate, qpsMaxWaitMs: 0 });
      void run('a');
      void run('b');
      await expect(run('c')).rejects.toMatchObject({
        message: 'pull QPS exceeded',
        grpcStatus: 'RESOURCE_EXHAUSTED',
        retryable: true,
      });
      clock.ms = 500;
      void run('d');
      await turn();
      expect(begun).toEqual(['a', 'b', 'd']);
    });

    it('waits for the next token, the higher priority first', async () => {
      jest.useFakeTimers({ doNotFake: ['setImmediate'] });
      try {
        const { clock, begun, run } = harness({ ...rate, qpsMaxWaitMs: 10_000 });
        for (const name of ['a', 'b', 'c']) void run(name);
        void run('high', 1);
        await turn();
        expect(begun).toEqual(['a', 'b']);
        for (const at of [500, 1000]) {
          clock.ms = at;
          jest.advanceTimersByTime(500);
          await turn();
        }
        expect(begun).toEqual(['a', 'b', 'high', 'c']);
        expect(jest.getTimerCount()).toBe(0);
      } finally {
        jest.useRealTimers();
      }
    });

    it('fails what waited too long for a token, not what waits for a place', async () => {
      jest.useFakeTimers({ doNotFake: ['setImmediate'] });
      try {
        const { queue, run } = harness({ maxParallel: 2, qps: 1, burst: 1, qpsMaxWaitMs: 100 });
        void run('a');
        const late = run('b');
        const failed = expect(late).rejects.toThrow('pull QPS exceeded');
        const patient = run('c');
        patient.catch(() => undefined);
        jest.advanceTimersByTime(100);
        await failed;
        expect(queue.waiting).toBe(1);
      } finally {
        jest.useRealTimers();
      }
    });

    it('never lets a pull start with a burst of 0, as kubelet', async () => {
      const { run } = harness({ qps: 400, burst: 0 });
      await expect(run('a')).rejects.toThrow('pull QPS exceeded');
    });
  });

  it.each([
    [{ maxParallel: 0 }, 'maxParallel 0: allowed: a whole number from 1, or Infinity'],
    [{ qps: -1 }, 'qps -1: allowed: a number from 0'],
  ])('refuses the limits %j', (limits, message) => {
    expect(() => new PullQueue(limits)).toThrow(message);
  });
});
