import { PullCoalescer } from './pull-coalescer';

interface Run {
  signal: AbortSignal;
  answered: () => Promise<void>;
  resolve: (value: string) => void;
  reject: (error: Error) => void;
}

function harness() {
  const runs: Run[] = [];
  const coalescer = new PullCoalescer<string>();
  const call = (key = 'k', answered?: Promise<void>) => {
    const abort = new AbortController();
    const outcome = coalescer.run(
      key,
      ({ signal, answered: allAnswered }) =>
        new Promise((resolve, reject) => {
          runs.push({ signal, answered: allAnswered, resolve, reject });
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        }),
      { signal: abort.signal, answered },
    );
    outcome.catch(() => undefined);
    return { outcome, abort };
  };
  return { runs, coalescer, call };
}

describe('pull coalescer', () => {
  it('lets callers with one key share one run, and others not', async () => {
    const { runs, coalescer, call } = harness();
    const [a, b, other] = [call(), call(), call('other')];
    expect(runs).toHaveLength(2);
    runs[0]?.resolve('one');
    runs[1]?.resolve('two');
    expect(await a.outcome).toEqual({ value: 'one', joined: false });
    expect(await b.outcome).toEqual({ value: 'one', joined: true });
    expect(await other.outcome).toEqual({ value: 'two', joined: false });
    await coalescer.settled();
  });

  it('gives all of them the error', async () => {
    const { runs, call } = harness();
    const [a, b] = [call(), call()];
    runs[0]?.reject(new Error('no'));
    await expect(a.outcome).rejects.toThrow('no');
    await expect(b.outcome).rejects.toThrow('no');
  });

  it('knows when all who share a run and say so have their answer', async () => {
    const { runs, call } = harness();
    const leave: (() => void)[] = [];
    const answer = () => new Promise<void>((resolve) => leave.push(resolve));
    call('k', answer());
    call('k');
    call('other', answer());
    let isAnswered = false;
    call('k', answer());
    void runs[0]?.answered().then(() => (isAnswered = true));
    leave[0]?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect(isAnswered).toBe(false);
    leave[2]?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect(isAnswered).toBe(true);
  });

  it('goes on while one still waits, and aborts when the last gives up, with its reason', async () => {
    const { runs, call } = harness();
    const [a, b] = [call(), call()];
    a.abort.abort(new Error('a left'));
    await expect(a.outcome).rejects.toThrow('a left');
    expect(runs[0]?.signal.aborted).toBe(false);
    b.abort.abort(new Error('b left'));
    await expect(b.outcome).rejects.toThrow('b left');
    expect(runs[0]?.signal.reason).toEqual(new Error('b left'));
  });

  it('starts anew for a caller that comes after the abort or the end', async () => {
    const { runs, call } = harness();
    call().abort.abort();
    const second = call();
    expect(runs).toHaveLength(2);
    runs[1]?.resolve('two');
    expect(await second.outcome).toEqual({ value: 'two', joined: false });
    const third = call();
    runs[2]?.resolve('three');
    expect(await third.outcome).toEqual({ value: 'three', joined: false });
  });

  it('does not start for a caller that has given up already', async () => {
    const { runs, coalescer } = harness();
    await expect(
      coalescer.run('k', () => Promise.resolve('x'), {
        signal: AbortSignal.abort(new Error('gone')),
      }),
    ).rejects.toThrow('gone');
    expect(runs).toHaveLength(0);
  });

  it('waits for runs that are still ending after their abort', async () => {
    const coalescer = new PullCoalescer<string>();
    const abort = new AbortController();
    let end: () => void = () => undefined;
    const outcome = coalescer.run('k', () => new Promise((resolve) => (end = () => resolve('x'))), {
      signal: abort.signal,
    });
    abort.abort(new Error('left'));
    await expect(outcome).rejects.toThrow('left');
    let settled = false;
    const waiting = coalescer.settled().then(() => (settled = true));
    await Promise.resolve();
    expect(settled).toBe(false);
    end();
    await waiting;
  });
});
