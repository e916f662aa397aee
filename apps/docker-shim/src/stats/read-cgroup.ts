import type { CgroupDirs } from './cgroup-dirs';
import { readDetailsV1, readUsageV1 } from './cgroup-v1';
import { readDetailsV2, readUsageV2 } from './cgroup-v2';
import type { Usage, UsageDetails } from './usage';

/** Milliseconds since the epoch, and of a clock that never jumps. */
export interface Clocks {
  now(): number;
  steady(): number;
}

/** What a control group uses; undefined when it is gone. */
export function readUsage(group: CgroupDirs, clocks: Clocks): Usage | undefined {
  const atMs = clocks.now();
  const clockMs = clocks.steady();
  const read = group.version === 1 ? readUsageV1(group.dirs) : readUsageV2(group.dir);
  return read && { ...read, atMs, clockMs };
}

/** What of it only metrics show. */
export const readDetails = (group: CgroupDirs): Promise<UsageDetails> =>
  group.version === 1 ? readDetailsV1(group.dirs) : readDetailsV2(group.dir);
