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

  it.each([
    ['behind', 3_600_000, -2_600_000],
    ['a little behind', 1_050_000, 0],
    ['ahead, as after a night without it', 500_000, 0],
  ])('begins %s what an earlier process saw last', (_what, lastWall, jumpMs) => {
    const watch = new ClockWatch(
      () => 1_000_000,
      () => 0,
      lastWall,
    );
    expect([watch.jumpMs(), watch.jumpMs()]).toEqual([jumpMs, 0]);
  });
});
