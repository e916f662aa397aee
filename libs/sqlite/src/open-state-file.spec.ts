import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openSqlite } from './open-sqlite';
import { StateFileNewerError } from './errors';
import { checkSchema, openStateFile, openStateFileCopy, setAside } from './open-state-file';
import { isUnusable, sqliteCode } from './sqlite-error';
import { makeStateFolder } from './state-folder';

const first = 'CREATE TABLE image (id TEXT PRIMARY KEY)';
const content = { lost: 'the images', steps: [first, 'ALTER TABLE image ADD COLUMN size INTEGER'] };

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
    first.exec("INSERT INTO image VALUES ('a', 1)");
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
      'is of another program',
      () => {
        const database = openSqlite(file);
        database.exec('CREATE TABLE other (id TEXT)');
        database.close();
      },
      'the file belongs to another program (application id 0)',
    ],
    [
      'has the id of another program',
      () => openStateFile(file, { ...content, applicationId: 7 }).close(),
      'the file belongs to another program (application id 7)',
    ],
    [
      'is damaged',
      () => {
        const database = openSqlite(file);
        database.exec(`CREATE TABLE image (id TEXT); PRAGMA user_version = 2`);
        const insert = database.prepare('INSERT INTO image VALUES (?)');
        database.transaction(() => {
          for (let i = 0; i < 2000; i++) insert.run(`image ${i}`);
        })();
        database.close();
        const bytes = readFileSync(file);
        bytes.fill(0xff, 8192, 20_000);
        writeFileSync(file, bytes);
      },
      'the integrity check found damage',
    ],
  ])(
    'that %s are reported as unusable, can be renamed and created again',
    (_what, prepare, message) => {
      prepare();
      const error = errorOf(() => openStateFile(file, content));
      expect(error).toMatchObject({ message });
      expect(isUnusable(error)).toBe(true);
      const aside = setAside(file, new Date(0));
      expect(aside).toBe(`${file}.unusable-1970-01-01T000000.000Z`);
      openStateFile(file, content).close();
    },
  );

  it('are brought up step by step from an earlier version, and keep what they hold', () => {
    const database = openStateFile(file, { ...content, steps: [first] });
    database.exec("INSERT INTO image VALUES ('a')");
    database.close();
    const later = openStateFile(file, content);
    expect(later.prepare('SELECT * FROM image').all()).toEqual([{ id: 'a', size: null }]);
    expect(later.pragma('user_version', { simple: true })).toBe(2);
    later.close();
  });

  it('stay as they were when a step fails', () => {
    openStateFile(file, content).close();
    const steps = [...content.steps, 'CREATE TABLE half (a); NONSENSE'];
    expect(() => openStateFile(file, { ...content, steps })).toThrow('syntax error');
    const database = openStateFile(file, content);
    expect(database.prepare('SELECT name FROM sqlite_master').pluck().all()).not.toContain('half');
    database.close();
  });

  describe('of a newer release', () => {
    const newer = { ...content, steps: [...content.steps, "INSERT INTO image VALUES ('b', 2)"] };
    const error = () =>
      new StateFileNewerError(file, newer.steps.length, content.steps.length, 'the images');

    it.each<[string, (database: ReturnType<typeof openStateFile>) => void]>([
      ['closed', (database) => database.close()],
      ['open in another process', () => undefined],
      [
        'with a schema that this SQLite does not know',
        (database) => {
          database.unsafeMode();
          database.pragma('writable_schema = ON');
          database.exec("UPDATE sqlite_master SET sql = 'CREATE TABLE image (id FROM 2030)'");
          database.close();
        },
      ],
    ])('are refused, %s: the error says what to do, and nothing is changed', (_case, leave) => {
      const database = openStateFile(file, newer);
      leave(database);
      const before = readFileSync(file);
      expect(() => checkSchema(file, content)).toThrow(error());
      expect(() => openStateFileCopy(file, content)).toThrow(error());
      if (!database.open) expect(() => openStateFile(file, content)).toThrow(error());
      expect(isUnusable(error())).toBe(false);
      expect(readFileSync(file)).toEqual(before);
      database.close();
    });

    it('are told without reading all of them', () => {
      openStateFile(file, newer).close();
      const bytes = 200 * 1024 * 1024;
      truncateSync(file, bytes);
      const before = process.resourceUsage().maxRSS * 1024;
      expect(() => checkSchema(file, content)).toThrow(error());
      expect(process.resourceUsage().maxRSS * 1024 - before).toBeLessThan(bytes / 2);
    });

    it('name both versions, the file, the way back and what moving it away loses', () => {
      expect(error().message).toBe(
        `${file} was written by a newer release: it has schema version 3, this release knows 2; start the newer release again, or move ${file} and ${file}-wal away, which loses the images`,
      );
      expect(error().code).toBe('STATE_FILE_NEWER');
    });

    it('are no matter where there is no file, or one that cannot be read', () => {
      checkSchema(file, content);
      writeFileSync(file, 'x'.repeat(5000));
      checkSchema(file, content);
    });
  });

  it('are read through a copy while they are open elsewhere, and are not changed by that', () => {
    expect(openStateFileCopy(file, content)).toBeUndefined();
    const database = openStateFile(file, { ...content, steps: [first] });
    database.exec("INSERT INTO image VALUES ('a')");
    const copy = openStateFileCopy(file, content);
    expect(copy?.prepare('SELECT * FROM image').all()).toEqual([{ id: 'a', size: null }]);
    copy?.close();
    expect(database.pragma('user_version', { simple: true })).toBe(1);
    database.close();
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
