import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { controlGroupHierarchies } from '../matrix/enter';

/** Name of the control group for what runs in a root. There is one run at a time in it. */
export const controlGroupOf = (root: string): string =>
  `stowage-kubelet-${createHash('sha256').update(root).digest('hex').slice(0, 8)}`;

/**
 * Makes a control group of this name in every hierarchy, as kubelet wants its `cgroupRoot` to be
 * there. `removeControlGroup` takes it away.
 */
export function makeControlGroup(name: string): void {
  for (const hierarchy of controlGroupHierarchies()) {
    const group = path.join(hierarchy, name);
    mkdirSync(group, { recursive: true });
    // Version 1: a new group may use no processor and no memory node until these are set.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      const own = path.join(group, file);
      if (!existsSync(own) || existsSync(path.join(group, 'cgroup.controllers'))) continue;
      if (readFileSync(own, 'utf8').trim() === '') {
        writeFileSync(own, readFileSync(path.join(hierarchy, file)));
      }
    }
    // Version 2: groups below this one have the controllers that are handed on.
    const controllers = path.join(group, 'cgroup.controllers');
    if (existsSync(controllers)) {
      const names = readFileSync(controllers, 'utf8').trim().split(/\s+/).filter(Boolean);
      const handOn = names.map((controller) => `+${controller}`).join(' ');
      writeFileSync(path.join(group, 'cgroup.subtree_control'), handOn);
    }
  }
}
