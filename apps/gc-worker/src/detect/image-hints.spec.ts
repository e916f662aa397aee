import { ImageHints, type RefusedHint } from './image-hints';
import { image, minutes, now } from '../testing/plan-fixtures';

const day = 24 * minutes(60);

/** Hints that take pulls for ten minutes and holds for thirty days. */
function hintsOf(maxEntries?: number) {
  const refused: RefusedHint[] = [];
  const hints = new ImageHints({
    maxPullMs: minutes(10),
    maxHoldMs: 30 * day,
    refused: (hint) => refused.push(hint),
    ...(maxEntries === undefined ? {} : { maxEntries }),
  });
  return { hints, refused };
}

const app = image('sha256:abc', { repoTags: ['registry.example/app:1'] });

describe('ImageHints', () => {
  it('keeps an image while a pull of it runs, for a bounded time', () => {
    const { hints } = hintsOf();
    hints.pullStarted('p1', ['registry.example/app:1'], now);
    expect(hints.protections(app, now)).toEqual([
      { rule: 'pull-in-progress', reference: 'registry.example/app:1', since: now },
    ]);
    expect(hints.protections(app, now + minutes(10))).toHaveLength(1);
    expect(hints.protections(app, now + minutes(10) + 1)).toEqual([]);
  });

  it('lets go when the pull ended', () => {
    const { hints } = hintsOf();
    hints.pullStarted('p1', ['registry.example/app:1'], now);
    hints.pullEnded('p1');
    expect(hints.protections(app, now)).toEqual([]);
  });

  it('keeps a held image until the hold has passed; a shorter hold does not shorten it', () => {
    const { hints } = hintsOf();
    const name = 'sha256:abc';
    expect([...hints.hold([name], now + minutes(5), now)]).toEqual([[name, now + minutes(5)]]);
    expect([...hints.hold([name], now + minutes(1), now)]).toEqual([]);
    expect(hints.protections(app, now)).toEqual([{ rule: 'held', until: now + minutes(5) }]);
    expect(hints.protections(app, now + minutes(5))).toEqual([]);
    expect(hints.dropPassedHolds(now)).toEqual([]);
    expect(hints.dropPassedHolds(now + minutes(5))).toEqual([name]);
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
      const pulling = hintsOf().hints;
      pulling.pullStarted('p1', [reference], now);
      expect(pulling.protections(tool, now)).toMatchObject([
        { rule: 'pull-in-progress', reference },
      ]);
      const holding = hintsOf().hints;
      holding.hold([reference], now + 1, now);
      expect(holding.protections(tool, now)).toEqual([{ rule: 'held', until: now + 1 }]);
      expect(holding.protections(app, now)).toEqual([]);
    }
  });

  it('tells the use of an image from before its detection once', () => {
    const { hints } = hintsOf();
    hints.usedBeforeDetection('sha256:abc', now);
    expect(hints.takeUse('sha256:abc')).toBe(now);
    expect(hints.takeUse('sha256:abc')).toBeUndefined();
  });

  it('refuses a hold that ends later than the configuration allows, and says so', () => {
    const { hints, refused } = hintsOf();
    const far = Date.parse('9999-12-31T23:59:59Z');
    for (const until of [far, now + 30 * day + 1, NaN]) {
      expect([...hints.hold(['sha256:abc'], until, now)]).toEqual([]);
    }
    expect(hints.protections(app, now)).toEqual([]);
    expect(refused).toEqual(Array(3).fill({ kind: 'hold', reason: 'too-long' }));
    hints.hold(['sha256:abc'], now + 30 * day, now);
    expect(hints.protections(app, now)).toHaveLength(1);
  });

  it('keeps holds, pulls and creations that are there when more come than it remembers', () => {
    const { hints, refused } = hintsOf(2);
    hints.hold(['sha256:abc'], now + minutes(5), now);
    hints.pullStarted('real', ['registry.example/app:1'], now);
    hints.creationStarted('real', ['sha256:abc'], now, now);
    for (let at = 0; at < 5; at += 1) {
      hints.hold([`forged-${at}`], now + minutes(5), now);
      hints.pullStarted(`forged-${at}`, [`forged-${at}`], now);
      hints.creationStarted(`forged-${at}`, [`forged-${at}`], now, now);
    }
    expect(hints.protections(app, now).map(({ rule }) => rule)).toEqual([
      'pull-in-progress',
      'held',
    ]);
    expect(hints.creationsAt(now)[0]?.references).toEqual(['sha256:abc']);
    for (const kind of ['hold', 'pull', 'creation']) {
      expect(refused.filter((hint) => hint.kind === kind)).toHaveLength(4);
    }
    // A known hold is prolonged all the same, and what has passed makes room.
    hints.hold(['sha256:abc'], now + minutes(6), now);
    hints.dropPassedHolds(now + minutes(5));
    const later = now + minutes(11);
    hints.hold(['new'], later + 1, later);
    hints.pullStarted('new', ['new'], later);
    hints.creationStarted('new', ['new'], later, later);
    expect(refused).toHaveLength(12);
  });

  it('gives up on the creation of a container after two minutes, and when the container is there', () => {
    const { hints } = hintsOf();
    hints.creationStarted('c', ['sha256:abc'], now, now);
    hints.creationStarted('late', ['sha256:late'], now - minutes(2), now);
    expect(hints.creationsAt(now + minutes(2) - 1)).toHaveLength(1);
    expect(hints.creationsAt(now + minutes(2))).toEqual([]);
    hints.creationEnded('c');
    expect(hints.creationsAt(now)).toEqual([]);
  });
});
