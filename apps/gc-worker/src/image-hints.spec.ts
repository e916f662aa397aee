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

  it('keeps what a pull or a hold names by tag and digest, in short, or by an id without sha256:', () => {
    const digest = `sha256:${'d'.repeat(64)}`;
    const id = `sha256:${'e'.repeat(64)}`;
    const tool = image(id, {
      repoTags: ['docker.io/library/nginx:1.25'],
      repoDigests: [`registry.example/team/tool@${digest}`],
    });
    const references = [
      `registry.example/team/tool:1.4@${digest}`,
      'nginx:1.25',
      'docker.io/nginx:1.25',
      'e'.repeat(64),
    ];
    for (const reference of references) {
      const pulling = new ImageHints(minutes(10));
      pulling.pullStarted('p1', [reference], now);
      expect(pulling.protections(tool, now)).toMatchObject([
        { rule: 'pull-in-progress', reference },
      ]);
      const holding = new ImageHints(minutes(10));
      holding.hold([reference], now + 1);
      expect(holding.protections(tool, now)).toEqual([{ rule: 'held', until: now + 1 }]);
      expect(holding.protections(app, now)).toEqual([]);
    }
  });

  it('tells the use of an image from before its detection once', () => {
    const hints = new ImageHints(minutes(10));
    hints.usedBeforeDetection('sha256:abc', now);
    expect(hints.takeUse('sha256:abc')).toBe(now);
    expect(hints.takeUse('sha256:abc')).toBeUndefined();
  });

  it('is bounded: the oldest hints go first', () => {
    const hints = new ImageHints(minutes(10), 2);
    for (const id of ['sha256:1', 'sha256:2', 'sha256:3']) hints.hold([id], now + 1000);
    expect([...hints.heldNames(now).keys()]).toEqual(['sha256:2', 'sha256:3']);
  });
});
