import { readdirSync, readFileSync } from 'node:fs';
import { eventually } from '../eventually';

/** A process, safe against reuse of its number: `startTime` is in clock ticks since boot. */
export interface ProcessIdentity {
  pid: number;
  startTime: string;
}

interface ProcessStat extends ProcessIdentity {
  parent: number;
  /** One letter of /proc/PID/stat; Z and X are dead processes nobody has collected yet. */
  state: string;
}

/** Environment variables that every process of a stack carries, and by which it is found again. */
export const stackMarker = 'STOWAGE_TESTING_STACK';
export const ownerMarker = 'STOWAGE_TESTING_OWNER';

/** Identity of a live process, or undefined when it is gone or only a zombie is left of it. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat === undefined || isDead(stat) ? undefined : { pid, startTime: stat.startTime };
}

/** Whether exactly this process, and not a later one with its number, is alive. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return identify(pid)?.startTime === startTime;
}

/** Processes whose environment holds `variable=value`; `value` may be a test on the value. */
export function findMarked(
  variable: string,
  matches: (value: string) => boolean,
): ProcessIdentity[] {
  const prefix = `${variable}=`;
  return findProcesses((pid) =>
    readProc(pid, 'environ')
      .split('\0')
      .some((entry) => entry.startsWith(prefix) && matches(entry.slice(prefix.length))),
  );
}

/** Processes that have `argument` as one word of their command line. */
export function findByArgument(argument: string): ProcessIdentity[] {
  return findProcesses((pid) => readProc(pid, 'cmdline').split('\0').includes(argument));
}

/** Processes that sit in a control group whose path holds one of these container ids. */
export function findInCgroups(containerIds: readonly string[]): ProcessIdentity[] {
  if (containerIds.length === 0) return [];
  return findProcesses((pid) => {
    const groups = readProc(pid, 'cgroup');
    return containerIds.some((id) => groups.includes(id));
  });
}

/**
 * Kills processes and all their descendants with SIGKILL and waits until they are gone. `find` is
 * asked again in each round, so that what was forked meanwhile goes too. This process itself is
 * never killed. Shims of containers go after everything else: they collect their dead children,
 * which the first process of a pid namespace waits for.
 *
 * @returns those that are still there after `timeoutMs`.
 */
export async function killProcesses(
  find: () => ProcessIdentity[],
  { timeoutMs = 30_000 }: { timeoutMs?: number } = {},
): Promise<ProcessIdentity[]> {
  const condemned = new Map<string, ProcessIdentity>();
  const survivors = (): ProcessIdentity[] => [...condemned.values()].filter(isAlive);
  const strike = (): boolean => {
    for (const identity of withDescendants(find())) {
      condemned.set(`${identity.pid}-${identity.startTime}`, identity);
    }
    const alive = survivors();
    const others = alive.filter((identity) => !isShim(identity));
    for (const { pid } of others.length > 0 ? others : alive) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone in the meantime, which is what is wanted; a lack of permission shows up as a
        // survivor.
      }
    }
    return alive.length === 0;
  };
  try {
    await eventually(strike, { timeoutMs, intervalMs: 10 });
    return [];
  } catch {
    return survivors();
  }
}

const isShim = ({ pid }: ProcessIdentity): boolean =>
  /^(containerd-shim|conmon)/.test(readProc(pid, 'comm'));

function withDescendants(roots: readonly ProcessIdentity[]): ProcessIdentity[] {
  if (roots.length === 0) return [];
  const children = new Map<number, ProcessStat[]>();
  for (const pid of allPids()) {
    const stat = readStat(pid);
    if (stat === undefined || isDead(stat)) continue;
    children.set(stat.parent, [...(children.get(stat.parent) ?? []), stat]);
  }
  const found = new Map<number, ProcessIdentity>();
  const queue = [...roots];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (found.has(next.pid) || next.pid === process.pid || !isAlive(next)) continue;
    found.set(next.pid, { pid: next.pid, startTime: next.startTime });
    queue.push(...(children.get(next.pid) ?? []));
  }
  return [...found.values()];
}

function findProcesses(matches: (pid: number) => boolean): ProcessIdentity[] {
  const found: ProcessIdentity[] = [];
  for (const pid of allPids()) {
    if (pid === process.pid || !matches(pid)) continue;
    const identity = identify(pid);
    // Looked at twice with the identity between, so that both looks were at the same process.
    if (identity !== undefined && matches(pid)) found.push(identity);
  }
  return found;
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // gone, or another user's process
  }
}

function readStat(pid: number): ProcessStat | undefined {
  const text = readProc(pid, 'stat');
  // The second field is the program's name in parentheses and may itself hold spaces and
  // parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent] = fields;
  const startTime = fields[19];
  if (state === undefined || parent === undefined || startTime === undefined) return undefined;
  return { pid, state, parent: Number(parent), startTime };
}

const isDead = ({ state }: ProcessStat): boolean => state === 'Z' || state === 'X';
