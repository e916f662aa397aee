import { readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { netDev, wholeNumber, type InterfaceTraffic } from './kernel-text';
import { isAbsent, isForbidden, readText } from './read-text';

/** What processes have open. */
export interface OpenFiles {
  readonly files: number;
  /** Of them. */
  readonly sockets: number;
}

/**
 * What processes have open, together; those that end meanwhile are left out. Undefined where only
 * root may see it.
 */
export async function openFiles(
  procRoot: string,
  pids: readonly number[],
): Promise<OpenFiles | undefined> {
  try {
    return await countOpen(procRoot, pids);
  } catch (error) {
    if (isForbidden(error)) return undefined;
    throw error;
  }
}

async function countOpen(procRoot: string, pids: readonly number[]): Promise<OpenFiles> {
  let files = 0;
  let sockets = 0;
  for (const pid of pids) {
    const folder = path.join(procRoot, String(pid), 'fd');
    const names = await readdir(folder).catch(ifAbsent([] as string[]));
    const targets = await Promise.all(
      names.map((name) => readlink(path.join(folder, name)).catch(ifAbsent(undefined))),
    );
    files += targets.filter((target) => target !== undefined).length;
    sockets += targets.filter((target) => target?.startsWith('socket:')).length;
  }
  return { files, sockets };
}

/** How many files a process may open; undefined for any number, and when it is gone. */
export function openFilesLimit(procRoot: string, pid: number): bigint | undefined {
  const text = readText(path.join(procRoot, String(pid), 'limits')) ?? '';
  const [, soft] = /^Max open files\s+(\S+)/m.exec(text) ?? [];
  return wholeNumber(soft);
}

/** Traffic in the network namespace of a process; undefined when it is gone. */
export function traffic(procRoot: string, pid: number): InterfaceTraffic[] | undefined {
  const text = readText(path.join(procRoot, String(pid), 'net/dev'));
  return text === undefined ? undefined : netDev(text);
}

const ifAbsent =
  <T>(value: T) =>
  (error: unknown): T => {
    if (isAbsent(error)) return value;
    throw error;
  };
