import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What kubelet sets for the whole machine as it starts (its `setupKernelTunables`), as far as no
 * namespace has its own.
 */
const sysctls = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
];

/**
 * Puts plain files in the place of the machine's settings that kubelet changes, in this mount
 * namespace alone: kubelet reads back what it has written, and the machine never changes, however
 * the run ends. Call it in a mount namespace of its own.
 */
export function withholdSysctls(): void {
  for (const name of sysctls) {
    const setting = path.join('/proc/sys', name);
    if (!existsSync(setting)) continue;
    const standIn = path.join('/run/sysctls', name);
    mkdirSync(path.dirname(standIn), { recursive: true });
    writeFileSync(standIn, readFileSync(setting));
    execFileSync('mount', ['--bind', standIn, setting]);
  }
}
