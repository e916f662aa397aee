import { AsyncLocalStorage } from 'node:async_hooks';
import { Gathering } from './gathering';

describe('Gathering', () => {
  const trace = new AsyncLocalStorage<string>();
  let handed: { items: readonly number[]; in: string | undefined }[];
  let gathering: Gathering<number>;

  beforeEach(() => {
    jest.useFakeTimers();
    handed = [];
    gathering = new Gathering(50, (items) => handed.push({ items, in: trace.getStore() }));
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('hands over together what comes within the time, in the trace of the first', () => {
    trace.run('first', () => {
      gathering.add(1);
    });
    jest.advanceTimersByTime(49);
    trace.run('second', () => {
      gathering.add(2);
    });
    expect(handed).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(handed).toEqual([{ items: [1, 2], in: 'first' }]);
  });

  it('hands over at once when asked, and only once', () => {
    trace.run('first', () => {
      gathering.add(1);
    });
    trace.run('asking', () => {
      gathering.flush();
    });
    expect(handed).toEqual([{ items: [1], in: 'first' }]);
    jest.advanceTimersByTime(1000);
    gathering.flush();
    expect(handed).toHaveLength(1);
  });

  it('begins again with what comes after, with the whole time', () => {
    gathering.add(1);
    jest.advanceTimersByTime(30);
    gathering.flush();
    gathering.add(2);
    jest.advanceTimersByTime(49);
    expect(handed).toHaveLength(1);
    jest.advanceTimersByTime(1);
    expect(handed.map(({ items }) => items)).toEqual([[1], [2]]);
  });
});
