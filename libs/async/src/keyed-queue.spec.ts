import { KeyedQueue } from './keyed-queue';

it('starts the first task of a key at once', () => {
  const queue = new KeyedQueue();
  const done: string[] = [];
  void queue.run('a', () => done.push('a'));
  expect(done).toEqual(['a']);
});

it('runs tasks of a key one after the other, also after one that failed', async () => {
  const queue = new KeyedQueue();
  const done: string[] = [];
  let open = () => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  const first = queue.run('a', async () => {
    await gate;
    done.push('first');
    throw new Error('failed');
  });
  const second = queue.run('a', () => done.push('second'));
  void queue.run('b', () => done.push('other key'));
  expect(queue.pending).toBe(3);
  open();
  await expect(first).rejects.toThrow('failed');
  await second;
  expect(done).toEqual(['other key', 'first', 'second']);
});

it('keeps nothing of tasks that have ended', async () => {
  const queue = new KeyedQueue();
  await queue.run('a', () => undefined);
  await queue.run('a', () => undefined);
  await new Promise((resolve) => setImmediate(resolve));
  expect(queue.pending).toBe(0);
});
