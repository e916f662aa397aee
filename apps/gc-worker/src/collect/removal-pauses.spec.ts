import { RemovalPauses } from './removal-pauses';

const minute = 60_000;

/** Seconds for which an image is left alone after so many failures in a row. */
function pauseAfter(failures: number): number {
  const pauses = new RemovalPauses();
  for (let at = 0; at < failures; at += 1) pauses.failed('a', 'busy', 0);
  let seconds = 0;
  while (pauses.at(seconds * 1000).has('a')) seconds += 60;
  return seconds;
}

describe('RemovalPauses', () => {
  it('grow with each failure, up to an hour', () => {
    expect([1, 2, 3, 6, 7, 100].map(pauseAfter)).toEqual([60, 120, 240, 1920, 3600, 3600]);
  });

  it('say why, and how long still', () => {
    const pauses = new RemovalPauses();
    pauses.failed('a', 'busy', 0);
    expect(pauses.at(30_000).get('a')).toBe(
      'its removal failed once (busy); it is tried again in 30 s',
    );
    pauses.failed('a', 'still busy', minute);
    expect(pauses.at(minute).get('a')).toBe(
      'its removal failed 2 times (still busy); it is tried again in 120 s',
    );
  });

  it('are forgotten with the image', () => {
    const pauses = new RemovalPauses();
    pauses.failed('a', 'busy', 0);
    pauses.failed('b', 'busy', 0);
    pauses.keepOnly(new Set(['b']));
    expect([...pauses.at(0).keys()]).toEqual(['b']);
  });
});
