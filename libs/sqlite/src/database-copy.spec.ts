import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { databaseCopy } from './database-copy';
import { openSqlite } from './open-sqlite';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'database-copy-'));
  file = path.join(folder, 'x.db');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const values = (content: Buffer): number[] => {
  const db = openSqlite(content);
  try {
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
    return db.prepare<[], number>('SELECT value FROM entry ORDER BY value').pluck().all();
  } finally {
    db.close();
  }
};

/**
 * A database as a killed process leaves it: `inFile` rows checkpointed, one commit in the log for
 * each of the others.
 */
function killed(inFile: number, inLog: number): void {
  const db = openSqlite(path.join(folder, 'live.db'));
  db.pragma('locking_mode = EXCLUSIVE');
  db.pragma('journal_mode = WAL');
  db.pragma('wal_autocheckpoint = 0');
  db.exec('CREATE TABLE entry (value INTEGER PRIMARY KEY, filler TEXT)');
  const insert = db.prepare('INSERT INTO entry VALUES (?, ?)');
  for (let value = 1; value <= inFile + inLog; value += 1) {
    insert.run(value, 'x'.repeat(3000));
    if (value === inFile) db.pragma('wal_checkpoint(TRUNCATE)');
  }
  for (const suffix of ['', '-wal']) {
    copyFileSync(path.join(folder, `live.db${suffix}`), file + suffix);
  }
  db.close();
}

const range = (to: number) => Array.from({ length: to }, (_, at) => at + 1);

describe('databaseCopy', () => {
  it('is empty when there is no file, or nothing in it', () => {
    expect(databaseCopy(file)).toHaveLength(0);
    writeFileSync(file, '');
    expect(databaseCopy(file)).toHaveLength(0);
  });

  it.each([
    ['everything is in the file', 30, 0],
    ['the last commits stand in the log only', 10, 50],
    ['pages of the file are newer in the log', 50, 3],
  ])('holds every commit when %s', (_case, inFile, inLog) => {
    killed(inFile, inLog);
    expect(values(databaseCopy(file))).toEqual(range(inFile + inLog));
  });

  it('holds what is there when the database shrank in the log, and grew again', () => {
    const db = openSqlite(file);
    db.pragma('locking_mode = EXCLUSIVE');
    db.pragma('journal_mode = WAL');
    db.pragma('wal_autocheckpoint = 0');
    db.exec('CREATE TABLE entry (value INTEGER PRIMARY KEY, filler TEXT)');
    const insert = db.prepare('INSERT INTO entry VALUES (?, ?)');
    const fill = (count: number, filler: string) => {
      for (let value = 1; value <= count; value += 1) insert.run(value, filler.repeat(3000));
    };
    fill(50, 'x');
    db.exec('DELETE FROM entry');
    db.exec('VACUUM');
    fill(20, 'y');
    expect(values(databaseCopy(file))).toEqual(range(20));
    db.close();
  });

  it('leaves out a commit that is not whole, and what follows a damaged one', () => {
    killed(5, 20);
    const wal = `${file}-wal`;
    truncateSync(wal, readFileSync(wal).length - 100);
    expect(values(databaseCopy(file))).toEqual(range(24));
    const bytes = readFileSync(wal);
    bytes[Math.floor(bytes.length / 2)]! ^= 0xff;
    writeFileSync(wal, bytes);
    const left = values(databaseCopy(file));
    expect(left).toEqual(range(left.length));
    expect(left.length).toBeGreaterThanOrEqual(5);
    expect(left.length).toBeLessThan(24);
  });

  it('leaves out a log that was begun anew over an older one, and one without a header', () => {
    killed(5, 20);
    const wal = readFileSync(`${file}-wal`);
    // A new log over the old one: another salt in the header, old frames behind it.
    wal[16]! ^= 0xff;
    writeFileSync(`${file}-wal`, wal);
    expect(values(databaseCopy(file))).toEqual(range(5));
    truncateSync(`${file}-wal`, 10);
    expect(values(databaseCopy(file))).toEqual(range(5));
  });
});
