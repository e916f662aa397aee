import { SampleRing } from './trend';

const ring = (samples: [seconds: number, used: number][]) => {
  const made = new SampleRing();
  for (const [seconds, used] of samples) made.add(seconds * 1000, used);
  return made;
};
const steady = (count: number, perSample: number, everySeconds = 10) =>
  ring(Array.from({ length: count }, (_, at) => [at * everySeconds, 1000 + at * perSample]));

describe('SampleRing', () => {
  it('gives rate, window and time to full of a file system that fills evenly', () => {
    expect(steady(7, 100).trend(600)).toEqual({
      perSecond: 10,
      windowMs: 60_000,
      timeToFullMs: 60_000,
    });
  });

  it.each([
    ['empties', steady(7, -100), { perSecond: -10, windowMs: 60_000 }],
    ['stays', steady(7, 0), { perSecond: 0, windowMs: 60_000 }],
    ['has too few samples', steady(4, 100), undefined],
    ['was looked at for too short', steady(7, 100, 1), undefined],
    ['was never looked at', ring([]), undefined],
  ])('gives no time to full when it %s', (_, made, trend) => {
    expect(made.trend(600)).toEqual(trend);
  });

  it('looks at the last ten minutes only', () => {
    const made = new SampleRing();
    for (let at = 0; at <= 1200; at += 10) made.add(at * 1000, at <= 600 ? at * 100 : 60_000);
    expect(made.trend(600)).toEqual({ perSecond: 0, windowMs: 600_000 });
  });

  it('covers the window also when looked at often, with few samples', () => {
    const made = new SampleRing();
    for (let at = 0; at <= 3000; at += 1) made.add(at * 200, at);
    expect(made.trend(1000)).toEqual({ perSecond: 5, windowMs: 600_000, timeToFullMs: 200_000 });
  });

  it('begins anew when its clock goes back', () => {
    const made = steady(7, 100);
    made.add(0, 5000);
    expect(made.trend(600)).toBeUndefined();
  });
});
