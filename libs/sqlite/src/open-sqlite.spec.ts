import { createRequire } from 'node:module';
import { spawnSync } from 'node:child_process';
import { openSqlite, sqlitePackage } from './open-sqlite';
import { SqliteBindingError } from './errors';

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
