/** Texts in the form that Go prints them, since kubelet's messages are compared and searched for as they are. */

const escapes: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
};

/** A string in double quotes as Go's `%q` prints it. */
export function quoteGo(text: string): string {
  const quoted = Array.from(text, (character) => {
    const escaped = escapes[character];
    if (escaped !== undefined) return escaped;
    if (/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character)) return character;
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) return `\\x${point.toString(16).padStart(2, '0')}`;
    return point > 0xffff
      ? `\\U${point.toString(16).padStart(8, '0')}`
      : `\\u${point.toString(16).padStart(4, '0')}`;
  });
  return `"${quoted.join('')}"`;
}

/** A whole number of seconds as Go prints a duration: `0s`, `3s`, `1m30s`, `2h0m0s`. */
export function goDuration(seconds: bigint): string {
  const sign = seconds < 0n ? '-' : '';
  const total = seconds < 0n ? -seconds : seconds;
  const [hours, minutes, rest] = [total / 3600n, (total / 60n) % 60n, total % 60n];
  if (hours > 0n) return `${sign}${String(hours)}h${String(minutes)}m${String(rest)}s`;
  if (minutes > 0n) return `${sign}${String(minutes)}m${String(rest)}s`;
  return `${sign}${String(rest)}s`;
}
