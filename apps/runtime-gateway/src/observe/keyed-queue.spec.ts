import { Lanes } from './keyed-queue';

test('a free lane starts its task at once', () => {
  const lanes = new Lanes();
  const done: string[] = [];
  void lanes.run('a', () => done.push('a'));
  expect(done).toEqual(['a']);
});

test('tasks of a lane run one after the other, also after one that failed', async () => {
  const lanes = new Lanes();
  const done: string[] = [];
  let open = () => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  const first = lanes.run('a', async () => {
    await gate;
    done.push('first');
    throw new Error('failed');
  });
  const second = lanes.run('a', () => done.push('second'));
  void lanes.run('b', () => done.push('other lane'));
  expect(lanes.pending).toBe(3);
  open();
  await expect(first).rejects.toThrow('failed');
  await second;
  expect(done).toEqual(['other lane', 'first', 'second']);
});

test('keeps nothing of tasks that have ended', async () => {
  const lanes = new Lanes();
  await lanes.run('a', () => undefined);
  await lanes.run('a', () => undefined);
  await new Promise((resolve) => setImmediate(resolve));
  expect(lanes.pending).toBe(0);
});
