const redacted = '[redacted]';

/**
 * What may stand after an "@" in a reference: a digest. Those that are cut or mistyped count too,
 * so that errors can show them.
 */
const digest =
  /^@(?:[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}|(?:sha\d+|md5):[^/]*)$/;

/**
 * A text that was given as an image reference, without what must not be repeated:
 * `https://user:password@host/x` is `https://[redacted]@host/x`. Cuts what stands before the last
 * "@" that no digest follows, whatever characters it has (also percent-encoded), and the values of
 * a query. A valid reference stays as it is; what was cut is none, and does not become one.
 */
export function withoutUserInfo(text: string): string {
  if (!/[@?]|%40/i.test(text)) return text;
  const queryAt = text.indexOf('?');
  const hasQuery = queryAt >= 0 && text.includes('=', queryAt);
  return hasQuery ? `${withoutUser(text.slice(0, queryAt))}?${redacted}` : withoutUser(text);
}

/** Whether {@link withoutUserInfo} would cut something. */
export const hasUserInfo = (text: string): boolean => withoutUserInfo(text) !== text;

function withoutUser(text: string): string {
  let end = text.length;
  let at = text.lastIndexOf('@');
  while (at >= 0 && digest.test(text.slice(at, end))) {
    end = at;
    at = at === 0 ? -1 : text.lastIndexOf('@', at - 1);
  }
  const name = text.slice(0, end);
  at = Math.max(at, name.toLowerCase().lastIndexOf('%40'));
  if (at < 0) return text;
  const scheme = name.indexOf('://');
  const start = scheme < 0 || scheme > at ? 0 : scheme + 3;
  const host = name.slice(at).replace(/^(?:@|%40)/i, '');
  // nginx@latest is a slip, not a secret: what follows is no host.
  if (start === 0 && !/[./:]|%2f|^localhost$/i.test(host)) return text;
  return text.slice(0, start) + redacted + text.slice(at);
}
