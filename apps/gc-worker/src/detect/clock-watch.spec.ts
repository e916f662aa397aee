import { ClockWatch } from './clock-watch';

describe('ClockWatch', () => {
  it('tells how far the clock was set, in both directions, once', () => {
    let [wall, steady] = [1_000_000, 0];
    const watch = new ClockWatch(
      () => wall,
      () => steady,
    );
    const after = (wallMs: number, steadyMs: number) => {
      wall += wallMs;
      steady += steadyMs;
      return watch.jumpMs();
    };
    expect([
      after(0, 0),
      after(300_000, 300_000),
      after(359_000, 300_000),
      after(3_900_000, 300_000),
      after(300_000, 300_000),
      after(-3_300_000, 300_000),
      after(1000, 1000),
    ]).toEqual([0, 0, 0, 3_600_000, 0, -3_600_000, 0]);
  });
});
