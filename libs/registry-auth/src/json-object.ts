/**
 * JSON that does not parse, or a value of another type than wanted. Says nothing of the content,
 * which may be secret.
 */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

/** Message for a value that should be a string. */
export const wantedString = 'wanted a string';

/** A JSON value as its text; a whole text is checked once by `checkedJson`. */
export type JsonText = string;

/** Checks the syntax of a whole text and gives it back without surrounding white space. */
export function checkedJson(text: string): JsonText {
  try {
    JSON.parse(text);
  } catch {
    throw new JsonError(notJson(text));
  }
  return trimmed(text, 0, text.length);
}

/**
 * As `checkedJson`, of the first value in a text; what follows it is not looked at, as by Go's
 * decoder of streams.
 */
export function firstJson(text: string): JsonText {
  const start = /^[ \t\r\n]*/.exec(text)?.[0].length ?? 0;
  const first = text[start] === '{' ? text.slice(start, endOfObject(text, start)) : text;
  return checkedJson(first);
}

/**
 * What a text that JSON.parse refuses is instead, as far as that can be said without its content.
 */
function notJson(text: string): string {
  if (text.trim() === '') return 'it is empty';
  if (text.startsWith('\ufeff')) {
    return 'it begins with a byte order mark (U+FEFF), which JSON does not allow';
  }
  // Read as UTF-8, the mark of UTF-16 is two bytes that are none.
  if (text.startsWith('\ufffd\ufffd') || text.includes('\0')) return 'it is no text in UTF-8';
  const end = endOfObject(text, 0);
  const isFollowed = /^\s*\{/.test(text) && end < text.length && isJson(text.slice(0, end));
  return isFollowed ? 'something follows the JSON object' : 'not JSON';
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Position after the object that begins at `start`; the end of the text when it does not end. */
function endOfObject(text: string, start: number): number {
  let depth = 0;
  let isInString = false;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (isInString) {
      if (char === '\\') at++;
      else if (char === '"') isInString = false;
    } else if (char === '"') isInString = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth === 0) return at + 1;
  }
  return text.length;
}

/**
 * Members of a JSON object in their order, repeated keys included, values as text; undefined for
 * null. (JSON.parse merges repeated keys, but Go decodes each of them in turn.) Throws JsonError
 * for any other type.
 */
export function jsonMembers(json: JsonText): [string, JsonText][] | undefined {
  if (json === 'null') return undefined;
  if (!json.startsWith('{')) throw new JsonError('wanted an object');
  const members: [string, JsonText][] = [];
  let at = 1;
  for (;;) {
    const keyStart = json.indexOf('"', at);
    if (keyStart < 0) return members;
    const keyEnd = endOfString(json, keyStart);
    const valueStart = json.indexOf(':', keyEnd) + 1;
    const valueEnd = endOfValue(json, valueStart);
    members.push([
      jsonString(json.slice(keyStart, keyEnd)) ?? '',
      trimmed(json, valueStart, valueEnd),
    ]);
    if (json[valueEnd] !== ',') return members;
    at = valueEnd + 1;
  }
}

/** A JSON string; undefined for null. Throws JsonError for any other type. */
export function jsonString(json: JsonText): string | undefined {
  if (json === 'null') return undefined;
  if (!json.startsWith('"')) throw new JsonError(wantedString);
  return (JSON.parse(json) as string).replace(/\p{Surrogate}/gu, '\ufffd');
}

/** True when Go takes a member of this key for the struct field of that (lower-case ASCII) name. */
export function isField(key: string, field: string): boolean {
  return key.replaceAll('\u017f', 's').replaceAll('\u212a', 'k').toLowerCase() === field;
}

/** Position after the string that begins at `start`. */
function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Position of the `,` or `}` after the value that begins at or after `start`. */
function endOfValue(json: string, start: number): number {
  let depth = 0;
  let at = start;
  for (;;) {
    const char = json[at];
    if (char === '"') {
      at = endOfString(json, at);
      continue;
    }
    if (depth === 0 && (char === ',' || char === '}' || char == null)) return at;
    if (char === '{' || char === '[') depth++;
    if (char === '}' || char === ']') depth--;
    at++;
  }
}

/**
 * JSON knows four white space characters; String.trim knows more, but a checked text has none of
 * those outside strings.
 */
const trimmed = (text: string, start: number, end: number): string => text.slice(start, end).trim();
