import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openOutageFile } from './outage-file';

let stateDir: string;
let lines: string[];
beforeEach(() => {
  stateDir = mkdtempSync(path.join(tmpdir(), 'stowage-outage-'));
  lines = [];
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const open = () =>
  openOutageFile({
    stateDir,
    now: () => Date.now(),
    log: { warn: (_fields, message) => lines.push(message) },
  });

it('opens a file of 0.1.0 with the outage in it', () => {
  const data = path.join(__dirname, '../../../../libs/sqlite/testdata/0.1.0');
  cpSync(data, stateDir, { recursive: true });
  const file = open();
  expect(file.get()).toBe(Date.parse('2026-11-29T12:00:01Z'));
  file.close();
  expect(lines).toEqual([]);
});

it('has after a restart that there is an outage, and that there is none', () => {
  const first = open();
  expect(first.get()).toBeUndefined();
  first.set(7);
  first.close();
  const second = open();
  expect(second.get()).toBe(7);
  second.set(undefined);
  second.close();
  const third = open();
  expect(third.get()).toBeUndefined();
  third.close();
  expect(lines).toEqual([]);
});
