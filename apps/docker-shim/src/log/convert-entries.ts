/** What {@link convertEntries} did. */
export interface Converted {
  /** Bytes of the engine's log that are done with: whole lines only. */
  readonly consumed: number;
  /** Bytes of CRI log written. */
  readonly produced: number;
  /** Lines that are no entries of a json-file log. They are left out. */
  readonly malformed: number;
}

const newline = 0x0a;
const space = 0x20;
const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const closingBrace = 0x7d;

/** Every entry begins so: the engine writes its fields in one order. */
const start = Buffer.from('{"log":"');
const timeKey = Buffer.from(',"time":"');
const streamKey = Buffer.from('"stream":"');
/** Both streams' names have this length. */
const streamLength = 6;
/** RFC 3339 with nanoseconds and an offset is the longest time. */
const maxTimeLength = 35;

const stdout = Buffer.from('stdout');
const stderr = Buffer.from('stderr');

/**
 * Converts whole lines of a log as the engine's json-file driver writes it into the CRI's format,
 * `<time> <stream> <P or F> <text>`. The text's bytes stay as they are, but for the newline that
 * ends a full line. No line is parsed as JSON: the engine writes the same fields in the same order,
 * and only text with a backslash needs more than a copy.
 *
 * @param source the engine's log from the beginning of a line on; bytes from `end` on are not read.
 * @param target takes the result, from its beginning on. At least as long as the source: the CRI's
 *   form of an entry is shorter than the engine's.
 */
export function convertEntries(source: Buffer, end: number, target: Buffer): Converted {
  let at = 0;
  let produced = 0;
  let malformed = 0;
  for (;;) {
    const lineEnd = source.indexOf(newline, at);
    if (lineEnd < 0 || lineEnd >= end) return { consumed: at, produced, malformed };
    let next = convertEntry(source, at, lineEnd, target, produced);
    if (next < 0) {
      malformed += 1;
      // An engine that ran out of space may have cut an entry: the next one is in the same line.
      const whole = source.subarray(at, lineEnd).lastIndexOf(start);
      if (whole > 0) next = convertEntry(source, at + whole, lineEnd, target, produced);
    }
    if (next >= 0) produced = next;
    at = lineEnd + 1;
  }
}

/** The end of what was written for an entry, or -1 for what is none. */
function convertEntry(
  source: Buffer,
  from: number,
  to: number,
  target: Buffer,
  at: number,
): number {
  if (!isAt(source, from, start)) return -1;
  // From the end: the time, in front of it the stream, or attributes and then the stream.
  if (source[to - 1] !== closingBrace || source[to - 2] !== quote) return -1;
  const timeEnd = to - 2;
  let timeStart = timeEnd;
  const earliest = Math.max(from, timeEnd - maxTimeLength);
  while (timeStart > earliest && source[timeStart - 1] !== quote) timeStart -= 1;
  const fieldsEnd = timeStart - timeKey.length;
  if (timeStart === timeEnd || !isAt(source, fieldsEnd, timeKey)) return -1;
  const textStart = from + start.length;
  let textEnd = fieldsEnd - 1 - streamLength - streamKey.length - 2;
  if (source[fieldsEnd - 1] !== quote) {
    textEnd = closingQuote(source, textStart, fieldsEnd);
  }
  if (textEnd < textStart || source[textEnd] !== quote || source[textEnd + 1] !== comma) return -1;
  if (!isAt(source, textEnd + 2, streamKey)) return -1;
  const streamAt = textEnd + 2 + streamKey.length;
  const stream = isAt(source, streamAt, stdout) ? stdout : stderr;
  if (stream === stderr && !isAt(source, streamAt, stderr)) return -1;
  if (source[streamAt + streamLength] !== quote) return -1;

  let out = at;
  for (let index = timeStart; index < timeEnd; index += 1) target[out++] = source[index] ?? 0;
  target[out++] = space;
  for (let index = 0; index < streamLength; index += 1) target[out++] = stream[index] ?? 0;
  target[out++] = space;
  const isFull = endsInNewline(source, textStart, textEnd);
  target[out++] = isFull ? 0x46 : 0x50; // F, P
  target[out++] = space;
  out = copyText(source, textStart, isFull ? textEnd - 2 : textEnd, target, out);
  if (out < 0) return -1;
  target[out++] = newline;
  return out;
}

function isAt(source: Buffer, at: number, wanted: Buffer): boolean {
  if (at < 0) return false;
  for (let index = 0; index < wanted.length; index += 1) {
    if (source[at + index] !== wanted[index]) return false;
  }
  return true;
}

/** Where a JSON string ends that begins at `from`; -1 when it does not end before `to`. */
function closingQuote(source: Buffer, from: number, to: number): number {
  for (let index = from; index < to; index += 1) {
    if (source[index] === backslash) index += 1;
    else if (source[index] === quote) return index;
  }
  return -1;
}

/** Whether a JSON string ends in an escaped newline, and not in an escaped backslash and an n. */
function endsInNewline(source: Buffer, from: number, to: number): boolean {
  if (source[to - 1] !== 0x6e) return false;
  let index = to - 2;
  while (index >= from && source[index] === backslash) index -= 1;
  return (to - 2 - index) % 2 === 1;
}

/** Writes the text of a JSON string; the end of what was written, or -1 for what is none. */
function copyText(source: Buffer, from: number, to: number, target: Buffer, at: number): number {
  let out = at;
  for (let index = from; index < to; index += 1) {
    const byte = source[index] ?? 0;
    if (byte === quote) return -1;
    if (byte !== backslash) {
      target[out++] = byte;
      continue;
    }
    index += 1;
    if (index >= to) return -1;
    const escaped = source[index] ?? 0;
    if (escaped !== 0x75) {
      const plain = shortEscapes[escaped];
      if (plain === undefined || plain === 0) return -1;
      target[out++] = plain;
      continue;
    }
    if (index + 4 >= to) return -1;
    let code = hexNumber(source, index + 1);
    if (code < 0) return -1;
    index += 4;
    if (code >= 0xd800 && code <= 0xdfff) {
      const low =
        code < 0xdc00 &&
        index + 6 < to &&
        source[index + 1] === backslash &&
        source[index + 2] === 0x75
          ? hexNumber(source, index + 3)
          : -1;
      if (low >= 0xdc00 && low <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        index += 6;
      } else code = 0xfffd;
    }
    out = writeUtf8(code, target, out);
  }
  return out;
}

/** The byte for the letter after a backslash; 0 for what JSON does not know. */
const shortEscapes = new Uint8Array(256);
for (const [letter, byte] of Object.entries({
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
})) {
  shortEscapes[letter.charCodeAt(0)] = byte.charCodeAt(0);
}

/** The number that four hexadecimal digits are, or -1. */
function hexNumber(source: Buffer, at: number): number {
  let number = 0;
  for (let index = at; index < at + 4; index += 1) {
    const digit = hexDigits[source[index] ?? 0] ?? 0xff;
    if (digit === 0xff) return -1;
    number = number * 16 + digit;
  }
  return number;
}

const hexDigits = new Uint8Array(256).fill(0xff);
for (const [value, digit] of Object.entries('0123456789abcdef')) {
  hexDigits[digit.charCodeAt(0)] = Number(value);
  hexDigits[digit.toUpperCase().charCodeAt(0)] = Number(value);
}

function writeUtf8(code: number, target: Buffer, at: number): number {
  let out = at;
  if (code < 0x80) target[out++] = code;
  else if (code < 0x800) {
    target[out++] = 0xc0 | (code >> 6);
    target[out++] = 0x80 | (code & 0x3f);
  } else if (code < 0x10000) {
    target[out++] = 0xe0 | (code >> 12);
    target[out++] = 0x80 | ((code >> 6) & 0x3f);
    target[out++] = 0x80 | (code & 0x3f);
  } else {
    target[out++] = 0xf0 | (code >> 18);
    target[out++] = 0x80 | ((code >> 12) & 0x3f);
    target[out++] = 0x80 | ((code >> 6) & 0x3f);
    target[out++] = 0x80 | (code & 0x3f);
  }
  return out;
}
