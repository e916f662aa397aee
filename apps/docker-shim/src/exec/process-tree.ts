import { pause } from '@stowage/async';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { isInContainer } from '../stats/cgroup-dirs';
import { readText } from '../stats/read-text';

export interface KillOptions {
  /** Longest time to look whether all are gone, milliseconds. Default 2 s. */
  readonly withinMs?: number;
  /** Where the kernel shows processes. */
  readonly procDir?: string;
  readonly kill?: (pid: number) => void;
}

interface Process {
  readonly pid: number;
  /** `Z` and `X` have ended. */
  readonly state: string;
  readonly parent: number;
  readonly session: number;
}

/** How often it is looked, milliseconds. */
const intervalMs = 20;

/**
 * Kills a process of a container with all that it has started: its descendants, and the members of
 * its session and of theirs, looked for again until none is left. Processes outside of the
 * container are never signalled, whatever their numbers are. A process that had left both the tree
 * and the session before is none of these any more.
 *
 * @returns how many are left.
 */
export async function killProcessTree(
  pid: number,
  containerId: string,
  options: KillOptions = {},
): Promise<number> {
  const { withinMs = 2000, procDir = '/proc', kill = killed } = options;
  const until = performance.now() + withinMs;
  const tree = new Set([pid]);
  const sessions = new Set([pid]);
  for (;;) {
    extend(tree, sessions, listProcesses(procDir));
    const live = [...tree].filter((of) => isLive(of, containerId, procDir));
    if (live.length === 0) return 0;
    for (const of of live) kill(of);
    if (performance.now() >= until) return live.length;
    await pause(intervalMs);
  }
}

function extend(tree: Set<number>, sessions: Set<number>, processes: readonly Process[]): void {
  for (let before = -1; before !== tree.size;) {
    before = tree.size;
    for (const { pid, parent, session } of processes) {
      if (!tree.has(pid) && !tree.has(parent) && !sessions.has(session)) continue;
      tree.add(pid);
      if (session === pid) sessions.add(pid);
    }
  }
}

/**
 * Read at once: a thousand processes take some ten milliseconds, and much longer by turns with
 * others.
 */
function listProcesses(procDir: string): Process[] {
  const all = readdirSync(procDir)
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(procDir, name));
  return all.filter((process) => process !== undefined);
}

function isLive(pid: number, containerId: string, procDir: string): boolean {
  const { state } = readStat(procDir, String(pid)) ?? { state: 'X' };
  return state !== 'Z' && state !== 'X' && isInContainer(pid, containerId, procDir);
}

function readStat(procDir: string, name: string): Process | undefined {
  const text = readText(path.join(procDir, name, 'stat'));
  if (text === undefined) return undefined;
  // The name of the program stands in parentheses, and may hold some itself.
  const [state = '', parent, , session] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid: Number(name), state, parent: Number(parent), session: Number(session) };
}

function killed(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone meanwhile, which is as well.
  }
}
