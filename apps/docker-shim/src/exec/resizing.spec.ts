import type { TerminalSize } from '@stowage/cri-streaming';
import { eventually } from '@stowage/testing';
import { resizing } from './resizing';

describe('resizing', () => {
  const size = (width: number): TerminalSize => ({ width, height: 24 });

  it('sets one size after another, and of many that wait only the last', async () => {
    const set: number[] = [];
    let go: (() => void) | undefined;
    const listener = resizing(({ width }) => {
      set.push(width);
      return new Promise((resolve) => (go = resolve));
    });
    for (const width of [1, 2, 3]) listener(size(width));
    go?.();
    await eventually(() => set.length === 2);
    go?.();
    listener(size(4));
    await eventually(() => set.length === 3);
    expect(set).toEqual([1, 3, 4]);
    go?.();
  });

  it('tries again while the engine refuses, with a newer size where there is one', async () => {
    const tried: number[] = [];
    const listener = resizing(({ width }) => {
      tried.push(width);
      return tried.length < 3 ? Promise.reject(new Error('not started')) : Promise.resolve();
    });
    listener(size(1));
    await eventually(() => tried.length === 1);
    listener(size(2));
    await eventually(() => tried.length === 3);
    expect(tried).toEqual([1, 2, 2]);
  });
});
