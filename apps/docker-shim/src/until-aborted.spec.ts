import { untilAborted } from './until-aborted';

it('returns or throws what the promise does', async () => {
  const { signal } = new AbortController();
  expect(await untilAborted(Promise.resolve('answer'), signal)).toBe('answer');
  await expect(untilAborted(Promise.reject(new Error('refused')), signal)).rejects.toThrow(
    'refused',
  );
});

it('rejects with the reason of the signal', async () => {
  const caller = new AbortController();
  const waiting = untilAborted(new Promise(() => undefined), caller.signal);
  caller.abort(new Error('gave up'));
  await expect(waiting).rejects.toThrow('gave up');
});

it.each(['before', 'after'])(
  'leaves no failure that nobody handles when the signal is aborted %s the call',
  async (when) => {
    const caller = new AbortController();
    let fail: (error: Error) => void = () => undefined;
    const work = new Promise<void>((_resolve, reject) => (fail = reject));
    const handled = jest.spyOn(work, 'then');
    if (when === 'before') caller.abort(new Error('gave up'));
    const waiting = untilAborted(work, caller.signal);
    caller.abort(new Error('gave up'));
    await expect(waiting).rejects.toThrow('gave up');
    expect(handled).toHaveBeenCalled();
    fail(new Error('too late'));
    await new Promise((resolve) => setImmediate(resolve));
  },
);
