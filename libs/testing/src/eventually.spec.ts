import { eventually, eventuallyPasses } from './eventually';

describe('eventually', () => {
  it.each([
    ['a value that is there at once', [1], 1],
    ['zero, which is a value', [0], 0],
    ['an empty text, which is a value', [''], ''],
    ['the first value after undefined, null and false', [undefined, null, false, 'ready'], 'ready'],
  ])('returns %s', async (_, answers, wanted) => {
    const left = [...answers];
    expect(await eventually(() => left.shift(), { intervalMs: 1 })).toBe(wanted);
  });

  it('a look that throws counts as not yet', async () => {
    let looks = 0;
    const look = () => {
      looks += 1;
      if (looks < 3) throw new Error('not there');
      return looks;
    };
    expect(await eventually(look, { intervalMs: 1 })).toBe(3);
  });

  it('says what it waited for and what the last look threw', async () => {
    const cause = new Error('connection refused');
    const waiting = eventually(() => Promise.reject(cause), { timeoutMs: 5, what: 'the registry' });
    await expect(waiting).rejects.toThrow(
      'timed out after 5 ms waiting for the registry: connection refused',
    );
    await expect(waiting).rejects.toMatchObject({ name: 'EventuallyTimeoutError', cause });
  });

  it('ends with the reason of its signal, also in the middle of a pause', async () => {
    const controller = new AbortController();
    const waiting = eventually(() => false, { intervalMs: 60_000, signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 5);
    await expect(waiting).rejects.toThrow('enough');
    await expect(
      eventually(() => false, { intervalMs: 60_000, signal: controller.signal }),
    ).rejects.toThrow('enough');
  });
});

it('eventuallyPasses repeats assertions until they hold', async () => {
  let count = 0;
  await eventuallyPasses(() => expect((count += 1)).toBe(3), { intervalMs: 1 });
  await expect(eventuallyPasses(() => expect(1).toBe(2), { timeoutMs: 5 })).rejects.toThrow(
    'expect(received).toBe(expected)',
  );
});
