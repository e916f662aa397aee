import fc from 'fast-check';
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { criLine, EngineLogWriter, type TestEntry } from '../testing/engine-log-writer';
import { limitWrites } from '../testing/limit-writes';
import type { LogPosition } from './find-resumption';
import { LogCopy } from './log-copy';
import { copyBuffers } from './read-batch';

let root: string;
let cases = 0;

beforeAll(() => (root = mkdtempSync(path.join(tmpdir(), 'stowage-logs-'))));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A log and its copy, in folders of their own. */
function place(options?: { maxBytes: number; maxFile: number }) {
  const folder = path.join(root, String(++cases));
  const engine = path.join(folder, 'engine');
  mkdirSync(engine, { recursive: true });
  const target = path.join(folder, 'pods', 'app', '0.log');
  return { engine: new EngineLogWriter(engine, options), target };
}

const buffers = copyBuffers(64 * 1024);
const copyOf = ({ engine, target }: ReturnType<typeof place>, kept?: LogPosition) =>
  new LogCopy({ id: 'c0ffee', enginePath: engine.path, logPath: target }, kept, buffers);

function copyAll(copy: LogCopy): void {
  while (copy.step() !== 'end');
}

const read = (file: string): string => readFileSync(file, 'utf8');

it('makes folder and file with the modes of a runtime, whatever the umask is', () => {
  const at = place();
  const umask = process.umask(0o077);
  copyAll(copyOf(at));
  process.umask(umask);
  expect(statSync(at.target).mode & 0o777).toBe(0o640);
  expect(statSync(path.dirname(at.target)).mode & 0o777).toBe(0o755);
});

it('follows the rotations of the engine, from the oldest line to the newest', () => {
  const at = place({ maxBytes: 300, maxFile: 3 });
  const copy = copyOf(at);
  for (let number = 0; number < 50; number += 1) {
    at.engine.write(`line ${number}\n`);
    if (number % 3 === 0) copyAll(copy);
  }
  copyAll(copy);
  expect(at.engine.rotations).toBeGreaterThan(10);
  expect(read(at.target)).toBe(at.engine.expected());
  expect(copy.takeNumbers()).toEqual({
    bytes: Buffer.byteLength(at.engine.expected()),
    gaps: 0,
    malformed: 0,
  });
});

it('reads what the engine wrote between the last reading and a rotation', () => {
  const at = place({ maxBytes: Infinity, maxFile: 3 });
  const copy = copyOf(at);
  at.engine.write('first\n');
  copyAll(copy);
  at.engine.write('late\n');
  at.engine.rotate();
  at.engine.write('next\n');
  copyAll(copy);
  expect(read(at.target)).toBe(at.engine.expected());
});

it('counts a gap when the engine removes what was not read, and goes on with the oldest', () => {
  const at = place({ maxBytes: Infinity, maxFile: 2 });
  const copy = copyOf(at);
  at.engine.write('first\n');
  copyAll(copy);
  for (const text of ['removed\n', 'kept\n', 'last\n']) {
    at.engine.rotate();
    at.engine.write(text);
  }
  copyAll(copy);
  const texts = ['first\n', 'kept\n', 'last\n'];
  const entries = at.engine.entries.filter(({ text }) => texts.includes(text));
  expect(read(at.target)).toBe(entries.map(criLine).join(''));
  expect(copy.takeNumbers().gaps).toBe(1);
});

it('counts a gap when the engine empties its file', () => {
  const at = place();
  const copy = copyOf(at);
  at.engine.write('a long line that is copied\n');
  copyAll(copy);
  truncateSync(at.engine.path);
  const entry = at.engine.write('new\n');
  copyAll(copy);
  expect(read(at.target).endsWith(criLine(entry))).toBe(true);
  expect(copy.takeNumbers().gaps).toBe(1);
});

it('waits for the rest of an entry', () => {
  const at = place();
  const copy = copyOf(at);
  const whole = `{"log":"a\\n","stream":"stdout","time":"2026-11-29T10:00:00Z"}\n`;
  for (const byte of whole) {
    appendFileSync(at.engine.path, byte);
    copyAll(copy);
  }
  expect(read(at.target)).toBe('2026-11-29T10:00:00Z stdout F a\n');
});

it('copies entries of 16 KiB that are all escapes, and leaves out what no engine writes', () => {
  const at = place();
  const copy = new LogCopy(
    { id: 'c0ffee', enginePath: at.engine.path, logPath: at.target },
    undefined,
    copyBuffers(256 * 1024),
  );
  at.engine.write('\u0001'.repeat(16 * 1024));
  appendFileSync(at.engine.path, `${'x'.repeat(1024 * 1024)}\n`);
  at.engine.write(`${'"'.repeat(16 * 1024)}\n`);
  copyAll(copy);
  expect(read(at.target)).toBe(at.engine.expected());
  expect(copy.takeNumbers().malformed).toBeGreaterThan(0);
});

it("replaces a link, so that the engine's own file is never written", () => {
  const at = place();
  at.engine.write('a\n');
  mkdirSync(path.dirname(at.target), { recursive: true });
  symlinkSync(at.engine.path, at.target);
  copyAll(copyOf(at));
  expect(lstatSync(at.target).isFile()).toBe(true);
  expect(read(at.target)).toBe(at.engine.expected());
});

describe('reopen', () => {
  it('continues in a new file at the path; old and new have every line once', () => {
    const at = place();
    const copy = copyOf(at);
    at.engine.write('old\n');
    copyAll(copy);
    renameSync(at.target, `${at.target}.20261129-100000`);
    at.engine.write('between\n');
    copyAll(copy);
    copy.reopen();
    at.engine.write('new\n');
    copyAll(copy);
    const [old = '', ...rest] = at.engine.entries.map(criLine);
    expect(read(`${at.target}.20261129-100000`)).toBe(`${old}${rest[0]}`);
    expect(read(at.target)).toBe(rest[1]);
  });

  it('keeps the old file when the path cannot be opened', () => {
    const at = place();
    const copy = copyOf(at);
    at.engine.write('old\n');
    copyAll(copy);
    renameSync(at.target, `${at.target}.old`);
    mkdirSync(at.target);
    expect(() => copy.reopen()).toThrow(expect.objectContaining({ side: 'target' }) as Error);
    at.engine.write('more\n');
    copyAll(copy);
    expect(read(`${at.target}.old`)).toBe(at.engine.expected());
  });
});

it('writes to a new file when its own was removed', () => {
  const at = place();
  const copy = copyOf(at);
  at.engine.write('gone\n');
  copyAll(copy);
  rmSync(path.dirname(at.target), { recursive: true });
  const entry = at.engine.write('kept\n');
  copyAll(copy);
  expect(read(at.target)).toBe(criLine(entry));
});

describe('on a full disk, in the middle of a line', () => {
  const room = { bytes: Infinity };

  beforeAll(() => limitWrites(room));
  afterAll(() => jest.restoreAllMocks());

  /** Of three lines, the second is written in part. */
  function cut() {
    const at = place();
    const copy = copyOf(at);
    at.engine.write('first\n');
    at.engine.write('second\n');
    at.engine.write('third\n');
    const [first = '', second = ''] = at.engine.entries.map(criLine);
    room.bytes = first.length + second.length - 4;
    expect(() => copy.step()).toThrow('no space');
    room.bytes = Infinity;
    return { ...at, copy, size: statSync(at.target).size };
  }

  it('goes on where it was when there is room', () => {
    const { copy, target, engine } = cut();
    copyAll(copy);
    expect(read(target)).toBe(engine.expected());
  });

  it('a target that was emptied or removed to make room begins with a whole line', () => {
    for (const free of [truncateSync, unlinkSync]) {
      for (const isReopened of [true, false]) {
        const { copy, target, engine } = cut();
        free(target);
        if (isReopened) copy.reopen();
        copyAll(copy);
        expect(read(target)).toBe(engine.expected());
      }
    }
  });

  it('a target that was shortened is filled again as far as the lines are at hand', () => {
    const { copy, target, engine, size } = cut();
    truncateSync(target, size - 10);
    copyAll(copy);
    expect(read(target)).toBe(engine.expected());
  });

  it('ends the line when the rest of it is gone, as the engine was emptied', () => {
    const { copy, target, engine, size } = cut();
    truncateSync(engine.path);
    const later = engine.write('later\n');
    copyAll(copy);
    expect(read(target)).toBe(`${engine.expected().slice(0, size)}\n${criLine(later)}`);
    expect(copy.takeNumbers().gaps).toBe(1);
  });
});

it('throws what cannot be read, and goes on when it can be', () => {
  const at = place();
  const copy = copyOf(at);
  at.engine.write('a\n');
  renameSync(at.engine.path, `${at.engine.path}-away`);
  for (let time = 0; time < 2; time += 1) {
    expect(() => copy.step()).toThrow(
      expect.objectContaining({ side: 'source', code: 'ENOENT' }) as Error,
    );
  }
  renameSync(`${at.engine.path}-away`, at.engine.path);
  copyAll(copy);
  expect(read(at.target)).toBe(at.engine.expected());
});

describe('after a crash', () => {
  const texts = fc.array(
    fc
      .constantFrom('same', 'same', 'same\n', '', 'a longer one, "quoted" \\ \u2028\n', 'b\n')
      .map((text) => text || `${'c'.repeat(200)}\n`),
    { minLength: 1, maxLength: 30 },
  );
  /** Parts of one line have one time, and so may be the same bytes several times. */
  const logOf = (at: ReturnType<typeof place>, given: readonly string[]): void => {
    let time: string | undefined;
    for (const text of given) {
      const entry: TestEntry = at.engine.write(text, time === undefined ? {} : { time });
      time = text.endsWith('\n') ? undefined : entry.time;
    }
  };
  /** A position for each line, of a copy that has stopped there. */
  const positionsOf = (at: ReturnType<typeof place>, given: readonly string[]) => {
    const copy = copyOf(at);
    const positions: LogPosition[] = [];
    let time: string | undefined;
    for (const text of given) {
      copyAll(copy);
      positions.push(copy.position()!);
      const entry = at.engine.write(text, time === undefined ? {} : { time });
      time = text.endsWith('\n') ? undefined : entry.time;
    }
    copyAll(copy);
    positions.push(copy.position()!);
    copy.close();
    return positions;
  };
  const rotating = { maxBytes: 700, maxFile: 100 };

  it('every line is there once, wherever the copy was cut, whichever position was kept', () => {
    fc.assert(
      fc.property(
        texts,
        fc.nat(),
        fc.nat(),
        fc.array(texts, { maxLength: 1 }),
        (given, a, b, [later]) => {
          const at = place(rotating);
          const positions = positionsOf(at, given);
          const kept = positions[a % positions.length]!;
          const { size } = statSync(at.target);
          truncateSync(at.target, kept.targetBytes + (b % (size - kept.targetBytes + 1)));
          logOf(at, later ?? []);
          const copy = copyOf(at, kept);
          copyAll(copy);
          expect(read(at.target)).toBe(at.engine.expected());
          expect(copy.takeNumbers().gaps).toBe(0);
          copy.close();
        },
      ),
      { numRuns: 150 },
    );
  });

  it('likewise without any position', () => {
    fc.assert(
      fc.property(texts, fc.nat(), (given, cut) => {
        const at = place(rotating);
        positionsOf(at, given);
        truncateSync(at.target, cut % (statSync(at.target).size + 1));
        const copy = copyOf(at);
        copyAll(copy);
        expect(read(at.target)).toBe(at.engine.expected());
        copy.close();
      }),
      { numRuns: 150 },
    );
  });

  it('likewise when kubelet had rotated the copy meanwhile', () => {
    fc.assert(
      fc.property(texts, texts, fc.nat(), fc.nat(), (given, after, a, b) => {
        const at = place(rotating);
        const positions = positionsOf(at, given);
        const rotated = `${at.target}.20261129-100000`;
        const first = copyOf(at, positions.at(-1));
        copyAll(first);
        renameSync(at.target, rotated);
        first.reopen();
        logOf(at, after);
        copyAll(first);
        first.close();
        const { size } = statSync(at.target);
        truncateSync(at.target, b % (size + 1));
        const copy = copyOf(at, positions[a % positions.length]);
        copyAll(copy);
        expect(read(rotated) + read(at.target)).toBe(at.engine.expected());
        copy.close();
      }),
      { numRuns: 100 },
    );
  });

  it('likewise when it is killed again and again, and keeps a position now and then', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ texts, cut: fc.nat(), isKept: fc.boolean() })), (runs) => {
        const at = place(rotating);
        let kept: LogPosition | undefined;
        for (const { texts: given, cut, isKept } of runs) {
          const copy = copyOf(at, kept);
          logOf(at, given);
          copyAll(copy);
          if (isKept) kept = copy.position();
          copy.close();
          const { size } = statSync(at.target);
          const least = kept?.targetBytes ?? 0;
          truncateSync(at.target, least + (cut % (size - least + 1)));
        }
        const copy = copyOf(at, kept);
        copyAll(copy);
        expect(read(at.target)).toBe(at.engine.expected());
        copy.close();
      }),
      { numRuns: 50 },
    );
  });

  it('goes on behind the last line of the copy when the position is older than what the engine has', () => {
    const at = place({ maxBytes: Infinity, maxFile: 2 });
    const copy = copyOf(at);
    at.engine.write('first\n');
    copyAll(copy);
    const kept = copy.position();
    for (const text of ['second\n', 'third\n', 'fourth\n']) {
      at.engine.rotate();
      at.engine.write(text);
      copyAll(copy);
    }
    copy.close();
    at.engine.write('while it was down\n');
    const next = copyOf(at, kept);
    copyAll(next);
    expect(read(at.target)).toBe(at.engine.expected());
    expect(next.takeNumbers().gaps).toBe(0);
  });

  it('counts a gap when lines were removed while it was down', () => {
    const at = place({ maxBytes: Infinity, maxFile: 2 });
    const copy = copyOf(at);
    const first = at.engine.write('first\n');
    copyAll(copy);
    const kept = copy.position();
    copy.close();
    const later = ['removed\n', 'second\n', 'third\n'].map((text) => {
      at.engine.rotate();
      return at.engine.write(text);
    });
    const next = copyOf(at, kept);
    copyAll(next);
    expect(read(at.target)).toBe([first, ...later.slice(1)].map(criLine).join(''));
    expect(next.takeNumbers().gaps).toBe(1);
  });

  it('goes on at the position when the copy was removed or emptied', () => {
    for (const remove of [unlinkSync, truncateSync]) {
      const at = place();
      const copy = copyOf(at);
      at.engine.write('gone\n');
      copyAll(copy);
      const kept = copy.position();
      copy.close();
      remove(at.target);
      const entry = at.engine.write('kept\n');
      copyAll(copyOf(at, kept));
      expect(read(at.target)).toBe(criLine(entry));
    }
  });

  it('finds the last lines in the rotated log when the new one is empty, also with an old position', () => {
    const at = place(rotating);
    const copy = copyOf(at);
    const positions: (LogPosition | undefined)[] = [undefined];
    const rotated: string[] = [];
    for (let number = 0; number < 3; number += 1) {
      at.engine.write(`line ${number}\n`);
      copyAll(copy);
      positions.push(copy.position());
      rotated.push(`${at.target}.2026112${number}-100000`);
      renameSync(at.target, rotated.at(-1)!);
      copy.reopen();
    }
    copy.close();
    for (const kept of positions) {
      const next = copyOf(at, kept);
      copyAll(next);
      next.close();
      expect(read(at.target)).toBe('');
    }
    expect(rotated.map(read).join('')).toBe(at.engine.expected());
  });

  it('a line that was cut in the rotated log is whole in the new one', () => {
    for (const isKept of [true, false]) {
      const at = place();
      at.engine.write('first\n');
      const copy = copyOf(at);
      copyAll(copy);
      const kept = copy.position();
      at.engine.write('second\n');
      copyAll(copy);
      copy.close();
      truncateSync(at.target, statSync(at.target).size - 3);
      renameSync(at.target, `${at.target}.20261129-100000`);
      const next = copyOf(at, isKept ? kept : undefined);
      next.reopen();
      expect(read(`${at.target}.20261129-100000`)).toBe(criLine(at.engine.entries[0]!));
      copyAll(next);
      const [first, second] = at.engine.entries.map(criLine);
      expect([read(`${at.target}.20261129-100000`), read(at.target)]).toEqual([first, second]);
    }
  });

  it('ends a line that is not its own before it writes', () => {
    const at = place();
    at.engine.write('a\n');
    mkdirSync(path.dirname(at.target), { recursive: true });
    writeFileSync(at.target, 'something else');
    copyAll(copyOf(at));
    expect(read(at.target)).toBe(`something else\n${at.engine.expected()}`);
  });
});
