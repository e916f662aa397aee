import { statfs } from 'node:fs/promises';
import path from 'node:path';
import type { FilesystemFacts } from './container-metrics';
import { readText } from './read-text';

/** The file system that a folder lies on. */
export async function filesystemOf(procRoot: string, folder: string): Promise<FilesystemFacts> {
  const { blocks, bsize, files, ffree } = await statfs(folder, { bigint: true });
  const mountinfo = readText(path.join(procRoot, 'self/mountinfo')) ?? '';
  return {
    device: deviceOf(mountinfo, folder),
    sizeBytes: blocks * bsize,
    inodes: files,
    freeInodes: ffree,
  };
}

/** What is mounted where a folder lies, as mountinfo names it. */
function deviceOf(mountinfo: string, folder: string): string {
  let longest = '';
  let device = '';
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ', 2);
    const mountpoint = before.split(' ')[4] ?? '';
    const prefix = mountpoint === '/' ? '/' : `${mountpoint}/`;
    if (mountpoint === '' || !`${folder}/`.startsWith(prefix)) continue;
    // Of two mounts at one place the later one is seen.
    if (mountpoint.length >= longest.length) {
      longest = mountpoint;
      device = after.split(' ')[1] ?? '';
    }
  }
  return device;
}

/** Names of block devices by their numbers; the numbers where there is no name. */
export function deviceNames(procRoot: string): (major: string, minor: string) => string {
  const names = new Map<string, string>();
  for (const line of (readText(path.join(procRoot, 'diskstats')) ?? '').split('\n')) {
    const [, major = '', minor = '', name = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)/.exec(line) ?? [];
    if (name !== '') names.set(`${major}:${minor}`, `/dev/${name}`);
  }
  return (major, minor) => names.get(`${major}:${minor}`) ?? `${major}:${minor}`;
}
