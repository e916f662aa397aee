import { KeyedQueue } from './keyed-queue';

test('a free lane starts its task at once', () => {
  const queue = new KeyedQueue();
  const done: string[] = [];
  void queue.run('a', () => done.push('a'));
  expect(done).toEqual(['a']);
});

test('tasks of a lane run one after the other, also after one that failed', async () => {
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
  void queue.run('b', () => done.push('other lane'));
  expect(queue.pending).toBe(3);
  open();
  await expect(first).rejects.toThrow('failed');
  await second;
  expect(done).toEqual(['other lane', 'first', 'second']);
});

test('keeps nothing of tasks that have ended', async () => {
  const queue = new KeyedQueue();
  await queue.run('a', () => undefined);
  await queue.run('a', () => undefined);
  await new Promise((resolve) => setImmediate(resolve));
  expect(queue.pending).toBe(0);
});
