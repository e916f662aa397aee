import { podKey, PodQueue } from './pod-queue';

const turns = () => new Promise((resolve) => setImmediate(resolve));
const held = () => {
  let release = () => {};
  const done = new Promise<void>((resolve) => (release = resolve));
  return { done, release };
};

describe('PodQueue', () => {
  it('runs the calls of a pod one after the other, those of others at once', async () => {
    const queue = new PodQueue();
    const order: string[] = [];
    const first = held();
    const a1 = queue.run('a', () => first.done.then(() => void order.push('a1')));
    const a2 = queue.run('a', () => Promise.resolve(void order.push('a2')));
    await queue.run('b', () => Promise.resolve(void order.push('b')));
    expect([order, queue.isBusy('a'), queue.isBusy('b')]).toEqual([['b'], true, false]);
    first.release();
    await Promise.all([a1, a2]);
    expect(order).toEqual(['b', 'a1', 'a2']);
    await turns();
    expect(queue.isBusy('a')).toBe(false);
  });

  it('goes on after a call that failed', async () => {
    const queue = new PodQueue();
    const failed = queue.run('a', () => Promise.reject(new Error('no')));
    const next = queue.run('a', () => Promise.resolve(1));
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe(1);
  });

  it('lets go of who gives up while it waits, and never runs it', async () => {
    const waits: number[] = [];
    const queue = new PodQueue((ms) => waits.push(ms));
    const first = held();
    const running = queue.run('a', () => first.done);
    const givenUp = new AbortController();
    const task = jest.fn(() => Promise.resolve());
    const waiting = queue.run('a', task, givenUp);
    givenUp.abort(new Error('given up'));
    await expect(waiting).rejects.toThrow('given up');
    first.release();
    await running;
    await turns();
    expect(task).not.toHaveBeenCalled();
    expect(queue.isBusy('a')).toBe(false);
    await expect(queue.run('a', task, givenUp)).rejects.toThrow('given up');
    expect(waits).toHaveLength(1);
  });

  it('leaves a call that has begun to look at its signal by itself', async () => {
    const queue = new PodQueue();
    const givenUp = new AbortController();
    const clean = held();
    const running = queue.run('a', () => clean.done.then(() => 'cleaned up'), givenUp);
    givenUp.abort(new Error('given up'));
    await turns();
    expect(queue.isBusy('a')).toBe(true);
    clean.release();
    expect(await running).toBe('cleaned up');
  });
});

it('keys of pods differ where any part does', () => {
  const pods = [
    { name: 'a', namespace: 'b', uid: 'c', attempt: 0 },
    { name: 'a', namespace: 'b', uid: 'c', attempt: 1 },
    { name: 'a","b', namespace: '', uid: 'c', attempt: 0 },
    { name: 'a', namespace: '', uid: 'b","c', attempt: 0 },
  ];
  expect(new Set(pods.map(podKey)).size).toBe(4);
});
