import path from 'node:path';
import { readText } from './read-text';

/** Controllers of version 1 that are read. */
const controllers = ['cpu', 'cpuacct', 'memory', 'pids', 'blkio', 'hugetlb'] as const;
export type Controller = (typeof controllers)[number];

/** Where the files of a control group are. */
export type CgroupDirs = (
  | { readonly version: 1; readonly dirs: Readonly<Partial<Record<Controller, string>>> }
  | { readonly version: 2; readonly dir: string }
) & {
  /** Path below the hierarchy, as in `/kubepods/pod1/0123…`. */
  readonly path: string;
};

interface CgroupMount {
  /** What of the hierarchy is mounted there. */
  readonly root: string;
  readonly mountpoint: string;
}

interface CgroupMounts {
  readonly v1: ReadonlyMap<string, CgroupMount>;
  readonly v2: CgroupMount | undefined;
}

/** Spaces and backslashes are written so in mountinfo. */
const unescaped = (text: string): string =>
  text.replace(/\\(\d{3})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/** The mounts of control groups in a mountinfo file. */
export function cgroupMounts(mountinfo: string): CgroupMounts {
  const v1 = new Map<string, CgroupMount>();
  let v2: CgroupMount | undefined;
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ', 2);
    const [, , , root = '', mountpoint = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    const mount = { root: unescaped(root), mountpoint: unescaped(mountpoint) };
    if (type === 'cgroup2') v2 ??= mount;
    if (type !== 'cgroup') continue;
    for (const option of options.split(',')) {
      if (!v1.has(option)) v1.set(option, mount);
    }
  }
  return { v1, v2 };
}

/**
 * Finds the control groups of processes.
 *
 * @param procRoot where the proc file system of the host is.
 */
export class CgroupFinder {
  #mounts: CgroupMounts | undefined;

  constructor(private readonly procRoot = '/proc') {}

  /**
   * The control group of container `id`, in which process `pid` is; undefined when that process is
   * gone, or belongs to something else by now.
   */
  find(pid: number, id: string): CgroupDirs | undefined {
    this.#mounts ??= cgroupMounts(readText(path.join(this.procRoot, 'self/mountinfo')) ?? '');
    const paths = cgroupPaths(pid, id, this.procRoot);
    const { v1, v2 } = this.#mounts;
    const dirs: Partial<Record<Controller, string>> = {};
    for (const controller of controllers) {
      const mount = v1.get(controller);
      const below = paths.get(controller);
      if (mount === undefined || below === undefined) continue;
      dirs[controller] = folder(mount, below);
    }
    const first = Object.keys(dirs)[0];
    if (first !== undefined) return { version: 1, dirs, path: paths.get(first) ?? '' };
    const unified = paths.get('');
    // Beside the hierarchies of version 1 there may be one of version 2 without controllers.
    if (v2 === undefined || unified === undefined || v1.has('memory')) return undefined;
    return { version: 2, dir: folder(v2, unified), path: unified };
  }

  /** Whether process `pid` is one of container `id`. */
  holds(pid: number, id: string): boolean {
    return isInContainer(pid, id, this.procRoot);
  }
}

/** Whether process `pid` belongs to container `id`, by the names of its control groups. */
export function isInContainer(pid: number, id: string, procRoot = '/proc'): boolean {
  const text = readText(path.join(procRoot, String(pid), 'cgroup')) ?? '';
  return [`/${id}\n`, `/${id}/`, `-${id}.scope`].some((name) => text.includes(name));
}

/** The control group that one lies in. */
export function parentOf(group: CgroupDirs): CgroupDirs {
  const parent = path.dirname(group.path);
  if (group.version === 2) return { version: 2, dir: path.dirname(group.dir), path: parent };
  const dirs: Partial<Record<Controller, string>> = {};
  for (const [controller, dir] of Object.entries(group.dirs)) {
    dirs[controller as Controller] = path.dirname(dir);
  }
  return { version: 1, dirs, path: parent };
}

/**
 * The paths of a container by controller, `''` for version 2, out of `/proc/<pid>/cgroup`. A
 * process may be in a group of its own below that of its container.
 */
function cgroupPaths(pid: number, id: string, procRoot: string): ReadonlyMap<string, string> {
  const paths = new Map<string, string>();
  const text = readText(path.join(procRoot, String(pid), 'cgroup')) ?? '';
  for (const line of text.split('\n')) {
    const [, names = '', whole = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const parts = whole.split('/');
    // `<id>` with the driver cgroupfs, `docker-<id>.scope` with systemd.
    const at = parts.findIndex((part) => part === id || part.endsWith(`-${id}.scope`));
    if (at < 0) continue;
    for (const name of names.split(',')) paths.set(name, parts.slice(0, at + 1).join('/'));
  }
  return paths;
}

function folder({ root, mountpoint }: CgroupMount, below: string): string {
  const isBelow = root !== '/' && (below === root || below.startsWith(`${root}/`));
  return path.join(mountpoint, isBelow ? below.slice(root.length) : below);
}
