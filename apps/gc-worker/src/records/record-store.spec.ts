import { spawnSync } from 'node:child_process';
import fs, { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openSqlite, sqlitePackage } from '@stowage/sqlite';
import { eventually } from '@stowage/testing';
import { image, minutes, now } from '../testing/plan-fixtures';
import { RecordTables } from './record-tables';
import { ImageRecordStore, type RecordStoreOptions } from './record-store';
import { recordsContent } from './schema';

let stateDir: string;
let open: ImageRecordStore[] = [];
const log: string[] = [];
let setAside: string[] = [];
let writeErrors = 0;
let clock = now;

beforeEach(() => {
  stateDir = mkdtempSync(path.join(tmpdir(), 'gc-records-'));
  log.length = 0;
  setAside = [];
  writeErrors = 0;
  clock = now;
});
afterEach(() => {
  for (const store of open) store.close();
  open = [];
  rmSync(stateDir, { recursive: true, force: true });
});

function openStore(values: Partial<RecordStoreOptions> = {}): ImageRecordStore {
  const store = ImageRecordStore.open({
    stateDir,
    keep: 'on-disk',
    now: () => new Date(clock),
    log: {
      info: (_fields, message) => log.push(message),
      warn: (_fields, message) => log.push(message),
    },
    onSetAside: (reason) => setAside.push(reason),
    onWriteError: () => {
      writeErrors += 1;
    },
    ...values,
  });
  open.push(store);
  return store;
}

const file = () => path.join(stateDir, 'records.db');
const detection = (...records: ReturnType<typeof image>[]) => ({
  records: new Map(records.map((record) => [record.imageId, record])),
  detected: records,
  vanished: [],
  detectedAt: 0,
});
const app = image('sha256:app', {
  repoDigests: ['registry.example/app@sha256:d'],
  lastUsed: now - minutes(3),
  runtimeHandler: 'kata',
  pinned: true,
  usedBy: [{ as: 'container', containerId: 'c1', podName: 'cart-0', podNamespace: 'shop' }],
  namespaces: ['shop'],
  pulled: { durationMs: 1200, sizeBytes: 5000 },
});

const highMark = {
  mountpoint: '/images',
  role: 'image',
  resource: 'bytes',
  level: 'high',
} as const;

describe('ImageRecordStore', () => {
  it('remembers everything over a restart', () => {
    const first = openStore();
    first.apply(detection(app, image('b')));
    first.removalBegins('b', { reason: 'threshold', planId: 'plan-1' });
    first.setHolds(new Map([['nginx', now + 1]]));
    first.setExceeded({ ...highMark, since: now - 5 }, 1);
    first.setExceeded({ ...highMark, level: 'warning', since: now - 9 }, 2);
    first.setExceeded({ ...highMark, mountpoint: '/containers', role: 'container', since: now }, 3);
    first.noteRemoved(
      new Map([['c', { names: ['c', 'c:1'], removedAt: now - 1, planId: 'plan-0' }]]),
    );
    first.pulled('b', { durationMs: 250, sizeBytes: null });
    first.close();
    const second = openStore();
    expect([...second.images().values()]).toEqual([
      app,
      image('b', { pulled: { durationMs: 250, sizeBytes: null } }),
    ]);
    expect(second.removalIntent('b')).toEqual({ reason: 'threshold', planId: 'plan-1' });
    expect([...second.holds()]).toEqual([['nginx', now + 1]]);
    expect(second.exceeded()).toEqual([
      { ...highMark, since: now - 5 },
      { ...highMark, level: 'warning', since: now - 9 },
      { ...highMark, mountpoint: '/containers', role: 'container', since: now },
    ]);
    expect(second.exceededSince(highMark)).toBe(now - 5);
    expect([...second.removedImages()]).toEqual([
      ['c', { names: ['c', 'c:1'], removedAt: now - 1, planId: 'plan-0' }],
    ]);
    expect(second.status()).toEqual({ state: 'on-disk', path: file() });
  });

  it('opens a file of 26c2345 with everything in it', () => {
    const data = path.join(__dirname, '../../../../libs/sqlite/testdata/26c2345');
    cpSync(data, stateDir, { recursive: true });
    const store = openStore();
    expect([...store.images().values()]).toEqual([
      // In use at the last detection, a minute ago.
      { ...app, lastUsed: now - minutes(1) },
      image('sha256:b', { lastUsed: now - minutes(120) }),
      image('sha256:new'),
      image('sha256:old', { firstDetected: null, pulled: { durationMs: 250, sizeBytes: null } }),
    ]);
    expect(store.intendedRemovals()).toEqual(['sha256:b']);
    expect(store.removalIntent('sha256:b')).toEqual({ reason: 'threshold', planId: 'plan-1' });
    expect([...store.holds()]).toEqual([['nginx', now + 1]]);
    expect(store.exceeded()).toEqual([
      { ...highMark, mountpoint: '/containers', role: 'container', since: now },
      { ...highMark, since: now - 5 },
    ]);
    expect([...store.removedImages()]).toEqual([
      ['sha256:gone', { names: ['sha256:gone', 'gone:1'], removedAt: now - 1, planId: 'plan-0' }],
    ]);
    expect(log).toEqual([]);
    // Of what was being published, events up to sequence 4 went out.
    store.reconcilePublished(5);
    expect([...store.images().keys()]).toEqual(['sha256:app', 'sha256:b', 'sha256:old']);
    expect(store.exceeded()).toEqual([
      { ...highMark, mountpoint: '/containers', role: 'container', since: now },
    ]);
    store.close();
    const next = openStore();
    expect([...next.images().keys()]).toEqual(['sha256:app', 'sha256:b', 'sha256:old']);
    expect(next.status().state).toBe('on-disk');
  });

  it('writes an image that stays in use once, and still knows after a restart when it was used last', () => {
    const usedAt = (time: number) => image('a', { usedBy: app.usedBy, lastUsed: time });
    const first = openStore();
    first.apply({ ...detection(usedAt(now), image('b')), detectedAt: now });
    const later = { ...detection(usedAt(now + 9000), image('b')), detectedAt: now + 9000 };
    first.apply(later);
    expect(first.images().get('a')?.lastUsed).toBe(now + 9000);
    first.close();
    const database = openSqlite(file());
    expect(database.prepare('SELECT last_used_ms FROM image').pluck().all()).toEqual([now, null]);
    database.close();
    const second = openStore();
    expect(second.images().get('a')?.lastUsed).toBe(now + 9000);
    expect(second.images().get('b')?.lastUsed).toBeNull();
    // No longer in use: from then on its last use stays what it is.
    second.apply({ ...detection(usedAt(now + 9000), image('b')), detectedAt: now + 9000 });
    const idle = image('a', { usedBy: [], lastUsed: now + 9000 });
    second.apply({ ...detection(idle, image('b')), detectedAt: now + 20_000 });
    second.close();
    expect(openStore().images().get('a')?.lastUsed).toBe(now + 9000);
  });

  it('forgets what is gone, with its removal', () => {
    const first = openStore();
    first.apply(detection(image('a'), image('b')));
    first.removalBegins('a', { reason: 'max-age', planId: 'plan-1' });
    first.forget(['a']);
    first.removalBegins('b', { reason: 'max-age', planId: 'plan-1' });
    first.removalFailed('b');
    first.setExceeded({ ...highMark, since: now }, 1);
    first.dropExceeded(highMark);
    first.noteRemoved(new Map([['c', { names: ['c'], removedAt: now, planId: 'plan-0' }]]));
    first.forgetRemoved(['c', 'unknown']);
    first.close();
    const second = openStore();
    expect([...second.images().keys()]).toEqual(['b']);
    expect(second.removalIntent('a')).toBeUndefined();
    expect(second.removalIntent('b')).toBeUndefined();
    expect(second.exceeded()).toEqual([]);
    expect(second.removedImages().size).toBe(0);
  });

  it('forgets after a restart the images whose end was told, and not those of which only the intention is known', () => {
    const first = openStore();
    first.apply(detection(image('a'), image('b'), image('c')));
    for (const imageId of ['a', 'b']) {
      first.removalBegins(imageId, { reason: 'threshold', planId: 'plan-1' });
    }
    first.publishingRemoved(['a', 'b'], 7);
    first.close();
    const second = openStore();
    second.reconcilePublished(8);
    second.close();
    const third = openStore();
    expect([...third.images().keys()]).toEqual(['b', 'c']);
    expect(third.intendedRemovals()).toEqual(['b']);
    third.reconcilePublished(100);
    expect([...third.images().keys()]).toEqual(['b', 'c']);
  });

  it('knows after a restart the images whose detection was told, as of then, and none of those that were not reached', () => {
    const told = image('b', { firstDetected: now - 1000 });
    const first = openStore();
    first.apply(detection(image('a')));
    first.noteRemoved(new Map([['b', { names: ['b'], removedAt: now - 5000, planId: 'plan-0' }]]));
    first.publishingDetected([told, image('c'), image('d')], 7);
    first.close();
    const second = openStore();
    second.reconcilePublished(9);
    second.close();
    const third = openStore();
    expect([...third.images().keys()]).toEqual(['a', 'b', 'c']);
    expect(third.images().get('b')).toEqual(told);
    expect(third.removedImages().size).toBe(0);
    third.reconcilePublished(1);
    expect([...third.images().keys()]).toEqual(['a', 'b', 'c']);
  });

  it('does not ask after a restart what was told of a detection that was recorded', () => {
    const first = openStore();
    first.publishingDetected([image('a')], 7);
    first.apply(detection(image('a')));
    first.close();
    const second = openStore();
    second.reconcilePublished(1);
    expect([...second.images().keys()]).toEqual(['a']);
  });

  it.each([
    ['whose excess was not told is not exceeded', undefined, 4, []],
    ['whose excess was told stays exceeded', undefined, 5, [{ ...highMark, since: now }]],
    ['whose end was not told stays exceeded', 6, 6, [{ ...highMark, since: now }]],
    ['whose end was told is over', 6, 7, []],
  ])('after a restart a mark %s', (_, recoveredSequence, nextSequence, expected) => {
    const first = openStore();
    first.setExceeded({ ...highMark, since: now }, 4);
    if (recoveredSequence !== undefined) first.publishingRecovered(highMark, recoveredSequence);
    first.close();
    const second = openStore();
    second.reconcilePublished(nextSequence);
    expect(second.exceeded()).toEqual(expected);
    second.close();
    const third = openStore();
    third.reconcilePublished(nextSequence);
    expect(third.exceeded()).toEqual(expected);
  });

  it('dates use only forwards and only of images it knows', () => {
    const store = openStore();
    store.apply(detection(image('a', { lastUsed: now })));
    expect(store.used('a', now - 1)).toBe(true);
    expect(store.images().get('a')?.lastUsed).toBe(now);
    expect(store.used('a', now + 1)).toBe(true);
    expect(store.images().get('a')?.lastUsed).toBe(now + 1);
    expect(store.used('unknown', now)).toBe(false);
  });

  it('refuses a second worker on the same directory', () => {
    openStore();
    expect(() => openStore()).toThrow(
      `state directory ${stateDir} is in use by another gc-worker: stop it, or give this one a directory of its own (STOWAGE_STATE_DIR)`,
    );
  });

  it('keeps every commit of a process that was killed', () => {
    const script = `
      const Sqlite = require('${sqlitePackage}');
      const db = new Sqlite(${JSON.stringify(file())});
      db.pragma('locking_mode = EXCLUSIVE');
      db.pragma('journal_mode = WAL');
      db.prepare("INSERT INTO hold VALUES ('nginx', 5)").run();
      process.kill(process.pid, 'SIGKILL');
    `;
    const store = openStore();
    store.apply(detection(app));
    store.close();
    const killed = spawnSync(process.execPath, ['-e', script], { cwd: __dirname });
    expect(killed.signal).toBe('SIGKILL');
    const after = openStore();
    expect([...after.holds()]).toEqual([['nginx', 5]]);
    expect([...after.images().values()]).toEqual([app]);
  });

  it('forgets at exit where that is asked for, and writes no file', () => {
    const store = openStore({ keep: 'in-memory' });
    store.apply(detection(app));
    expect(store.images().size).toBe(1);
    expect(store.status().state).toBe('in-memory');
    expect(readdirSync(stateDir)).toEqual([]);
  });

  it.each(['on-disk', 'as-read'] as const)(
    'refuses a file of a newer release and leaves it as it is: %s',
    (keep) => {
      openStore().close();
      const database = openSqlite(file());
      database.pragma('user_version = 7');
      database.close();
      const before = readFileSync(file());
      expect(() => openStore({ keep })).toThrow(
        `${file()} was written by a newer release: it has schema version 7, this release knows 6; start the newer release again, or move ${file()} and ${file()}-wal away, which loses the ages of images: all count as detected now`,
      );
      expect(readdirSync(stateDir)).toEqual(['records.db']);
      expect(readFileSync(file())).toEqual(before);
      expect(setAside).toEqual([]);
    },
  );

  describe('sets aside and begins anew', () => {
    const foreign = () => {
      const database = openSqlite(file());
      database.exec('CREATE TABLE somebody (else TEXT)'.replace('else', 'other'));
      database.close();
    };
    const damaged = () => {
      const store = openStore();
      store.apply(detection(...Array.from({ length: 200 }, (_, index) => image(`i${index}`))));
      store.close();
      const content = readFileSync(file());
      content.fill(0xff, 4096, content.length - 512);
      writeFileSync(file(), content);
    };
    it.each<[string, () => void, string | RegExp]>([
      [
        'a file that is no database',
        () => writeFileSync(file(), 'not a database'.repeat(100)),
        'file is not a database',
      ],
      ['a damaged file', damaged, /malformed|the integrity check found damage/],
      [
        'a file of another program',
        foreign,
        /^the file belongs to another program \(application id 0\)$/,
      ],
    ])('%s', (_, prepare, reason) => {
      prepare();
      const store = openStore();
      expect(store.images().size).toBe(0);
      expect(store.rebuilding).toBe(true);
      expect(setAside).toEqual([expect.stringMatching(reason)]);
      expect(log).toContain('records cannot be used: renamed, recreated from the runtime');
      expect(readdirSync(stateDir)).toContain('records.db.unusable-2026-11-20T120000.000Z');
      store.apply(detection(app));
      expect(store.rebuilding).toBe(false);
      store.close();
      expect([...openStore().images().values()]).toEqual([app]);
    });
  });

  describe('without a file it can write', () => {
    /** Makes every write fail as a full disk does, until it is lifted. */
    const fail = () =>
      jest.spyOn(RecordTables.prototype, 'update').mockImplementation(() => {
        throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });
      });
    afterEach(() => jest.restoreAllMocks());

    it('goes on in memory, says so, and writes everything when that works again', () => {
      const statuses: string[] = [];
      const store = openStore({ onStatus: ({ state }) => statuses.push(state) });
      store.apply(detection(image('old')));
      const full = fail();
      jest.spyOn(RecordTables.prototype, 'replaceAll').mockImplementationOnce(() => {
        throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });
      });
      store.apply(detection(app));
      store.forget(['old']);
      expect(store.status()).toEqual({
        state: 'not-written',
        path: file(),
        reason: 'database or disk is full',
        since: new Date(now),
      });
      expect([...store.images().keys()]).toEqual(['sha256:app']);
      clock += 1000;
      store.retry();
      expect(store.status().state).toBe('not-written');
      full.mockRestore();
      clock += 1000;
      store.retry();
      expect(store.status().state).toBe('on-disk');
      expect(statuses).toEqual(['on-disk', 'not-written', 'on-disk']);
      expect(writeErrors).toBe(2);
      store.close();
      expect([...openStore().images().values()]).toEqual([app]);
    });

    it('writes everything by itself when that works again', async () => {
      const store = openStore();
      const full = fail();
      store.apply(detection(app));
      expect(store.status().state).toBe('not-written');
      full.mockRestore();
      await eventually(() => store.status().state === 'on-disk');
      store.close();
      expect([...openStore().images().values()]).toEqual([app]);
    });

    it('does not try at each change while writing fails', () => {
      const store = openStore();
      const full = fail();
      for (let index = 0; index < 50; index += 1) store.apply(detection(image(`i${index}`)));
      expect(full).toHaveBeenCalledTimes(1);
      expect(store.images().size).toBe(50);
    });

    it('still reads the ages of a file that it cannot open for writing', () => {
      const store = openStore();
      store.apply(detection(app));
      store.close();
      jest.spyOn(fs, 'accessSync').mockImplementation(() => {
        throw Object.assign(new Error('disk I/O error'), { code: 'EIO' });
      });
      const second = openStore();
      expect([...second.images().values()]).toEqual([app]);
      expect(second.status()).toMatchObject({ state: 'not-written', reason: 'disk I/O error' });
    });

    it('works where the state directory cannot be made', () => {
      writeFileSync(path.join(stateDir, 'file'), '');
      const store = openStore({ stateDir: path.join(stateDir, 'file', 'below') });
      store.apply(detection(app));
      expect(store.images().size).toBe(1);
      expect(store.status().state).toBe('not-written');
    });

    it('sets a file aside that turns out damaged while it is used', () => {
      const store = openStore();
      store.apply(detection(image('old')));
      jest.spyOn(RecordTables.prototype, 'update').mockImplementationOnce(() => {
        throw Object.assign(new Error('database disk image is malformed'), {
          code: 'SQLITE_CORRUPT',
        });
      });
      store.apply(detection(app));
      expect(store.status().state).toBe('not-written');
      writeFileSync(file(), 'not a database'.repeat(100));
      store.retry();
      expect(store.status().state).toBe('on-disk');
      expect(setAside).toHaveLength(1);
      store.close();
      expect([...openStore().images().keys()]).toEqual(['old', 'sha256:app']);
    });
  });
});

describe('files of earlier schemas', () => {
  it('marks from before container file systems were watched are taken as those of image file systems', () => {
    const database = openSqlite(file());
    for (const step of recordsContent.steps.slice(0, 4)) database.exec(step);
    database.exec(`INSERT INTO mark VALUES ('/images', 'bytes', 'high', ${now})`);
    database.pragma(`application_id = ${recordsContent.applicationId}`);
    database.pragma('user_version = 4');
    database.close();
    expect(openStore().exceeded()).toEqual([{ ...highMark, since: now }]);
  });
});
