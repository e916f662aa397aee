/** A regular expression that cannot be used; the message says why, for the one who wrote it. */
export class PatternSyntaxError extends Error {
  override readonly name = 'PatternSyntaxError';
}

/** Longest expression, in UTF-16 code units. */
const maxPatternLength = 512;

/**
 * Most steps of a compiled expression; each character of a text is looked at once by each. `x{3}`
 * counts as three.
 */
const maxSteps = 256;

/** Code points from `low` to `high`. */
type Range = readonly [low: number, high: number];

/** What one character must be. */
interface CharacterSet {
  readonly ranges: readonly Range[];
  readonly isNegated: boolean;
}

type Node =
  | { readonly kind: 'empty' | 'begin' | 'end' }
  | { readonly kind: 'set'; readonly set: CharacterSet }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Node[] }
  | { readonly kind: 'repeat'; readonly of: Node; readonly min: number; readonly max: number };

/** A step of the compiled expression, with where it goes on. */
type Step =
  | { readonly kind: 'set'; readonly set: CharacterSet; readonly next: number }
  | { readonly kind: 'begin' | 'end'; readonly next: number }
  | { kind: 'fork'; ways: readonly number[] }
  | { readonly kind: 'match' };

/**
 * A regular expression that is matched in time bounded by its size times the length of the text:
 * all ways through it are followed at once, none is gone back to. It knows characters, `.`, classes
 * (`[a-z]`, `[^/]`, `\d`, `\w`, `\s` and their opposites), groups, `|`, `*`, `+`, `?`, `{n,m}`, `^`
 * and `$`. What needs more (references back, looks around, word boundaries) is refused.
 */
export class LinearPattern {
  readonly #steps: Step[] = [];
  readonly #start: number;

  /** Throws PatternSyntaxError when it cannot be used. */
  constructor(source: string) {
    if (source.length > maxPatternLength) {
      throw new PatternSyntaxError(`it is longer than ${maxPatternLength} characters`);
    }
    const node = new Parser(source).parse();
    this.#start = this.#compile(node, this.#add({ kind: 'match' }));
  }

  /** Whether it matches anywhere in the text, as `RegExp.test` does. */
  test(text: string): boolean {
    const characters = Array.from(text, (character) => character.codePointAt(0) ?? 0);
    let current = new Set<number>();
    for (let at = 0; at <= characters.length; at += 1) {
      const edges = { isBegin: at === 0, isEnd: at === characters.length };
      // It may begin at every character.
      if (this.#follow(this.#start, edges, current)) return true;
      const code = characters[at];
      if (code === undefined) return false;
      const next = new Set<number>();
      const nextEdges = { isBegin: false, isEnd: at + 1 === characters.length };
      for (const index of current) {
        const step = this.#steps[index];
        if (step?.kind !== 'set' || !isIn(code, step.set)) continue;
        if (this.#follow(step.next, nextEdges, next)) return true;
      }
      current = next;
    }
    return false;
  }

  /** Whether any text of these characters alone matches. */
  canMatch(characters: string): boolean {
    const codes = Array.from(characters, (character) => character.codePointAt(0) ?? 0);
    // Where a text ends is open, so each step is tried both ways.
    const reached = new Set<number>();
    const isReached = (start: number, isBegin: boolean): boolean =>
      this.#follow(start, { isBegin, isEnd: true }, new Set()) ||
      this.#follow(start, { isBegin, isEnd: false }, reached);
    // Characters before the match are possible, so it may begin at the begin of the text and later.
    if (isReached(this.#start, true) || isReached(this.#start, false)) return true;
    for (const index of reached) {
      const step = this.#steps[index];
      if (step?.kind !== 'set' || !codes.some((code) => isIn(code, step.set))) continue;
      if (isReached(step.next, false)) return true;
    }
    return false;
  }

  /** Adds the steps that are reached without a character; true when the match is one of them. */
  #follow(
    start: number,
    edges: { readonly isBegin: boolean; readonly isEnd: boolean },
    into: Set<number>,
  ): boolean {
    const open = [start];
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (into.has(index)) continue;
      into.add(index);
      const step = this.#steps[index];
      if (step === undefined) continue;
      if (step.kind === 'match') return true;
      if (step.kind === 'fork') open.push(...step.ways);
      const isPassed =
        (step.kind === 'begin' && edges.isBegin) || (step.kind === 'end' && edges.isEnd);
      if (isPassed) open.push(step.next);
    }
    return false;
  }

  #add(step: Step): number {
    if (this.#steps.length >= maxSteps) {
      throw new PatternSyntaxError(`it takes more than ${maxSteps} steps, repetitions written out`);
    }
    return this.#steps.push(step) - 1;
  }

  /** Compiles a part that goes on at `next`; the step where it begins. */
  #compile(node: Node, next: number): number {
    switch (node.kind) {
      case 'empty':
        return next;
      case 'begin':
      case 'end':
        return this.#add({ kind: node.kind, next });
      case 'set':
        return this.#add({ kind: 'set', set: node.set, next });
      case 'all':
        return node.of.reduceRight((then, part) => this.#compile(part, then), next);
      case 'any':
        return this.#add({ kind: 'fork', ways: node.of.map((way) => this.#compile(way, next)) });
      case 'repeat':
        return this.#repeat(node.of, node.min, node.max, next);
    }
  }

  #repeat(of: Node, min: number, max: number, next: number): number {
    let then = next;
    if (max === Infinity) {
      const loop: Step = { kind: 'fork', ways: [] };
      then = this.#add(loop);
      loop.ways = [this.#compile(of, then), next];
    } else {
      for (let count = min; count < max; count += 1) {
        then = this.#add({ kind: 'fork', ways: [this.#compile(of, then), next] });
      }
    }
    for (let count = 0; count < min; count += 1) {
      const begin = this.#compile(of, then);
      // Nothing, however often, is nothing.
      if (begin === then) break;
      then = begin;
    }
    return then;
  }
}

const isIn = (code: number, { ranges, isNegated }: CharacterSet): boolean =>
  ranges.some(([low, high]) => code >= low && code <= high) !== isNegated;

const range = (low: string, high: string): Range => [
  low.codePointAt(0) ?? 0,
  high.codePointAt(0) ?? 0,
];
const only = (character: string): CharacterSet => ({
  ranges: [range(character, character)],
  isNegated: false,
});

const anyCharacter: CharacterSet = { ranges: [range('\n', '\n')], isNegated: true };
const classes: Readonly<Record<string, readonly Range[]>> = {
  d: [range('0', '9')],
  w: [range('0', '9'), range('A', 'Z'), range('a', 'z'), range('_', '_')],
  s: [range('\t', '\r'), range(' ', ' ')],
};

/** Most that `{n,m}` may ask for; more would not fit anyway. */
const maxRepeats = maxSteps;

/** Deepest groups in groups. */
const maxDepth = 32;

/** Reads an expression; recursion is bounded by {@link maxDepth}. */
class Parser {
  readonly #characters: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#characters = Array.from(source);
  }

  parse(): Node {
    const node = this.#alternatives();
    if (this.#peek() !== undefined) throw new PatternSyntaxError('a ")" without "("');
    return node;
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #takes(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at += 1;
    return true;
  }

  #alternatives(): Node {
    const ways = [this.#sequence()];
    while (this.#takes('|')) ways.push(this.#sequence());
    return ways.length === 1 ? (ways[0] ?? { kind: 'empty' }) : { kind: 'any', of: ways };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')';) {
      parts.push(this.#repeated(this.#atom()));
      next = this.#peek();
    }
    return { kind: 'all', of: parts };
  }

  #repeated(node: Node): Node {
    const counts = this.#counts();
    if (counts === undefined) return node;
    // Shortest or longest makes no difference to whether there is a match.
    this.#takes('?');
    const more = this.#peek();
    if (more === '*' || more === '+' || more === '?' || this.#isCounts()) {
      throw new PatternSyntaxError(`a repetition "${more ?? ''}" of a repetition`);
    }
    return { kind: 'repeat', of: node, ...counts };
  }

  #counts(): { min: number; max: number } | undefined {
    if (this.#takes('*')) return { min: 0, max: Infinity };
    if (this.#takes('+')) return { min: 1, max: Infinity };
    if (this.#takes('?')) return { min: 0, max: 1 };
    const braces = this.#isCounts();
    if (braces === undefined) return undefined;
    this.#at += Array.from(braces[0]).length;
    const min = Number(braces[1]);
    const max = braces[2] === undefined ? min : braces[3] === '' ? Infinity : Number(braces[3]);
    if (max < min) throw new PatternSyntaxError(`"${braces[0]}" ends before it begins`);
    if (min > maxRepeats || (max !== Infinity && max > maxRepeats)) {
      throw new PatternSyntaxError(`"${braces[0]}" repeats more than ${maxRepeats} times`);
    }
    return { min, max };
  }

  /** `{n}`, `{n,}` or `{n,m}`, if it stands here. */
  #isCounts(): RegExpExecArray | undefined {
    if (this.#peek() !== '{') return undefined;
    const rest = this.#characters.slice(this.#at, this.#at + 16).join('');
    return /^\{(\d{1,5})(,(\d{0,5}))?\}/.exec(rest) ?? undefined;
  }

  #atom(): Node {
    const character = this.#characters[this.#at] ?? '';
    this.#at += 1;
    switch (character) {
      case '.':
        return { kind: 'set', set: anyCharacter };
      case '^':
        return { kind: 'begin' };
      case '$':
        return { kind: 'end' };
      case '(':
        return this.#group();
      case '[':
        return { kind: 'set', set: this.#class() };
      case '\\':
        return { kind: 'set', set: this.#escape() };
      case '*':
      case '+':
      case '?':
        throw new PatternSyntaxError(`a "${character}" with nothing to repeat`);
      default:
        return { kind: 'set', set: only(character) };
    }
  }

  #group(): Node {
    this.#depth += 1;
    if (this.#depth > maxDepth) {
      throw new PatternSyntaxError(`more than ${maxDepth} groups in each other`);
    }
    if (this.#takes('?') && !this.#takes(':')) {
      throw new PatternSyntaxError(
        `"(?${this.#peek() ?? ''}": looks around, names and flags are not known; only (…) and (?:…)`,
      );
    }
    const node = this.#alternatives();
    if (!this.#takes(')')) throw new PatternSyntaxError('a "(" without ")"');
    this.#depth -= 1;
    return node;
  }

  #escape(): CharacterSet {
    const character = this.#peek();
    if (character === undefined) throw new PatternSyntaxError('a "\\" at its end');
    this.#at += 1;
    const ranges = classes[character.toLowerCase()];
    if (ranges !== undefined) {
      return { ranges, isNegated: character !== character.toLowerCase() };
    }
    if (/[A-Za-z0-9]/.test(character)) {
      throw new PatternSyntaxError(
        `"\\${character}": only \\d, \\w, \\s and their opposites are known`,
      );
    }
    return only(character);
  }

  #class(): CharacterSet {
    const isNegated = this.#takes('^');
    const ranges: Range[] = [];
    // A "]" that comes first is a character.
    for (let isFirst = true; isFirst || this.#peek() !== ']'; isFirst = false) {
      if (this.#peek() === undefined) throw new PatternSyntaxError('a "[" without "]"');
      const low = this.#member();
      if (typeof low !== 'string') {
        ranges.push(...low);
        continue;
      }
      const isRange = this.#peek() === '-' && this.#characters[this.#at + 1] !== ']';
      if (!isRange) {
        ranges.push(range(low, low));
        continue;
      }
      this.#at += 1;
      if (this.#peek() === undefined) throw new PatternSyntaxError('a "[" without "]"');
      const high = this.#member();
      if (typeof high !== 'string' || high < low) {
        throw new PatternSyntaxError(`a range in "[…]" that does not rise, from "${low}"`);
      }
      ranges.push(range(low, high));
    }
    this.#at += 1;
    return { ranges, isNegated };
  }

  /** A character of a class, or the ranges of one inside it. */
  #member(): string | readonly Range[] {
    const character = this.#characters[this.#at] ?? '';
    this.#at += 1;
    if (character !== '\\') return character;
    const { ranges, isNegated } = this.#escape();
    if (isNegated) throw new PatternSyntaxError('an opposite such as \\D inside "[…]"');
    const [[low, high] = [0, 0]] = ranges;
    return ranges.length === 1 && low === high ? String.fromCodePoint(low) : ranges;
  }
}
