import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { eventually } from '../eventually';
import { findByArgument, findMarked, identify, isAlive, killProcesses } from './processes';

/**
 * A shell with a child that has left its session and a grandchild; returns the pids, the shell's
 * first.
 */
async function startFamily(marker: string): Promise<number[]> {
  const script = 'echo $$; setsid sh -c "sleep 600 & echo \\$\\$; echo \\$!; wait" & wait';
  const child = spawn('sh', ['-c', script], {
    env: { ...process.env, STOWAGE_SPEC_MARKER: marker },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const pids: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    pids.push(Number(line));
    if (pids.length === 3) return pids;
  }
  throw new Error('the shell ended too early');
}

it('a process is found by its environment and killed with its descendants', async () => {
  const marker = `family-${process.pid}`;
  const pids = await startFamily(marker);
  const marked = () => findMarked('STOWAGE_SPEC_MARKER', (value) => value === marker);
  // A process that is just becoming another program has no environment to read for a moment.
  await eventually(() => pids.every((pid) => marked().some((found) => found.pid === pid)), {
    what: 'the family to be found',
  });
  const found = marked();
  const root = found.filter(({ pid }) => pid === pids[0]);
  expect(await killProcesses(() => root)).toEqual([]);
  expect(found.some(isAlive)).toBe(false);
  expect(marked()).toEqual([]);
});

it('a later process with the same number is not the same process', () => {
  const self = identify(process.pid);
  expect(self).toBeDefined();
  expect(isAlive({ pid: process.pid, startTime: self?.startTime ?? '' })).toBe(true);
  expect(isAlive({ pid: process.pid, startTime: '1' })).toBe(false);
});

it('a process is found by a word of its command line, not by a part of one', async () => {
  const word = `spec-word-${process.pid}`;
  const child = spawn('sh', ['-c', 'echo ready; read line', word], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  expect(findByArgument(word).map(({ pid }) => pid)).toEqual([child.pid]);
  expect(findByArgument(word.slice(0, -1))).toEqual([]);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.stdin.end('\n');
  await ended;
});

it('this process never kills itself', async () => {
  const self = identify(process.pid);
  expect(await killProcesses(() => (self === undefined ? [] : [self]))).toEqual([]);
});
