import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openSqlite } from './open-sqlite';
import { isUnusable, makeStateFolder, openStateFile, setAside, sqliteCode } from './state-file';

const content = { version: 2, schema: 'CREATE TABLE image (id TEXT PRIMARY KEY)' };

describe('state files', () => {
  let folder: string;
  let file: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'state-file-'));
    file = path.join(folder, 'images.db');
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  const errorOf = (open: () => unknown): unknown => {
    try {
      open();
    } catch (error) {
      return error;
    }
    return undefined;
  };

  it('keep what was written', () => {
    const first = openStateFile(file, content);
    first.exec("INSERT INTO image VALUES ('a')");
    first.close();
    const second = openStateFile(file, content);
    expect(second.prepare('SELECT id FROM image').pluck().all()).toEqual(['a']);
    second.close();
  });

  it('have a folder of their own, made with those above it', () => {
    const deep = path.join(folder, 'a/b/c');
    makeStateFolder(deep);
    makeStateFolder(deep);
    expect(statSync(deep).mode & 0o777).toBe(0o700);
  });

  it.each([
    ['below a file', () => path.join(folder, 'images.db/x'), 'ENOTDIR'],
    ['in place of a file', () => path.join(folder, 'images.db'), 'EEXIST'],
    ['where the system makes none', () => '/proc/stowage/state', 'ENOENT'],
  ])('have no folder %s, which ends with an error', (_what, where, code) => {
    writeFileSync(file, '');
    expect(() => makeStateFolder(where())).toThrow(
      expect.objectContaining({ code }) as NodeJS.ErrnoException,
    );
  });

  it('are locked while they are open', () => {
    const first = openStateFile(file, content);
    const error = errorOf(() => openStateFile(file, content));
    expect(sqliteCode(error)).toMatch(/^SQLITE_BUSY/);
    expect(isUnusable(error)).toBe(false);
    first.close();
    openStateFile(file, content).close();
  });

  it.each<[string, () => void, string]>([
    ['is no database', () => writeFileSync(file, 'x'.repeat(5000)), 'file is not a database'],
    [
      'has another version',
      () => openStateFile(file, { ...content, version: 3 }).close(),
      'it has version 3, this is version 2',
    ],
    [
      'is damaged',
      () => {
        const database = openSqlite(file);
        database.exec(`CREATE TABLE image (id TEXT); PRAGMA user_version = 2`);
        const insert = database.prepare('INSERT INTO image VALUES (?)');
        for (let i = 0; i < 2000; i++) insert.run(`image ${i}`);
        database.close();
        const bytes = readFileSync(file);
        bytes.fill(0xff, 8192, 20_000);
        writeFileSync(file, bytes);
      },
      'the integrity check found damage',
    ],
  ])('that %s are told as unusable, can be set aside and begun anew', (_what, prepare, message) => {
    prepare();
    const error = errorOf(() => openStateFile(file, content));
    expect(error).toMatchObject({ message });
    expect(isUnusable(error)).toBe(true);
    const aside = setAside(file, new Date(0));
    expect(aside).toBe(`${file}.unusable-1970-01-01T000000.000Z`);
    openStateFile(file, content).close();
  });

  it('are not at fault when their folder is absent', () => {
    const error = errorOf(() => openStateFile('/absent/folder/images.db', content));
    expect(error).toBeInstanceOf(Error);
    expect(isUnusable(error)).toBe(false);
  });

  it('set aside: with their logs, and only the newest is kept', () => {
    for (const name of ['images.db.unusable-old', 'images.db.unusable-old-wal', 'other.db']) {
      writeFileSync(path.join(folder, name), '');
    }
    for (const suffix of ['', '-wal', '-shm', '-journal']) writeFileSync(file + suffix, suffix);
    setAside(file, new Date(0));
    expect(readdirSync(folder).sort()).toEqual([
      'images.db.unusable-1970-01-01T000000.000Z',
      'images.db.unusable-1970-01-01T000000.000Z-journal',
      'images.db.unusable-1970-01-01T000000.000Z-wal',
      'other.db',
    ]);
  });
});
