import { eventually } from '@stowage/testing';
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

it('what runs alone waits until nothing runs, and keeps only those that come while it runs', async () => {
  const order = new SharedOrAlone();
  const log: string[] = [];
  const [a, b, alone, late] = ['a', 'b', 'alone', 'late'].map((name) => task(name, log));
  const first = order.shared(a!.run);
  const lonely = order.alone(alone!.run);
  const second = order.shared(b!.run);
  a!.end();
  await first;
  b!.end();
  await second;
  await eventually(() => log.includes('alone starts'));
  const third = order.shared(late!.run);
  late!.end();
  alone!.end();
  await Promise.all([lonely, third]);
  expect(log).toEqual([
    ...['a starts', 'b starts', 'a ends', 'b ends'],
    ...['alone starts', 'alone ends', 'late starts', 'late ends'],
  ]);
});

it('goes on after failures', async () => {
  const order = new SharedOrAlone();
  const fail = () => Promise.reject(new Error('no'));
  await expect(order.alone(fail)).rejects.toThrow('no');
  await expect(order.shared(fail)).rejects.toThrow('no');
  expect(await order.alone(() => Promise.resolve(1))).toBe(1);
});
