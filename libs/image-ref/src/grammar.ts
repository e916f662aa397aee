import { quote } from './quote';

/*
 * The reference grammar of the distribution project, as scanners that read each character a fixed
 * number of times:
 *
 *   reference       name [":" tag] ["@" digest]
 *   name            [domain "/"] path
 *   domain          (host-name | "[" hex and ":" "]") [":" digits]
 *   host-name       label ("." label)*           label: letters, digits, inner "-"
 *   path            component ("/" component)*
 *   component       run (separator run)*         run: a-z 0-9
 *   separator       "." "_" "__" or any number of "-"
 *   tag             1 to 128 of A-Z a-z 0-9 _ . -, not starting with "." or "-"
 *   digest          algorithm ":" 32 or more hexadecimal digits
 *
 * The parts can be cut apart first because "@" stands only before the digest, a "/" only in the name,
 * and a ":" after the last "/" only before the tag.
 */

/** A reference in parts, by grammar alone: lengths and digest algorithms are not looked at. */
export interface ReferenceParts {
  readonly domain: string;
  readonly path: string;
  readonly tag: string;
  readonly digest: string;
}

/** Domain (may be empty) and path of a name. */
export interface NameParts {
  readonly domain: string;
  readonly path: string;
}

const maxTagLength = 128;
const minDigestHexLength = 32;
const identifierLength = 64;

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;
const isLower = (code: number): boolean => code >= 0x61 && code <= 0x7a;
const isUpper = (code: number): boolean => code >= 0x41 && code <= 0x5a;
const isLetter = (code: number): boolean => isLower(code) || isUpper(code);
const isPathChar = (code: number): boolean => isLower(code) || isDigit(code);
const isHostChar = (code: number): boolean => isLetter(code) || isDigit(code);
const isLowerHex = (code: number): boolean => isDigit(code) || (code >= 0x61 && code <= 0x66);
const isHex = (code: number): boolean => isLowerHex(code) || (code >= 0x41 && code <= 0x46);

const dash = 0x2d;
const dot = 0x2e;
const slashCode = 0x2f;
const colon = 0x3a;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const underscore = 0x5f;
const plus = 0x2b;
const equals = 0x3d;

/** Splits a reference by the grammar; undefined when it does not match. */
export function scanReference(text: string): ReferenceParts | undefined {
  const at = text.indexOf('@');
  const tagEnd = at < 0 ? text.length : at;
  const nameEnd = endOfName(text, tagEnd);
  if (at >= 0 && !isReferenceDigest(text, at + 1)) return undefined;
  if (nameEnd < tagEnd && !isTag(text, nameEnd + 1, tagEnd)) return undefined;
  const pathStart = startOfPath(text, nameEnd);
  if (pathStart < 0) return undefined;
  return {
    domain: text.slice(0, Math.max(pathStart - 1, 0)),
    path: text.slice(pathStart, nameEnd),
    tag: text.slice(nameEnd + 1, Math.max(tagEnd, nameEnd + 1)),
    digest: at < 0 ? '' : text.slice(at + 1),
  };
}

/** Splits a name (no tag, no digest) by the grammar; undefined when it does not match. */
export function scanName(name: string): NameParts | undefined {
  const pathStart = startOfPath(name, name.length);
  if (pathStart < 0) return undefined;
  return { domain: name.slice(0, Math.max(pathStart - 1, 0)), path: name.slice(pathStart) };
}

/** Position of the colon before the tag, or `end` when there is none. */
function endOfName(text: string, end: number): number {
  const tagAt = text.indexOf(':', text.lastIndexOf('/', end) + 1);
  return tagAt < 0 || tagAt > end ? end : tagAt;
}

/**
 * Where the path of a name begins: 0, after the slash that follows a domain, or -1 when the name
 * matches neither.
 */
function startOfPath(text: string, end: number): number {
  const slash = text.indexOf('/');
  if (slash >= 0 && slash < end && isDomain(text, slash)) {
    return isPath(text, slash + 1, end) ? slash + 1 : -1;
  }
  return isPath(text, 0, end) ? 0 : -1;
}

/** True for a host with an optional port: `ghcr.io`, `reg:5000`, `[::1]:5000`. */
export function isDomain(text: string, end = text.length): boolean {
  const portAt =
    text.charCodeAt(0) === openBracket ? endOfBracket(text, end) : endOfHostName(text, end);
  if (portAt < 0) return false;
  if (portAt === end) return true;
  if (text.charCodeAt(portAt) !== colon || portAt + 1 === end) return false;
  for (let at = portAt + 1; at < end; at++) {
    if (!isDigit(text.charCodeAt(at))) return false;
  }
  return true;
}

/** Position after `[` hex digits and colons `]`, or -1. */
function endOfBracket(text: string, end: number): number {
  let at = 1;
  while (at < end && (isHex(text.charCodeAt(at)) || text.charCodeAt(at) === colon)) at++;
  return at > 1 && at < end && text.charCodeAt(at) === closeBracket ? at + 1 : -1;
}

/** Position after dot-separated labels, or -1. */
function endOfHostName(text: string, end: number): number {
  let at = 0;
  for (;;) {
    if (at >= end || !isHostChar(text.charCodeAt(at))) return -1;
    at++;
    while (at < end && (isHostChar(text.charCodeAt(at)) || text.charCodeAt(at) === dash)) at++;
    if (text.charCodeAt(at - 1) === dash) return -1;
    if (at >= end || text.charCodeAt(at) !== dot) return at;
    at++;
  }
}

/** True when `text` from `start` to `end` is a repository path of any length. */
export function isPath(text: string, start: number, end: number): boolean {
  let at = start;
  for (;;) {
    at = endOfComponent(text, at);
    if (at < 0 || at > end) return false;
    if (at === end) return true;
    if (text.charCodeAt(at) !== slashCode) return false;
    at++;
  }
}

/**
 * Position of the first character that does not belong to the path component at `start`, or -1 when
 * there is none.
 */
function endOfComponent(text: string, start: number): number {
  let at = start;
  for (;;) {
    const runStart = at;
    while (isPathChar(text.charCodeAt(at))) at++;
    if (at === runStart) return -1;
    const separator = text.charCodeAt(at);
    if (separator === dot) at++;
    else if (separator === underscore) at += text.charCodeAt(at + 1) === underscore ? 2 : 1;
    else if (separator === dash) while (text.charCodeAt(at) === dash) at++;
    else return at;
  }
}

/** True when `text` from `start` to `end` is a tag. */
function isTag(text: string, start: number, end: number): boolean {
  if (start === end || end - start > maxTagLength) return false;
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (isHostChar(code) || code === underscore) continue;
    if (at === start || (code !== dot && code !== dash)) return false;
  }
  return true;
}

/**
 * True when `text` from `start` on is a digest as it may stand in a reference, whether the
 * algorithm exists or not.
 */
function isReferenceDigest(text: string, start: number): boolean {
  const separator = text.indexOf(':', start);
  if (separator < 0 || text.length - separator - 1 < minDigestHexLength) return false;
  let startsPart = true;
  for (let at = start; at < separator; at++) {
    const code = text.charCodeAt(at);
    if (isLetter(code)) startsPart = false;
    else if (startsPart) return false;
    else if (code === dash || code === underscore || code === plus || code === dot)
      startsPart = true;
    else if (!isDigit(code)) return false;
  }
  if (startsPart) return false;
  for (let at = separator + 1; at < text.length; at++) {
    if (!isHex(text.charCodeAt(at))) return false;
  }
  return true;
}

/**
 * A digest by the OCI grammar: lower-case algorithm, and letters, digits, `=`, `_`, `-` after the
 * colon. Distinguished from isReferenceDigest because an unknown algorithm is "unsupported" only
 * when its digest is well-formed by this one.
 */
export function isOciDigest(text: string): boolean {
  const separator = text.indexOf(':');
  let startsPart = true;
  for (let at = 0; at < separator; at++) {
    const code = text.charCodeAt(at);
    if (isPathChar(code)) startsPart = false;
    else if (startsPart) return false;
    else if (code === dash || code === underscore || code === plus || code === dot)
      startsPart = true;
    else return false;
  }
  if (startsPart || separator + 1 === text.length) return false;
  for (let at = separator + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (!isHostChar(code) && code !== equals && code !== underscore && code !== dash) return false;
  }
  return true;
}

/**
 * True for 64 lower-case hexadecimal digits, which Docker takes for an image id, never for a name.
 */
export function isHexIdentifier(text: string): boolean {
  return text.length === identifierLength && isLowerHexText(text, 0);
}

/** True when all characters from `start` on are lower-case hexadecimal digits. */
export function isLowerHexText(text: string, start: number): boolean {
  for (let at = start; at < text.length; at++) {
    if (!isLowerHex(text.charCodeAt(at))) return false;
  }
  return true;
}

/**
 * Lower case of every character by itself, as Go does it. JavaScript agrees but for U+0130, which
 * it maps to two characters; that one and U+212A are the non-ASCII characters whose lower case is
 * ASCII.
 */
export function lowerCase(text: string): string {
  return text.replaceAll('\u0130', 'i').toLowerCase();
}

/** True when lowerCase would change the text. */
export function hasUpperCase(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) return lowerCase(text) !== text;
    if (isUpper(code)) return true;
  }
  return false;
}

/** One sentence about the first rule that a text which scanReference refused breaks. */
export function brokenRule(text: string): string {
  const at = text.indexOf('@');
  const tagEnd = at < 0 ? text.length : at;
  const nameEnd = endOfName(text, tagEnd);
  if (nameEnd === 0) return 'a reference begins with a repository name';
  for (let start = 0; start <= nameEnd;) {
    const slash = text.indexOf('/', start);
    const end = slash < 0 || slash > nameEnd ? nameEnd : slash;
    if (end === start) return 'no component of the name may be empty';
    if (!isPath(text, start, end)) {
      const component = quote(text.slice(start, end));
      const mayBeDomain = start === 0 && end < nameEnd;
      if (!mayBeDomain) {
        return `path component ${component} is not groups of a-z 0-9 separated by one ".", one or two "_", or "-"`;
      }
      if (!isDomain(text, end)) {
        return `${component} is neither a host with an optional port nor a path component`;
      }
    }
    start = end + 1;
  }
  if (nameEnd < tagEnd && !isTag(text, nameEnd + 1, tagEnd)) {
    const tag = quote(text.slice(nameEnd + 1, tagEnd));
    return `tag ${tag} is not 1 to ${maxTagLength} of A-Z a-z 0-9 _ . - that do not start with "." or "-"`;
  }
  const digest = quote(text.slice(tagEnd + 1));
  return `digest ${digest} is not an algorithm, ":" and at least ${minDigestHexLength} hexadecimal digits`;
}
