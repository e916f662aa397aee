/** A pattern that cannot be read; the message says why. */
export class BadPatternError extends Error {
  override readonly name = 'BadPatternError';
}

/**
 * What one position of a pattern matches: any run, any one character, one of a class, or exactly
 * this one.
 */
type Token =
  | { readonly kind: 'run' }
  | { readonly kind: 'any' }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly Range[] }
  | { readonly kind: 'char'; readonly char: string };

interface Range {
  readonly low: number;
  readonly high: number;
}

/**
 * Shell-style match of a whole text, with the rules of Go's `path.Match`: `*` is any run of
 * characters but `/`, `?` any one character but `/`, `[a-z]` and `[^a-z]` one character of a class
 * (which may be `/`), `\` takes the next character as it is. Steps are bounded by pattern length
 * times text length. Throws BadPatternError, also when the text would not match anyway.
 */
export function matchPath(pattern: string, text: string): boolean {
  const tokens = readPattern(pattern);
  const chars = Array.from(text);
  let tokenAt = 0;
  let charAt = 0;
  /**
   * Where to go on when the tokens after the last run do not fit: let that run take one character
   * more.
   */
  let retry: { tokenAt: number; charAt: number } | undefined;
  for (;;) {
    const token = tokens[tokenAt];
    const char = chars[charAt];
    if (token?.kind === 'run') {
      tokenAt++;
      retry = { tokenAt, charAt };
    } else if (token != null && char != null && matchesOne(token, char)) {
      tokenAt++;
      charAt++;
    } else if (token == null && char == null) {
      return true;
    } else {
      const taken = retry == null ? undefined : chars[retry.charAt];
      if (retry == null || taken == null || taken === '/') return false;
      retry.charAt++;
      tokenAt = retry.tokenAt;
      charAt = retry.charAt;
    }
  }
}

function matchesOne(token: Exclude<Token, { kind: 'run' }>, char: string): boolean {
  switch (token.kind) {
    case 'any':
      return char !== '/';
    case 'char':
      return char === token.char;
    case 'class': {
      const code = codeOf(char);
      return token.ranges.some(({ low, high }) => low <= code && code <= high) !== token.negated;
    }
  }
}

function readPattern(pattern: string): Token[] {
  const chars = Array.from(pattern);
  const tokens: Token[] = [];
  let at = 0;
  while (at < chars.length) {
    const char = chars[at++];
    if (char === '*') {
      if (tokens.at(-1)?.kind !== 'run') tokens.push({ kind: 'run' });
    } else if (char === '?') {
      tokens.push({ kind: 'any' });
    } else if (char === '[') {
      const { token, end } = readClass(chars, at);
      tokens.push(token);
      at = end;
    } else {
      const taken = char === '\\' ? chars[at++] : char;
      if (taken == null) throw new BadPatternError('nothing follows the last "\\"');
      tokens.push({ kind: 'char', char: taken });
    }
  }
  return tokens;
}

/** Reads a class from after its `[` on. */
function readClass(chars: readonly string[], start: number): { token: Token; end: number } {
  const negated = chars[start] === '^';
  const ranges: Range[] = [];
  let at = negated ? start + 1 : start;
  const one = (): number => {
    let char = chars[at++];
    if (char === '-' || char === ']') {
      throw new BadPatternError(`"${char}" in a class needs a "\\" before it`);
    }
    if (char === '\\') char = chars[at++];
    if (char == null || at >= chars.length) throw new BadPatternError('a class has no "]"');
    return codeOf(char);
  };
  while (chars[at] !== ']' || ranges.length === 0) {
    const low = one();
    if (chars[at] === '-') {
      at++;
      ranges.push({ low, high: one() });
    } else {
      ranges.push({ low, high: low });
    }
  }
  return { token: { kind: 'class', negated, ranges }, end: at + 1 };
}

const codeOf = (char: string): number => char.codePointAt(0) ?? 0;
