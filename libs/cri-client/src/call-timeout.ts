import type { MethodRule } from './method-rules';

/**
 * Milliseconds a call may take; `undefined` for no limit. It is the rule's limit (else the base), or the caller's when
 * that is shorter; for the calls where kubelet says so the caller's takes its place.
 */
export function callTimeoutMs<Methods, Request, Response>(
  rule: MethodRule<Methods, Request, Response>,
  request: Request,
  baseMs: number,
  callerMs: number | undefined,
): number | undefined {
  if (callerMs !== undefined && rule.callerTimeoutReplaces === true) return callerMs;
  const own = rule.timeoutMs === undefined ? baseMs : rule.timeoutMs(request, baseMs);
  if (own === undefined || callerMs === undefined) return own ?? callerMs;
  return Math.min(own, callerMs);
}
