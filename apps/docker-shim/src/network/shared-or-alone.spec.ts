import { SharedOrAlone } from './shared-or-alone';

/** A task that ends when it is told to. */
function task(name: string, log: string[]) {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  return {
    end,
    run: async () => {
      log.push(`${name} starts`);
      await ended;
      log.push(`${name} ends`);
    },
  };
}

it('what runs alone waits for all that run, and keeps those that come until its end', async () => {
  const order = new SharedOrAlone();
  const log: string[] = [];
  const [a, b, alone, late] = ['a', 'b', 'alone', 'late'].map((name) => task(name, log));
  const all = [
    order.shared(a!.run),
    order.shared(b!.run),
    order.alone(alone!.run),
    order.shared(late!.run),
  ];
  late!.end();
  b!.end();
  await all[1];
  expect(log).toEqual(['a starts', 'b starts', 'b ends']);
  a!.end();
  alone!.end();
  await Promise.all(all);
  expect(log.slice(3)).toEqual([
    'a ends',
    'alone starts',
    'alone ends',
    'late starts',
    'late ends',
  ]);
});

it('goes on after failures', async () => {
  const order = new SharedOrAlone();
  const fail = () => Promise.reject(new Error('no'));
  await expect(order.alone(fail)).rejects.toThrow('no');
  await expect(order.shared(fail)).rejects.toThrow('no');
  expect(await order.alone(() => Promise.resolve(1))).toBe(1);
});
