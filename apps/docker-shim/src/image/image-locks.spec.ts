import { ImageLocks } from './image-locks';

/** Work that ends when it is told to. */
function work(log: string[], name: string) {
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (end = resolve));
  const run = async () => {
    log.push(`${name} begins`);
    await over;
    log.push(`${name} ends`);
  };
  return { run, end: () => end() };
}
const turns = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

it('uses of an image run side by side, its removal alone', async () => {
  const locks = new ImageLocks();
  const log: string[] = [];
  const [a, b, c] = ['a', 'b', 'c'].map((name) => work(log, name)) as [
    ReturnType<typeof work>,
    ReturnType<typeof work>,
    ReturnType<typeof work>,
  ];
  const removal = work(log, 'removal');
  const done = [
    locks.use(['x'], a.run),
    locks.use(['x', 'x'], b.run),
    locks.remove('x', removal.run),
    locks.use(['x', 'y'], c.run),
  ];
  await turns();
  expect(log).toEqual(['a begins', 'b begins']);
  a.end();
  await turns();
  expect(log).toEqual(['a begins', 'b begins', 'a ends']);
  b.end();
  await turns();
  expect(log.slice(3)).toEqual(['b ends', 'removal begins']);
  removal.end();
  await turns();
  expect(log.slice(5)).toEqual(['removal ends', 'c begins']);
  c.end();
  await Promise.all(done);
});

it('other images do not wait, and a failure is the caller’s alone', async () => {
  const locks = new ImageLocks();
  const log: string[] = [];
  const removal = work(log, 'removal');
  const removed = locks.remove('x', removal.run);
  await locks.use(['y'], () => Promise.resolve());
  const failed = locks.use(['x', 'y'], () => Promise.reject(new Error('no')));
  removal.end();
  await removed;
  await expect(failed).rejects.toThrow('no');
  expect(await locks.remove('x', () => Promise.resolve('done'))).toBe('done');
});
