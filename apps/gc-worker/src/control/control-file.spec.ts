import fs, { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ControlFile, readControl } from './control-file';
import { ShadowPlans } from './shadow-plans';

let stateDir: string;
const lines: string[] = [];
const files: ControlFile[] = [];
beforeEach(() => (stateDir = mkdtempSync(path.join(os.tmpdir(), 'stowage-control-'))));
afterEach(() => {
  jest.restoreAllMocks();
  for (const file of files.splice(0)) file.close();
  rmSync(stateDir, { recursive: true, force: true });
  lines.length = 0;
});

function open(folder = stateDir): ControlFile {
  for (const file of files.splice(0)) file.close();
  const file = new ControlFile({
    stateDir: folder,
    now: () => Date.now(),
    log: { warn: (_fields, message) => lines.push(message) },
  });
  files.push(file);
  return file;
}

const pause = { since: 1, until: 2, reason: 'because' };

it('has what was asked after a restart', () => {
  const first = open();
  expect([first.pause, first.shadowPlans]).toEqual([undefined, []]);
  first.setPause(pause);
  first.setShadowPlans([{ planId: 'a' }, { planId: 'b', bytes: 5 }]);
  const second = open();
  expect([second.pause, second.shadowPlans]).toEqual([
    pause,
    [{ planId: 'a' }, { planId: 'b', bytes: 5 }],
  ]);
  second.setPause(undefined);
  expect(open().pause).toBeUndefined();
});

it('opens a file of 0.1.0 with everything in it', () => {
  const data = path.join(__dirname, '../../../../libs/sqlite/testdata/0.1.0');
  cpSync(data, stateDir, { recursive: true });
  const file = open();
  const since = Date.parse('2026-11-29T12:00:00Z');
  expect(file.pause).toEqual({ since, until: since + 3_600_000, reason: 'a release' });
  expect(file.shadowPlans).toEqual([{ planId: 'plan-1' }, { planId: 'plan-2', bytes: 5 }]);
  expect(lines).toEqual([]);
});

it('keeps it in memory where the file cannot be had, and begins anew where it is damaged', () => {
  const noFolder = path.join(stateDir, 'file');
  writeFileSync(noFolder, '');
  const file = open(noFolder);
  file.setPause(pause);
  expect(file.pause).toEqual(pause);
  expect(lines).toEqual(['what operators ask is not written: kept in memory only']);
  lines.length = 0;
  writeFileSync(path.join(stateDir, 'control.db'), 'x'.repeat(5000));
  expect(open().pause).toBeUndefined();
  expect(lines).toEqual(['what operators asked could not be read']);
});

it('still has a pause and holds after a start where the file takes no writes', () => {
  const hold = { imageId: 'sha256:a', image: 'a', since: 1, until: 2, reason: 'because' };
  const before = open();
  before.setPause(pause);
  before.setHolds([hold]);
  const refused = jest.spyOn(fs, 'accessSync').mockImplementation(() => {
    throw new Error('read-only file system');
  });
  expect(open()).toMatchObject({ pause, holds: [hold] });
  refused.mockRestore();
  expect(open()).toMatchObject({ pause, holds: [hold] });
});

it('remembers the last plans of collections in shadow', () => {
  const plans = new ShadowPlans(open());
  for (let n = 1; n <= 40; n += 1) plans.add(`p${n}`, n === 40 ? { bytes: 7 } : {});
  expect([plans.find('p8'), plans.find('p9'), plans.find('p40')]).toEqual([
    undefined,
    { bytes: undefined, assumedAgeMs: undefined },
    { bytes: 7, assumedAgeMs: undefined },
  ]);
  plans.add('p9', {});
  expect([plans.isLast('p40'), plans.isLast('p9')]).toEqual([false, true]);
  plans.forget('p9');
  expect(new ShadowPlans(open()).find('p9')).toBeUndefined();
});

it('is read beside the worker that has it, and nothing is written', () => {
  const log = { warn: (_fields: object, message: string) => lines.push(message) };
  expect(readControl({ stateDir, log })).toEqual({ holds: [], shadowPlans: [] });
  const hold = { imageId: 'sha256:a', image: 'a', since: 1, until: 2, reason: 'because' };
  const worker = open();
  worker.setHolds([hold]);
  worker.setRecordsBegan(7);
  expect(readControl({ stateDir, log })).toMatchObject({ holds: [hold], recordsBegan: 7 });
  writeFileSync(path.join(stateDir, 'other'), '');
  expect(readControl({ stateDir: path.join(stateDir, 'other'), log })).toMatchObject({ holds: [] });
  expect(open()).toMatchObject({ holds: [hold], recordsBegan: 7 });
});
