/**
 * Texts in the form that Go prints them, since kubelet's messages are compared and searched for as
 * they are.
 */

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
