import { readFileSync } from 'node:fs';

/**
 * The score to send: as asked for, or not below this process's own where the node does not let
 * anybody lower it (key `restrictOomScoreAdj`).
 */
export const oomScoreAdj = (asked: number, restrict: boolean, own = ownOomScoreAdj): number =>
  restrict ? Math.max(asked, own()) : asked;

const ownOomScoreAdj = (): number =>
  Number.parseInt(readFileSync('/proc/self/oom_score_adj', 'utf8'), 10);
