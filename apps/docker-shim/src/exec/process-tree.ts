import { pause } from '@stowage/async';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

export interface KillOptions {
  /** Longest time to look whether all are gone, milliseconds. Default 2 s. */
  readonly withinMs?: number;
  /** Where the kernel shows processes. */
  readonly procDir?: string;
  readonly kill?: (pid: number) => void;
}

interface Process {
  readonly pid: number;
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
    extend(tree, sessions, await listProcesses(procDir));
    const members = await Promise.all(
      [...tree].map(async (of) => ((await isLive(of, containerId, procDir)) ? of : undefined)),
    );
    const live = members.filter((of) => of !== undefined);
    if (live.length === 0) return 0;
    for (const of of live) kill(of);
    if (performance.now() >= until) return live.length;
    await pause(intervalMs);
  }
}

/** Whether a process belongs to a container, by the names of its control groups (v1 and v2). */
export async function isInContainer(
  pid: number,
  containerId: string,
  procDir = '/proc',
): Promise<boolean> {
  const groups = await readFile(path.join(procDir, String(pid), 'cgroup'), 'utf8').catch(() => '');
  return groups.split('\n').some((line) =>
    line
      .split(':')
      .slice(2)
      .join(':')
      .split('/')
      .some((name) => isGroupOf(name, containerId)),
  );
}

/** `<id>` below a folder, or `docker-<id>.scope` with systemd. */
const isGroupOf = (name: string, containerId: string): boolean =>
  name === containerId || name.endsWith(`-${containerId}.scope`);

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

async function listProcesses(procDir: string): Promise<Process[]> {
  const names = (await readdir(procDir)).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(
    names.map(async (name) => {
      const stat = await readStat(procDir, name);
      return stat && { pid: Number(name), parent: stat.parent, session: stat.session };
    }),
  );
  return all.filter((process) => process !== undefined);
}

async function isLive(pid: number, containerId: string, procDir: string): Promise<boolean> {
  const stat = await readStat(procDir, String(pid));
  if (stat === undefined || stat.state === 'Z' || stat.state === 'X') return false;
  return isInContainer(pid, containerId, procDir);
}

async function readStat(procDir: string, name: string) {
  const text = await readFile(path.join(procDir, name, 'stat'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The name of the program stands in parentheses, and may hold some itself.
  const [state = '', parent, , session] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state, parent: Number(parent), session: Number(session) };
}

function killed(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone meanwhile, which is as well.
  }
}
