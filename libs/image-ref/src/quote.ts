import { withoutUserInfo } from './user-info';

/**
 * Longest part of an input that a message repeats, in UTF-16 units. Longer ones are cut and their
 * length is given.
 */
const maxShown = 1024;

const escapes = new Map([
  ['\u0007', '\\a'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\v', '\\v'],
  ['"', '\\"'],
  ['\\', '\\\\'],
]);

const printable = /^[ \p{L}\p{M}\p{N}\p{P}\p{S}]$/u;

/**
 * Double-quoted with everything unprintable escaped, the way kubelet's messages (Go's `%q`) show an
 * image name. User information is left out.
 */
export function quote(given: string): string {
  const text = withoutUserInfo(given);
  let quoted = '"';
  for (const char of text.slice(0, maxShown)) {
    quoted += escapes.get(char) ?? (printable.test(char) ? char : escaped(char));
  }
  return `${quoted}"${cutNote(text)}`;
}

/** As it is but for user information, cut when long. */
export function shown(given: string): string {
  const text = withoutUserInfo(given);
  return text.slice(0, maxShown) + cutNote(text);
}

const cutNote = (text: string): string =>
  text.length > maxShown ? ` (the first ${maxShown} of ${text.length} characters)` : '';

function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code >= 0xd800 && code <= 0xdfff) return '\\ufffd';
  if (code < 0x20 || code === 0x7f) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0');
