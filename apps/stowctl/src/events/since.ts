import { parseSpan } from '@stowage/status-view';
import type { GivenFlags } from '../command-line/define';
import { UsageError } from '../failures';

/** `--since` as a time: a span before now, or a time as RFC 3339 writes it. */
export function sinceFlag(flags: GivenFlags, now: Date): Date | undefined {
  const text = flags.text('since');
  if (text === undefined) return undefined;
  const spanMs = parseSpan(text);
  if (spanMs !== undefined) return new Date(now.getTime() - spanMs);
  const time = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new UsageError(
      `--since ${JSON.stringify(text)} is neither a time span nor a time`,
      'write it as 30m, 2d or 2026-11-20T22:12:00Z',
    );
  }
  return new Date(time);
}
