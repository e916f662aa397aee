import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { eventually } from '@stowage/testing';
import { checkObjectsFile, ObjectsFile } from './objects-file';
import type { KnownContainer, KnownSandbox } from './types';

const sandbox: KnownSandbox = {
  id: 's1',
  phase: 'ready',
  pod: { namespace: 'shop', name: 'cart-0', uid: 'u1' },
};
const container: KnownContainer = {
  id: 'c1',
  phase: 'running',
  podSandboxId: 's1',
  image: { reference: 'team/app:1' },
  stopAskedAtMs: 5,
};

let folder: string;
let open: ObjectsFile[];
let lines: string[];
let problems: (string | undefined)[];
let nowMs: number;

function openFile(stateDir = folder): ObjectsFile {
  const file = new ObjectsFile({
    stateDir,
    now: () => nowMs,
    log: {
      info: (_fields, message) => lines.push(message),
      warn: (_fields, message) => lines.push(message),
    },
    onStatus: (problem) => problems.push(problem),
  });
  open.push(file);
  return file;
}

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'stowage-objects-'));
  open = [];
  lines = [];
  problems = [];
  nowMs = Date.UTC(2026, 10, 20);
});

afterEach(() => {
  for (const file of open) file.close();
  rmSync(folder, { recursive: true, force: true });
});

test('what was written is remembered by the next one', () => {
  const first = openFile();
  first.put('sandbox', { ...sandbox, phase: 'stopped' });
  first.put('sandbox', sandbox);
  first.put('container', container);
  first.put('container', { ...container, id: 'c2' });
  first.drop('container', ['c2', 'never']);
  first.setTimestamp('observing-since', 7);
  first.setTimestamp('unavailable-since', 8);
  first.setTimestamp('unavailable-since', undefined);
  first.close();

  const second = openFile();
  expect(second.remembered).toEqual({ sandboxes: [sandbox], containers: [container] });
  expect(second.timestamp('observing-since')).toBe(7);
  expect(second.timestamp('unavailable-since')).toBeUndefined();
  expect(problems).toEqual([undefined, undefined]);
});

test('a file of 26c2345 is opened with everything in it', () => {
  const data = path.join(__dirname, '../../../../libs/sqlite/testdata/26c2345');
  cpSync(data, folder, { recursive: true });
  const file = openFile();
  expect(file.remembered).toEqual({
    sandboxes: [sandbox],
    containers: [
      { ...container, name: 'main' },
      {
        id: 'c2',
        phase: 'exited',
        podSandboxId: 's1',
        exit: {
          exitCode: 137,
          reason: 'OOMKilled',
          finishedAtMs: Date.parse('2026-11-20T12:00:00Z'),
        },
      },
    ],
  });
  expect(file.timestamp('observing-since')).toBe(Date.parse('2026-11-20T11:59:59Z'));
  expect(file.timestamp('unavailable-since')).toBe(Date.parse('2026-11-20T12:00:00Z'));
  expect(lines).toEqual([]);
});

test('a new folder is made', () => {
  const deep = path.join(folder, 'a', 'b');
  expect(openFile(deep).remembered).toEqual({ sandboxes: [], containers: [] });
  expect(readdirSync(deep)).toContain('objects.db');
});

test.each([
  ['is no database', 'x'.repeat(5000)],
  ['is damaged', `SQLite format 3\0${'\x01'.repeat(5000)}`],
])('a file that %s is set aside', (_what, content) => {
  writeFileSync(path.join(folder, 'objects.db'), content);
  const file = openFile();
  file.put('sandbox', sandbox);
  file.close();
  expect(openFile().remembered.sandboxes).toEqual([sandbox]);
  expect(readdirSync(folder).filter((name) => name.includes('.unusable-'))).toEqual([
    'objects.db.unusable-2026-11-20T000000.000Z',
  ]);
  expect(lines).toEqual([
    'known objects could not be read: starting again from what the runtime lists',
  ]);
});

test('a folder that cannot be made: works in memory, says why, and writes all of it by itself later', async () => {
  const blocked = path.join(folder, 'blocked');
  writeFileSync(blocked, 'a file where the folder should be');
  const file = openFile(path.join(blocked, 'state'));
  file.put('sandbox', sandbox);
  file.put('container', container);
  file.drop('container', ['c1']);
  file.setTimestamp('observing-since', 7);
  expect(problems).toEqual([expect.stringMatching(/objects\.db: .*ENOTDIR|EEXIST/)]);
  expect(lines).toEqual(['known objects are not written']);
  expect(file.timestamp('observing-since')).toBe(7);

  rmSync(blocked);
  mkdirSync(blocked);
  file.put('container', { ...container, id: 'c2' });
  await eventually(() => problems.at(-1) === undefined);
  expect(lines.at(-1)).toBe('known objects are written again');
  file.close();
  const next = openFile(path.join(blocked, 'state'));
  expect(next.remembered).toEqual({
    sandboxes: [sandbox],
    containers: [{ ...container, id: 'c2' }],
  });
  expect(next.timestamp('observing-since')).toBe(7);
});

test('a named pipe in its place is refused at once', () => {
  const pipe = path.join(folder, 'objects.db');
  execFileSync('mkfifo', [pipe]);
  expect(() => openFile()).toThrow(`${pipe} is a named pipe`);
});

test('a file of a newer release is refused and left as it is', () => {
  openFile().close();
  const at = path.join(folder, 'objects.db');
  const bytes = readFileSync(at);
  bytes.writeUInt32BE(2, 60);
  writeFileSync(at, bytes);
  const refusal = `${at} was written by a newer release: it has schema version 2, this release knows 1; start the newer release again, or move ${at} and ${at}-wal away, which loses what changed while the gateway was not running`;
  expect(() => openFile()).toThrow(refusal);
  expect(() => checkObjectsFile(folder)).toThrow(refusal);
  expect(readdirSync(folder)).toEqual(['objects.db']);
  expect(readFileSync(at)).toEqual(bytes);
});

test('a file that another process holds is left to it', () => {
  const first = openFile();
  first.put('sandbox', sandbox);
  const second = openFile();
  expect(second.remembered.sandboxes).toEqual([]);
  expect(problems.at(-1)).toMatch(/objects\.db: database is locked/);
  chmodSync(folder, 0o700);
  first.close();
  second.put('container', container);
  second.close();
  // What the second learnt by itself is what holds from then on.
  expect(openFile().remembered).toEqual({ sandboxes: [], containers: [container] });
});
