import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LogPositions } from './log-positions';

let stateDir: string;
let problems: string[];
beforeEach(() => {
  stateDir = mkdtempSync(path.join(tmpdir(), 'stowage-positions-'));
  problems = [];
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const open = () => new LogPositions({ stateDir, problem: (message) => problems.push(message) });
const position = {
  inode: 7,
  headBytes: 12,
  headHash: 'a1',
  offset: 40,
  targetInode: 9,
  targetBytes: 64,
};

it('opens a file of 0.1.0 with everything in it', () => {
  const data = path.join(__dirname, '../../../../libs/sqlite/testdata/0.1.0');
  cpSync(data, stateDir, { recursive: true });
  const positions = open();
  expect([positions.get('c1'), positions.get('c2')]).toEqual([position, undefined]);
  positions.close();
  expect(problems).toEqual([]);
});

it('has after a restart what was put, but what was removed', () => {
  const first = open();
  first.put([
    ['a', position],
    ['b', position],
    ['c', position],
  ]);
  first.remove('a');
  first.keepOnly(new Set(['a', 'c']));
  first.close();
  const second = open();
  expect(['a', 'b', 'c'].map((id) => second.get(id))).toEqual([undefined, undefined, position]);
  second.close();
  expect(problems).toEqual([]);
});
