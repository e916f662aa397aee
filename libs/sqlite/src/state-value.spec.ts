import fs, { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@stowage/testing';
import { openStateFileCopy } from './open-state-file';
import { StateValue } from './state-value';

const content = { lost: 'names', steps: ['CREATE TABLE name (name TEXT NOT NULL) STRICT'] };

describe('StateValue', () => {
  let folder: string;
  let dir: string;
  let said: string[];
  const opened: StateValue<readonly string[]>[] = [];
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'state-value-'));
    dir = path.join(folder, 'state');
    said = [];
  });
  afterEach(() => {
    jest.restoreAllMocks();
    for (const names of opened.splice(0)) names.close();
    rmSync(folder, { recursive: true });
  });

  function open(): StateValue<readonly string[]> {
    for (const before of opened.splice(0)) before.close();
    const names = new StateValue<readonly string[]>({
      file: path.join(dir, 'names.db'),
      content,
      initial: [],
      now: () => new Date(),
      prepare: (database) => {
        const all = database.prepare<[], string>('SELECT name FROM name').pluck();
        const clear = database.prepare('DELETE FROM name');
        const add = database.prepare<[string]>('INSERT INTO name VALUES (?)');
        return {
          read: () => all.all(),
          replace: (value) => {
            clear.run();
            for (const name of value) add.run(name);
          },
        };
      },
      onSetAside: () => said.push('set aside'),
      onProblem: () => said.push('problem'),
    });
    opened.push(names);
    return names;
  }

  it('is what it was set to last, also after a restart', () => {
    const names = open();
    expect(names.get()).toEqual([]);
    names.set(['a', 'b']);
    names.set(['c']);
    expect(names.get()).toEqual(['c']);
    expect(open().get()).toEqual(['c']);
    open().set([]);
    expect(open().get()).toEqual([]);
    expect(said).toEqual([]);
  });

  it('is written once the file can be had, and until then says so once', async () => {
    writeFileSync(dir, '');
    const names = open();
    names.set(['a']);
    names.set(['b']);
    expect([names.get(), said]).toEqual([['b'], ['problem']]);
    rmSync(dir);
    await eventually(() => written().length > 0);
    expect([written(), names.get(), said]).toEqual([['b'], ['b'], ['problem']]);
  });

  it('is read from a file that cannot be opened for writing, and is still there once that works', async () => {
    open().set(['a']);
    const refused = jest.spyOn(fs, 'accessSync').mockImplementation(() => {
      throw Object.assign(new Error('read-only file system'), { code: 'EROFS' });
    });
    const names = open();
    expect([names.get(), said]).toEqual([['a'], ['problem']]);
    names.set([...names.get(), 'b']);
    refused.mockRestore();
    await eventually(() => written().length > 1);
    expect(open().get()).toEqual(['a', 'b']);
  });

  it('has its initial value where the file can be neither written nor read', () => {
    mkdirSync(dir);
    writeFileSync(path.join(dir, 'names.db'), 'x'.repeat(5000));
    jest.spyOn(fs, 'accessSync').mockImplementation(() => {
      throw new Error('read-only file system');
    });
    expect([open().get(), said]).toEqual([[], ['problem']]);
  });

  /** What is in the file, while its owner has it. */
  function written(): unknown[] {
    if (!existsSync(path.join(dir, 'names.db'))) return [];
    const copy = openStateFileCopy(path.join(dir, 'names.db'), content);
    const names = copy?.prepare('SELECT name FROM name').pluck().all() ?? [];
    copy?.close();
    return names;
  }

  it('begins anew where the file is damaged', () => {
    mkdirSync(dir);
    writeFileSync(path.join(dir, 'names.db'), 'x'.repeat(5000));
    const names = open();
    expect([names.get(), said]).toEqual([[], ['set aside']]);
    names.set(['a']);
    expect(open().get()).toEqual(['a']);
  });
});
