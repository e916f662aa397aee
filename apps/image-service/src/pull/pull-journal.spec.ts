import { eventually } from '@stowage/testing';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkPullJournal, openPullJournal } from './pull-journal';
import type { OpenPullJournal } from './pull-journal';

const pull = {
  id: 'p1',
  requestedReference: 'nginx',
  reference: 'docker.io/library/nginx:latest',
  pod: { namespace: 'shop', name: 'web', uid: 'u' },
  holdUntil: new Date(1_800_000_000_000),
};
const answer = {
  response: { imageRef: 'sha256:1' },
  endedAt: new Date(1_700_000_000_500),
  credential: { source: 'docker-config', name: '/root/.docker/config.json' },
  attempts: 2,
  durationMs: 12.5,
  waitedMs: 1,
} as const;

describe('openPullJournal', () => {
  let stateDir: string;
  let nextSequence: number;
  let problems: unknown[];
  const opened: OpenPullJournal[] = [];

  /** As after a kill: the file is left as it is. */
  const open = () => {
    opened.splice(0).forEach((journal) => journal.close());
    const journal = openPullJournal({
      stateDir,
      nextSequence: () => nextSequence,
      problem: (error) => problems.push(error),
      now: () => new Date(1_700_000_000_000),
    });
    opened.push(journal);
    return journal;
  };
  const publish = () => {
    nextSequence += 1;
  };

  beforeEach(() => {
    stateDir = mkdtempSync(path.join(tmpdir(), 'pull-journal-'));
    nextSequence = 7;
    problems = [];
  });

  afterEach(() => {
    opened.splice(0).forEach((journal) => journal.close());
    rmSync(stateDir, { recursive: true });
  });

  it('gives back the pulls of a file of 26c2345', () => {
    const data = path.join(__dirname, '../../../../libs/sqlite/testdata/26c2345');
    cpSync(data, stateDir, { recursive: true });
    const startedAt = new Date('2026-11-20T12:00:00Z');
    const held = { ...pull, pod: { namespace: 'shop', name: 'cart-0', uid: 'u1' } };
    const holdUntil = new Date('2026-11-20T12:01:00Z');
    expect(open().unfinished).toEqual([
      { pull: { ...held, id: 'p1', holdUntil }, startedAt },
      {
        pull: { ...held, id: 'p2', holdUntil },
        startedAt,
        answer: { ...answer, endedAt: new Date('2026-11-20T12:00:00.500Z') },
      },
    ]);
    expect(problems).toEqual([]);
  });

  it('gives back a pull that was begun', () => {
    open().began(pull);
    expect(open().unfinished).toEqual([{ pull, startedAt: new Date(1_700_000_000_000) }]);
    expect(problems).toEqual([]);
  });

  it('gives back a pull that was answered, with the answer and without whose credential it was', () => {
    const journal = open();
    journal.began(pull);
    journal.answered(pull, { ...answer, owner: { kind: 'secret' } as never });
    expect(open().unfinished).toEqual([{ pull, startedAt: new Date(1_700_000_000_000), answer }]);
  });

  it('forgets a pull whose end was published', () => {
    const journal = open();
    journal.began(pull);
    journal.answered(pull, answer);
    journal.end(pull, publish);
    expect(open().unfinished).toEqual([]);
  });

  it.each([
    ['after the end was published', publish, 0],
    ['before the end was published', () => undefined, 1],
  ])('killed %s: what is left to publish', (_when, before, left) => {
    const journal = open();
    journal.began(pull);
    expect(() =>
      journal.end(pull, () => {
        before();
        throw new Error('killed');
      }),
    ).toThrow('killed');
    expect(open().unfinished).toHaveLength(left);
    // Also at the start after the next, whatever was published in between.
    nextSequence += 5;
    expect(open().unfinished).toHaveLength(left);
  });

  it('publishes the end of a pull that never began', () => {
    let published = 0;
    open().end(pull, () => (published += 1));
    expect(published).toBe(1);
  });

  it.each([
    [
      'no database',
      [
        /^\S+pulls\.db is recreated, the old one is \S+pulls\.db\.unusable-2023-11-14T221320\.000Z: file is not a database$/,
      ],
    ],
    ['', []],
  ])('begins a new file instead of one that holds "%s"', (content, said) => {
    const file = path.join(stateDir, 'pulls.db');
    writeFileSync(file, content);
    const journal = open();
    expect(journal.unfinished).toEqual([]);
    journal.began(pull);
    expect(open().unfinished).toHaveLength(1);
    expect(problems.map((error) => (error as Error).message)).toEqual(
      said.map((text): unknown => expect.stringMatching(text)),
    );
    expect(readFileSync(file, 'latin1').startsWith('SQLite format 3')).toBe(true);
  });

  it('refuses a file of a newer release and leaves it as it is', () => {
    open().close();
    const file = path.join(stateDir, 'pulls.db');
    const bytes = readFileSync(file);
    bytes.writeUInt32BE(2, 60);
    writeFileSync(file, bytes);
    const refusal = `${file} was written by a newer release: it has schema version 2, this release knows 1; start the newer release again, or move ${file} and ${file}-wal away, which loses the ends of pulls that a kill cut short`;
    expect(() => open()).toThrow(refusal);
    expect(() => checkPullJournal(stateDir)).toThrow(refusal);
    expect(readdirSync(stateDir)).toEqual(['pulls.db']);
    expect(readFileSync(file)).toEqual(bytes);
  });

  describe('of an instance that hands over', () => {
    const later = { ...pull, id: 'p2' };
    const openOther = () => {
      const journal = openPullJournal({
        stateDir,
        nextSequence: () => nextSequence,
        problem: (error) => problems.push(error),
      });
      opened.push(journal);
      return journal;
    };

    it('goes on in a file of its own, of which nothing is left when its pulls have ended', () => {
      const old = open();
      old.began(pull);
      old.handOver();
      old.began(later);
      const next = openOther();
      expect(next.unfinished).toEqual([]);
      expect(next.hasPredecessors()).toBe(true);
      expect(next.adopt()).toEqual([]);
      for (const one of [pull, later]) {
        old.answered(one, answer);
        old.end(one, () => undefined);
      }
      old.close();
      expect(next.hasPredecessors()).toBe(false);
      expect(next.adopt()).toEqual([]);
      expect(readdirSync(stateDir).filter((name) => name.startsWith('pulls-'))).toEqual([]);
      expect(problems).toEqual([]);
    });

    it('leaves what it could not publish to the next one, and to the one after that', () => {
      const old = open();
      old.began(pull);
      old.handOver();
      old.began(later);
      old.answered(later, answer);
      const next = openOther();
      // As after a kill: the lock is gone, the file is not.
      old.close();
      expect(next.adopt()).toEqual([
        { pull, startedAt: new Date(1_700_000_000_000) },
        { pull: later, startedAt: new Date(1_700_000_000_000), answer },
      ]);
      expect(next.adopt()).toEqual([]);
      next.end(pull, publish);
      next.close();
      const third = openOther();
      expect(third.unfinished.map(({ pull: { id } }) => id)).toEqual(['p2']);
      expect(problems).toEqual([]);
    });
  });

  it('goes on without a file, and says so once', () => {
    stateDir = path.join(stateDir, 'absent');
    const journal = open();
    let published = 0;
    journal.began(pull);
    journal.answered(pull, answer);
    journal.end(pull, () => (published += 1));
    expect(published).toBe(1);
    expect(problems).toHaveLength(1);
    expect(String(problems[0])).toContain('pulls.db is not written: Cannot open database');
    stateDir = path.dirname(stateDir);
  });

  it('keeps pulls again once the file can be made, and what an earlier run left until the next start', async () => {
    open().began({ ...pull, id: 'left' });
    const root = stateDir;
    opened.splice(0).forEach((journal) => journal.close());
    const aside = `${root}-aside`;
    renameSync(root, aside);
    const journal = open();
    expect(journal.unfinished).toEqual([]);
    renameSync(aside, root);
    let pulls = 0;
    await eventually(() => {
      journal.began({ ...pull, id: `p${(pulls += 1)}` });
      return readdirSync(root).some((name) => name.endsWith('-wal'));
    });
    nextSequence += 1;
    expect(problems).toHaveLength(1);
    expect(open().unfinished.map(({ pull: { id } }) => id)).toEqual(['left', `p${pulls}`]);
  });
});
