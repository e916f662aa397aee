import { ImageHints } from './image-hints';
import { image, minutes, now } from './testing/plan-fixtures';

const app = image('sha256:abc', { repoTags: ['registry.example/app:1'] });

describe('ImageHints', () => {
  it('keeps an image while a pull of it runs, for a bounded time', () => {
    const hints = new ImageHints(minutes(10));
    hints.pullStarted('p1', ['registry.example/app:1'], now);
    expect(hints.protections(app, now)).toEqual([
      { rule: 'pull-in-progress', reference: 'registry.example/app:1', since: now },
    ]);
    expect(hints.protections(app, now + minutes(10))).toHaveLength(1);
    expect(hints.protections(app, now + minutes(10) + 1)).toEqual([]);
  });

  it('lets go when the pull ended', () => {
    const hints = new ImageHints(minutes(10));
    hints.pullStarted('p1', ['registry.example/app:1'], now);
    hints.pullEnded('p1');
    expect(hints.protections(app, now)).toEqual([]);
  });

  it('keeps a held image until the hold has passed; a shorter hold does not shorten it', () => {
    const hints = new ImageHints(minutes(10));
    hints.hold(['sha256:abc'], now + minutes(5));
    hints.hold(['sha256:abc'], now + minutes(1));
    expect(hints.protections(app, now)).toEqual([{ rule: 'held', until: now + minutes(5) }]);
    expect(hints.protections(app, now + minutes(5))).toEqual([]);
    expect([...hints.heldNames(now)]).toEqual([['sha256:abc', now + minutes(5)]]);
    expect([...hints.heldNames(now + minutes(5))]).toEqual([]);
  });

  it('tells the use of an image from before its detection once', () => {
    const hints = new ImageHints(minutes(10));
    hints.usedBeforeDetection('sha256:abc', now);
    expect(hints.takeUse('sha256:abc')).toBe(now);
    expect(hints.takeUse('sha256:abc')).toBeUndefined();
  });

  it('is bounded: the oldest hints go first', () => {
    const hints = new ImageHints(minutes(10), 2);
    for (const id of ['one', 'two', 'three']) hints.hold([id], now + 1000);
    expect([...hints.heldNames(now).keys()]).toEqual(['two', 'three']);
  });
});
