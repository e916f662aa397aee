import { idBeginning, isHexIdentifier, normalizeReference, referenceKey } from '@stowage/image-ref';
import picomatch from 'picomatch';
import { LinearPattern, PatternSyntaxError } from './linear-pattern';

/** Names of one image, as patterns look at them. */
export interface PatternNames {
  /** Its id, with `sha256:`. */
  readonly id: string;
  /** Keys of its names; see `imageKeys`. */
  readonly keys: ReadonlySet<string>;
  /** Every way to write its names. */
  readonly written: readonly string[];
}

type NameMatch = (names: PatternNames) => boolean;

/** What names of images are written with, digests and the `<none>` of runtimes among them. */
const nameCharacters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:@+=<>[]';

/** How other tools mark regular expressions and globs; nothing here is written so. */
const foreignMark = /^(?:regexp?|re|glob|pattern)[:=]/i;

const asExpression = (text: string): string =>
  `; a regular expression is written as /…/, for example /${text}/`;

/** The expression of a pattern `/…/`; undefined for every other. */
const expressionOf = (pattern: string): string | undefined =>
  pattern.length > 2 && pattern.startsWith('/') && pattern.endsWith('/')
    ? pattern.slice(1, -1)
    : undefined;

/**
 * Why no image can ever be meant by a pattern; undefined where one can. Only what is certain is
 * refused: a pattern that no image of this node has is none of it.
 */
export function exemptPatternProblem(pattern: string): string | undefined {
  if (pattern === '') return 'it is empty';
  const expression = expressionOf(pattern);
  if (expression !== undefined) return expressionProblem(expression);
  const mark = foreignMark.exec(pattern)?.[0];
  if (mark !== undefined) {
    return `"${mark}" is no part of a reference${asExpression(pattern.slice(mark.length))}`;
  }
  return isReference(pattern) ? undefined : globProblem(pattern);
}

function expressionProblem(expression: string): string | undefined {
  try {
    const isPossible = new LinearPattern(expression).canMatch(nameCharacters);
    return isPossible ? undefined : 'no reference can match it';
  } catch (error) {
    if (error instanceof PatternSyntaxError) return error.message;
    throw error;
  }
}

/** A reference, an id or a digest, or the beginning of one, without wildcards. */
function isReference(pattern: string): boolean {
  if (idBeginning(pattern) !== undefined || isHexIdentifier(pattern)) return true;
  if (referenceKey(pattern) !== pattern) return true;
  try {
    normalizeReference(pattern);
    return true;
  } catch {
    return false;
  }
}

const wildcards = /[*?[{(]/;

function globProblem(pattern: string): string | undefined {
  if (pattern.includes('<none>')) return undefined;
  const unpaired = unpairedBracket(pattern);
  if (unpaired !== undefined) return unpaired;
  const literals = withoutClasses(pattern);
  const strange = strangeCharacter(literals);
  if (strange !== undefined) {
    return `no reference has "${strange}"${asExpression(pattern.replaceAll('/', '\\/'))}`;
  }
  if (!wildcards.test(pattern)) return 'it is no reference, image id or digest';
  if (literals.includes('//')) return 'no reference has "//"';
  if (/@[^{},|()]*@/.test(literals)) return 'a reference has one "@"';
  const first = literals.at(0) ?? '';
  if (/[/:@._+=-]/.test(first)) return `no reference begins with "${first}"`;
  const last = literals.at(-1) ?? '';
  if (/[/:@._+=-]/.test(last)) return `no reference ends with "${last}"`;
  return undefined;
}

/** A character that a name has not and that means nothing to a glob where it stands. */
function strangeCharacter(literals: string): string | undefined {
  let depth = 0;
  for (const character of literals) {
    if (character === '{' || character === '(') depth += 1;
    else if (character === '}' || character === ')') depth -= 1;
    else if (depth > 0 && /[,|]/.test(character)) continue;
    else if (!/[*?]/.test(character) && !nameCharacters.includes(character)) return character;
  }
  return undefined;
}

const brackets: Readonly<Record<string, string>> = { '[': ']', '{': '}', '(': ')' };

function unpairedBracket(pattern: string): string | undefined {
  const open: string[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at] ?? '';
    if (character === '\\') at += 1;
    else if (open.at(-1) === '[') {
      if (character === ']') open.pop();
    } else if (character in brackets) open.push(character);
    else if (Object.values(brackets).includes(character)) {
      const opening = open.pop();
      if (opening === undefined || brackets[opening] !== character) {
        return `a "${character}" without its opening bracket`;
      }
    }
  }
  const [left] = open;
  return left === undefined ? undefined : `a "${left}" without "${brackets[left] ?? ''}"`;
}

/**
 * The pattern with one letter for each `[…]`, what is escaped as itself, and groups without what
 * says how often (`@(a|b)`, `!(a)`).
 */
const withoutClasses = (pattern: string): string =>
  pattern
    .replaceAll(/\\(.)/gs, '$1')
    .replaceAll(/\[[^\]]*\]/g, 'x')
    .replaceAll(/[@!+*?]\(/g, '(');

/**
 * Compiles a pattern: `/…/` is a regular expression, matched anywhere in a name; all else a
 * reference, id or digest, or a glob over them. Throws PatternSyntaxError for an expression that
 * cannot be used.
 */
export function nameMatch(pattern: string): NameMatch {
  const expression = expressionOf(pattern);
  if (expression !== undefined) {
    const compiled = new LinearPattern(expression);
    return ({ written }) => written.some((name) => compiled.test(name));
  }
  const key = referenceKey(pattern);
  if (pattern.endsWith(`@${key}`)) return ({ keys }) => keys.has(key);
  const beginning = idBeginning(pattern);
  const globs = asListed(pattern).map(glob);
  return (names) =>
    names.keys.has(key) ||
    (beginning !== undefined && names.id.startsWith(beginning)) ||
    names.written.some((name) => globs.some((matches) => matches(name)));
}

/** Matches texts with a glob: `*` stays within a path component, `**` crosses them. */
export const glob = (pattern: string) => picomatch(pattern, { dot: true, nonegate: true });

/**
 * A glob as runtimes list names: Docker Hub by one name only, and no tag beside a digest. The glob
 * as it was written counts as well.
 */
function asListed(pattern: string): string[] {
  const listed = pattern
    .replace(/^index\.docker\.io\//, 'docker.io/')
    .replaceAll(/:\{[^{}]*\}@/g, '@')
    .replaceAll(/:[^/@:,{}]*@/g, '@');
  return listed === pattern ? [pattern] : [pattern, listed];
}

/**
 * Patterns as a text has them: cut at commas, but not at those inside `{…}` or `[…]`, nor inside
 * `/…/`.
 */
export function splitPatterns(text: string): string[] {
  const patterns: string[] = [];
  let rest = text.trim();
  while (rest !== '') {
    const end = endOfPattern(rest);
    patterns.push(rest.slice(0, end).trim());
    rest = rest.slice(end + 1).trim();
  }
  return patterns.filter((pattern) => pattern !== '');
}

function endOfPattern(text: string): number {
  if (text.startsWith('/')) {
    const closed = /^\/.*?[^\\]\/\s*(?=,|$)/s.exec(text);
    if (closed != null) return closed[0].length;
  }
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '\\') at += 1;
    else if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') depth -= 1;
    else if (character === ',' && depth <= 0) return at;
  }
  // A bracket that never closes is for the check of the one pattern that it is in.
  const comma = text.indexOf(',');
  return depth > 0 && comma >= 0 ? comma : text.length;
}
