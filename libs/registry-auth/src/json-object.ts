/** JSON that does not parse, or a value of another type than wanted. Says nothing of the content, which may be secret. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

/** A JSON value as its text; a whole text is checked once by `checkedJson`. */
export type JsonText = string;

/** Checks the syntax of a whole text and gives it back without surrounding white space. */
export function checkedJson(text: string): JsonText {
  try {
    JSON.parse(text);
  } catch {
    throw new JsonError('not JSON');
  }
  return trimmed(text, 0, text.length);
}

/**
 * Members of a JSON object in their order, repeated keys included, values as text; undefined for null.
 * (JSON.parse merges repeated keys, but Go decodes each of them in turn.) Throws JsonError for any other type.
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
  if (!json.startsWith('"')) throw new JsonError('wanted a string');
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

/** JSON knows four white space characters; String.trim knows more, but a checked text has none of those outside strings. */
const trimmed = (text: string, start: number, end: number): string => text.slice(start, end).trim();
