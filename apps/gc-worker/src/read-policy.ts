import type { ReadAgain } from '@stowage/service-kit';
import { policyKeys, policyOf, type GcConfig } from './config';
import type { PolicyRead } from './policy/live-policy';

/** Keys whose changes count without a restart, the policy and what the kit itself reads again. */
const reloaded: readonly (keyof GcConfig)[] = [...policyKeys, 'commands'];

/** The policy of a configuration that was read again; `running` is that of the start. */
export function readPolicy(read: ReadAgain<GcConfig>, running: GcConfig): PolicyRead {
  if ('problem' in read) return read;
  const now = read.config;
  const needRestart = (Object.keys(now) as (keyof GcConfig)[]).filter(
    (name) =>
      !reloaded.includes(name) && JSON.stringify(now[name]) !== JSON.stringify(running[name]),
  );
  return { policy: policyOf(now), needRestart };
}
