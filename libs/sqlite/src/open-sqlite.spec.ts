import { createRequire } from 'node:module';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openSqlite, sqlitePackage } from './open-sqlite';
import { SqliteBindingError, StateFileKindError } from './errors';

const version = (name: string): string =>
  (createRequire(__filename)(`${name}/package.json`) as { version: string }).version;

describe('openSqlite', () => {
  it('takes the package that goes with the Node-API of this Node.js', () => {
    const major = Number(version(sqlitePackage).split('.')[0]);
    expect(major).toBe(Number(process.versions.napi) < 10 ? 12 : 13);
  });

  it('opens a database in memory', () => {
    const database = openSqlite(':memory:');
    expect(database.prepare('SELECT 1 + 1').pluck().get()).toBe(2);
    database.close();
  });

  it('opens the content of a file', () => {
    const source = openSqlite(':memory:');
    source.exec("CREATE TABLE image (id TEXT); INSERT INTO image VALUES ('a')");
    const copy = openSqlite(source.serialize());
    source.close();
    expect(copy.prepare('SELECT id FROM image').pluck().all()).toEqual(['a']);
    copy.close();
  });

  describe('a file', () => {
    let folder: string;
    let file: string;
    beforeEach(() => {
      folder = mkdtempSync(path.join(tmpdir(), 'open-sqlite-'));
      file = path.join(folder, 'image.db');
    });
    afterEach(() => rmSync(folder, { recursive: true }));

    const modes = () =>
      Object.fromEntries(
        readdirSync(folder).map((name) => [
          name,
          (statSync(path.join(folder, name)).mode & 0o777).toString(8),
        ]),
      );

    it('and its logs are for their owner alone, whatever the umask is', () => {
      const umask = process.umask(0);
      try {
        const database = openSqlite(file);
        database.pragma('journal_mode = WAL');
        database.exec('CREATE TABLE image (id TEXT)');
        expect(modes()).toEqual({
          'image.db': '600',
          'image.db-shm': '600',
          'image.db-wal': '600',
        });
        database.close();
      } finally {
        expect(process.umask(umask)).toBe(0);
      }
    });

    it('of an earlier version loses the rights of others, and so does what was set aside', () => {
      const names = ['', '-wal', '-journal', '.unusable-2026', '.unusable-2026-wal', '.unusable-1'];
      for (const name of [...names.map((suffix) => `image.db${suffix}`), 'image.dbx', 'other']) {
        writeFileSync(path.join(folder, name), '');
        chmodSync(path.join(folder, name), 0o644);
      }
      openSqlite(file).close();
      expect(modes()).toMatchObject({
        'image.db': '600',
        'image.db.unusable-2026': '600',
        'image.db.unusable-2026-wal': '600',
        'image.db.unusable-1': '600',
        'image.dbx': '644',
        other: '644',
      });
    });

    it.each<[string, string, (at: string) => unknown]>([
      ['a named pipe', '', (at) => execFileSync('mkfifo', [at])],
      ['a directory', '', (at) => mkdirSync(at)],
      ['a device', '', (at) => symlinkSync('/dev/null', at)],
      ['a named pipe', '-wal', (at) => execFileSync('mkfifo', [at])],
      ['a named pipe', '-journal', (at) => execFileSync('mkfifo', [at])],
      [
        'a named pipe',
        '',
        (at) => {
          execFileSync('mkfifo', [`${at}.real`]);
          symlinkSync(`${at}.real`, at);
        },
      ],
    ])('that is %s is not opened (%s)', (kind, log, make) => {
      make(file + log);
      expect(() => openSqlite(file)).toThrow(new StateFileKindError(file + log, kind));
    });

    it('may be a link to a file', () => {
      symlinkSync(path.join(folder, 'elsewhere.db'), file);
      const database = openSqlite(file);
      database.exec('CREATE TABLE image (id TEXT)');
      database.close();
      expect(modes()['elsewhere.db']).toBe('600');
    });
  });

  it("throws SQLite's error with its code", () => {
    expect(() => openSqlite('/absent/folder/image.db')).toThrow(
      'Cannot open database because the directory does not exist',
    );
    const database = openSqlite(':memory:');
    expect(() => database.exec('NONSENSE')).toThrow(
      expect.objectContaining({ code: 'SQLITE_ERROR' }) as Error,
    );
    database.close();
  });

  it('leaves a process alive whose statements are collected at any time', () => {
    const script = `
      const database = new (require('${sqlitePackage}'))(':memory:');
      for (let i = 0; i < 20_000; i++) database.prepare('SELECT ' + i).get();
    `;
    const ended = spawnSync(process.execPath, ['--expose-gc', '-e', `${script};gc();`], {
      cwd: __dirname,
      encoding: 'utf8',
    });
    expect([ended.signal, ended.status, ended.stderr]).toEqual([null, 0, '']);
  });
});

describe('SqliteBindingError', () => {
  it('has no code that would be taken for one of SQLite', () => {
    const error = new SqliteBindingError('no file');
    expect(error.code).toBe('DATABASE_BINDING_UNUSABLE');
    expect(error.message).toBe(
      `SQLite cannot be loaded by Node.js ${process.versions.node}: no file`,
    );
  });
});
