import type { FindingId } from './finding';

/** The first that fits, else the last. */
const firstOf = (
  reason: string,
  rules: readonly (readonly [RegExp, FindingId])[],
  otherwise: FindingId,
): FindingId => rules.find(([pattern]) => pattern.test(reason))?.[1] ?? otherwise;

/** What it means that a service does not reach its runtime, by the system's words. */
export const runtimeProblem = (reason: string): FindingId =>
  firstOf(
    reason,
    [
      [/does not serve the CRI/, 'runtime-without-cri'],
      [/ENOENT|no such file/i, 'runtime-socket-missing'],
      [/EACCES|EPERM|permission denied/i, 'runtime-permission'],
      [/ECONNREFUSED|connection refused/i, 'runtime-stale-socket'],
    ],
    'runtime-down',
  );

/** What is wrong with the state folder; undefined when the reason is not about it. */
export function stateProblem(reason: string): FindingId | undefined {
  if (!/cannot be (written|opened|made|used)|state (file|folder)/.test(reason)) return undefined;
  return firstOf(
    reason,
    [
      [/ENOSPC|EDQUOT|disk is full|database or disk is full|no space/i, 'state-full'],
      [/EROFS|read-?only/i, 'state-read-only'],
      [/in use/, 'state-in-use'],
    ],
    'state-unusable',
  );
}

/** What it means that events do not reach NATS. */
export const natsProblem = (reason: string): FindingId =>
  firstOf(
    reason,
    [
      [/stream .*does not exist/, 'stream-missing'],
      [/permissions violation|does not let|may not/i, 'nats-permission'],
      [/authorization|authentication|credential|nkey/i, 'nats-login'],
      [/JetStream is not enabled/, 'nats-no-jetstream'],
      [/stream|JetStream/, 'stream-unfit'],
    ],
    'nats-away',
  );
