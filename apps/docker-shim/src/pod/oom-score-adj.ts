import { readFileSync } from 'node:fs';

/**
 * The oom_score_adj for a container. With `restricted` it is never below that of this process: the
 * kernel lets nobody lower it without CAP_SYS_RESOURCE, and the engine could not start the
 * container.
 */
export function oomScoreAdj(
  wanted: number,
  restricted: boolean,
  ownFile = '/proc/self/oom_score_adj',
): number {
  return restricted ? Math.max(wanted, Number(readFileSync(ownFile, 'utf8'))) : wanted;
}
