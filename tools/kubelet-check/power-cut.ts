import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { controlGroupHierarchies } from '../matrix/enter';

/**
 * Processes of all containers below a control group, and of the shims that look after them, whose
 * command line has `shimMark`.
 */
export function containerProcesses(controlGroup: string, shimMark: string): number[] {
  const inGroups = controlGroupHierarchies().flatMap((hierarchy) =>
    processesBelow(path.join(hierarchy, controlGroup)),
  );
  const shims = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && commandLine(pid).includes(shimMark));
  return [...new Set([...inGroups, ...shims])].filter((pid) => pid > 0 && pid !== process.pid);
}

function processesBelow(group: string): number[] {
  try {
    const own = readFileSync(path.join(group, 'cgroup.procs'), 'utf8').split('\n').map(Number);
    const below = readdirSync(group, { withFileTypes: true }).filter((one) => one.isDirectory());
    return [...own, ...below.flatMap(({ name }) => processesBelow(path.join(group, name)))];
  } catch {
    return []; // gone meanwhile
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** Empties a folder as a boot empties `/run`: what is mounted below it goes too. */
export function loseFolder(folder: string): void {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${folder}/`))
    .reverse();
  for (const point of mounts) execFileSync('umount', ['-l', point]);
  rmSync(folder, { recursive: true, force: true });
}
