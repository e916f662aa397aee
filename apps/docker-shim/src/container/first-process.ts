import { LinuxContainerUser } from '@stowage/cri-proto';
import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { CgroupFinder } from '../stats/cgroup-dirs';
import { isAbsent, readText } from '../stats/read-text';
import { cgroupFiles, type CgroupLimits } from './resources';

type Cgroups = Pick<CgroupFinder, 'find' | 'holds'>;

/** The user and groups in a `/proc/<pid>/status`; undefined for what is none. */
export function userOf(status: string): LinuxContainerUser | undefined {
  const numbers = (name: string): bigint[] | undefined => {
    const [, listed] = new RegExp(`^${name}:([\\s\\d]*)$`, 'm').exec(status) ?? [];
    return listed?.split(/\s+/).filter(Boolean).map(BigInt);
  };
  // The real one, the effective one, and two more.
  const [uid] = numbers('Uid') ?? [];
  const [gid] = numbers('Gid') ?? [];
  if (uid === undefined || gid === undefined) return undefined;
  return LinuxContainerUser.fromPartial({ uid, gid, supplementalGroups: numbers('Groups') ?? [] });
}

/** Whose a container's process is; undefined when it is gone, or another's by now. */
export function processUserOf(
  pid: number,
  containerId: string,
  cgroups: Cgroups,
): LinuxContainerUser | undefined {
  const status = readText(`/proc/${pid}/status`);
  if (status === undefined || !cgroups.holds(pid, containerId)) return undefined;
  return userOf(status);
}

/**
 * Writes limits into the files of a container's control group. Nothing for a process that is gone.
 *
 * @param onMissing called with the name of a file that is not there, and can be missing.
 * @throws {FailedPreconditionError} for a file that must be there, and a value that the kernel
 *   refuses.
 */
export async function writeLimits(
  limits: CgroupLimits,
  pid: number,
  containerId: string,
  cgroups: Cgroups,
  onMissing: (file: string) => void,
): Promise<void> {
  if (limits.hugepageLimits.length === 0 && Object.keys(limits.unified).length === 0) return;
  const group = cgroups.find(pid, containerId);
  if (group === undefined) return;
  for (const file of cgroupFiles(limits, String(group.version))) {
    const dir = group.version === 2 ? group.dir : file.controller && group.dirs[file.controller];
    try {
      if (dir === undefined)
        throw Object.assign(new Error('no such hierarchy'), { code: 'ENOENT' });
      // Not made where it is missing.
      await writeFile(path.join(dir, file.name), file.value, { flag: 'r+' });
    } catch (error) {
      if (!file.required && isAbsent(error)) {
        // Without huge pages of this size there are none to use.
        if (file.value !== '0') onMissing(file.name);
        continue;
      }
      throw new FailedPreconditionError(
        `${file.name} of the control group cannot be set: ${errorMessage(error)}`,
        { cause: error },
      );
    }
  }
}
