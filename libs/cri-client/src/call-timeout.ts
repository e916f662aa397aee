import type { MethodRule } from './method-rules';

/** A hundred years: gRPC cannot carry every number of seconds that a request can name. */
const longestMs = 100 * 365 * 86_400_000;

/**
 * Milliseconds a call may take; `undefined` for no limit. It is the rule's limit (else the base),
 * or the caller's when that is shorter; for some calls, as in kubelet, the caller's limit replaces
 * it. More than a hundred years is no limit.
 */
export function callTimeoutMs<Methods, Request, Response>(
  rule: MethodRule<Methods, Request, Response>,
  request: Request,
  baseMs: number,
  callerMs: number | undefined,
): number | undefined {
  const own = rule.timeoutMs === undefined ? baseMs : rule.timeoutMs(request, baseMs);
  const isReplaced = callerMs !== undefined && rule.callerTimeoutReplaces === true;
  const limitMs = isReplaced ? callerMs : Math.min(own ?? Infinity, callerMs ?? Infinity);
  return limitMs > longestMs ? undefined : limitMs;
}
