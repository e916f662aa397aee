import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@stowage/testing';
import type { Database } from 'better-sqlite3';
import { StateFileKindError, StateFileNewerError } from './errors';
import { openStateFile } from './open-state-file';
import { StateFile, type StateFileOptions } from './state-file';

const content = { lost: 'the images', steps: ['CREATE TABLE image (id TEXT PRIMARY KEY)'] };

const prepare = (database: Database) => ({
  database,
  add: database.prepare('INSERT OR REPLACE INTO image VALUES (?)'),
  all: database.prepare<[], string>('SELECT id FROM image ORDER BY id').pluck(),
});
type Tables = ReturnType<typeof prepare>;
type Images = StateFile<Tables>;

let folder: string;
let file: string;
let nowMs: number;
let said: string[];
let waiting: string[];
let opened: Images[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'state-file-'));
  file = path.join(folder, 'state/images.db');
  nowMs = 0;
  said = [];
  waiting = [];
  opened = [];
});

afterEach(() => {
  for (const images of opened) images.close();
  rmSync(folder, { recursive: true });
});

/** A file of images, as an owner that keeps what is refused in memory. */
function images(options: Partial<StateFileOptions<Tables>> = {}): Images {
  const made: Images = new StateFile<Tables>({
    file,
    content,
    makesFolder: true,
    now: () => new Date(nowMs),
    prepare: (database, isLate) => {
      said.push(isLate ? 'opened late' : 'opened');
      return prepare(database);
    },
    onSetAside: (aside, reason, isLate) => {
      said.push(`${path.basename(aside)}: ${reason}${isLate ? ', late' : ''}`);
    },
    onRefused: (error, before) => {
      said.push(`refused${before === undefined ? '' : ' again'}: ${(error as Error).message}`);
    },
    onWritten: () => said.push('written'),
    retry: () => {
      if (made.isDue(true)) add(made);
    },
    ...options,
  });
  opened.push(made);
  return made;
}

/** Writes an image, and what was refused before. */
function add(to: Images, ...ids: string[]): boolean {
  waiting.push(...ids);
  const isWritten = to.write(({ add: insert }) => waiting.forEach((id) => insert.run(id)));
  if (isWritten) waiting = [];
  return isWritten;
}

const all = (from: Images) => from.read((tables) => tables.all.all());
const full = Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });

describe('StateFile', () => {
  it('keeps what was written, in a folder and a file for their owner alone', () => {
    const first = images();
    expect(first.open()).toBe(true);
    expect(add(first, 'a')).toBe(true);
    expect(first.problem).toBeUndefined();
    first.close();
    const second = images();
    expect(second.open()).toBe(true);
    expect(all(second)).toEqual(['a']);
    expect(said).toEqual(['opened', 'opened']);
    expect(statSync(path.dirname(file)).mode & 0o777).toBe(0o700);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('writes all of a change or nothing', () => {
    const state = images();
    state.open();
    expect(
      state.write(({ add: insert }) => {
        insert.run('a');
        throw full;
      }),
    ).toBe(false);
    expect(all(state)).toEqual([]);
    expect(state.problem).toEqual({ reason: full.message, since: new Date(0) });
  });

  it('says once that writes are refused and once that they are taken again, and is tried again once a second', () => {
    const state = images();
    state.open();
    const refuse = () => {
      throw full;
    };
    state.write(refuse);
    nowMs += 999;
    expect(state.isDue()).toBe(false);
    expect(state.isDue(true)).toBe(true);
    state.write(refuse);
    nowMs += 1000;
    expect(state.isDue()).toBe(true);
    expect(state.isDue()).toBe(false);
    nowMs -= 1_000_000;
    expect(state.isDue()).toBe(true);
    expect(state.problem?.since).toEqual(new Date(0));
    expect(add(state, 'a')).toBe(true);
    expect(state.problem).toBeUndefined();
    expect(state.isDue()).toBe(true);
    expect(said).toEqual([
      'opened',
      `refused: ${full.message}`,
      `refused again: ${full.message}`,
      'written',
    ]);
  });

  it('is opened late where there was no folder for it, and then gets what waits', async () => {
    writeFileSync(path.dirname(file), '');
    const state = images();
    expect(state.open()).toBe(false);
    expect(state.isOpen).toBe(false);
    expect(add(state, 'a')).toBe(false);
    expect(all(state)).toBeUndefined();
    expect(said).toEqual([expect.stringMatching(/^refused: (EEXIST|ENOTDIR)/)]);
    rmSync(path.dirname(file));
    await eventually(() => state.problem === undefined);
    expect(all(state)).toEqual(['a']);
    expect(said.slice(-2)).toEqual(['opened late', 'written']);
  });

  it('is not opened any more once it is closed', () => {
    writeFileSync(path.dirname(file), '');
    const state = images();
    state.open();
    state.close();
    rmSync(path.dirname(file));
    expect(state.isDue(true)).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each<[string, string]>([
    ['is no database', 'file is not a database'],
    ['lacks a table', 'no such table: image'],
    ['holds a text that cannot be read', 'Unexpected token'],
  ])('is set aside at the start when it %s, and a new one begun', (what, reason) => {
    mkdirSync(path.dirname(file));
    if (what === 'is no database') writeFileSync(file, 'x'.repeat(5000));
    else {
      const database = openStateFile(file, content);
      if (what === 'lacks a table') database.exec('ALTER TABLE image RENAME TO other');
      else database.exec("INSERT INTO image VALUES ('no json')");
      database.close();
    }
    const state = images({
      prepare: (database) => {
        const tables = prepare(database);
        for (const text of tables.all.all()) JSON.parse(text);
        return tables;
      },
    });
    expect(state.open()).toBe(true);
    expect(said).toEqual([
      expect.stringContaining(`images.db.unusable-1970-01-01T000000.000Z: ${reason}`),
    ]);
    expect(add(state, '1')).toBe(true);
    expect(all(state)).toEqual(['1']);
  });

  it('is set aside when it goes bad in use, and the new one gets what waits', () => {
    const state = images();
    state.open();
    add(state, 'old');
    state.read(({ database }) => database.pragma('wal_checkpoint(TRUNCATE)'));
    writeFileSync(file, 'x'.repeat(10_000));
    state.read(() => {
      throw Object.assign(new Error('malformed'), { code: 'SQLITE_CORRUPT' });
    });
    expect(state.isOpen).toBe(false);
    add(state, 'new');
    // At once: nothing is gained by waiting.
    expect(state.isDue()).toBe(true);
    expect(add(state)).toBe(true);
    expect(all(state)).toEqual(['new']);
    expect(said).toEqual([
      'opened',
      'refused: malformed',
      'images.db.unusable-1970-01-01T000000.000Z: file is not a database, late',
      'opened late',
      'written',
    ]);
  });

  it('is read through a copy where it takes no writes at the start', () => {
    const before = images();
    before.open();
    add(before, 'a');
    const state = images();
    expect(state.open()).toBe(false);
    expect(state.openCopy()).toBe(true);
    expect(all(state)).toEqual(['a']);
    expect(add(state, 'b')).toBe(false);
    before.close();
    expect(state.isDue(true)).toBe(true);
    expect(add(state)).toBe(true);
    expect(all(state)).toEqual(['a', 'b']);
  });

  it('of another process is a refusal, or what its owner makes of it', () => {
    const first = images();
    first.open();
    const heldError = (cause: unknown) => new Error('held', { cause });
    expect(images().open()).toBe(false);
    expect(() => images({ heldError }).open()).toThrow('held');
  });

  it('is not opened where it is no regular file', () => {
    mkdirSync(path.dirname(file));
    execFileSync('mkfifo', [file]);
    expect(() => images().open()).toThrow(StateFileKindError);
  });

  describe('of a newer release', () => {
    const newer = { ...content, steps: [...content.steps, 'SELECT 1'] };
    beforeEach(() => {
      mkdirSync(path.dirname(file));
    });

    it('is refused at the start and left as it is', () => {
      openStateFile(file, newer).close();
      const before = readFileSync(file);
      expect(() => images().open()).toThrow(StateFileNewerError);
      expect(readdirSync(path.dirname(file))).toEqual(['images.db']);
      expect(readFileSync(file)).toEqual(before);
    });

    it('is refused at the start also where it could not be opened', () => {
      const other = openStateFile(file, newer);
      expect(() => images().open()).toThrow(StateFileNewerError);
      other.close();
    });

    it('that comes in use stays as it is, and what waits stays in memory', () => {
      rmSync(path.dirname(file), { recursive: true });
      writeFileSync(path.dirname(file), '');
      const state = images();
      state.open();
      rmSync(path.dirname(file));
      mkdirSync(path.dirname(file));
      openStateFile(file, newer).close();
      expect(state.isDue(true)).toBe(false);
      expect(state.problem?.reason).toContain('was written by a newer release');
      expect(readdirSync(path.dirname(file))).toEqual(['images.db']);
    });
  });
});
