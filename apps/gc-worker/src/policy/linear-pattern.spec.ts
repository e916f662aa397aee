import fc from 'fast-check';
import { LinearPattern, PatternSyntaxError } from './linear-pattern';

describe('LinearPattern', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox:1.36', true],
    ['^busybox', 'docker.io/library/busybox:1.36', false],
    ['^busybox:1\\.\\d+$', 'busybox:1.36', true],
    ['^busybox:1\\.\\d+$', 'busybox:1.36-musl', false],
    ['^(quay|ghcr)\\.io/base/', 'ghcr.io/base/os:1', true],
    ['^(?:quay|ghcr)\\.io/base/', 'docker.io/base/os:1', false],
    [':v[0-9]{1,2}\\.[^.]+$', 'x:v12.rc1', true],
    [':v[0-9]{1,2}\\.[^.]+$', 'x:v123.rc1', false],
    ['a{2,}', 'a', false],
    ['a{2,}', 'baaab', true],
    ['a{0}b', 'b', true],
    ['[]x]', ']', true],
    ['[^]x]', ']', false],
    ['[a-]', '-', true],
    ['[\\d_]', '7', true],
    ['\\D', '7', false],
    ['x{', 'x{', true],
    ['', '', true],
    ['^$', 'a', false],
    ['a||b', 'c', true],
    ['(a*)*$', 'aab', true],
    ['a+?b', 'aab', true],
    ['.', '\n', false],
    ['[^a]', '\n', true],
    ['ä{2}', 'xää', true],
  ])('%s in %s: %s', (pattern, text, isFound) => {
    expect(new LinearPattern(pattern).test(text)).toBe(isFound);
  });

  const part: fc.Arbitrary<string> = fc.letrec<{ pattern: string; atom: string }>((tie) => ({
    atom: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom('a', 'b', 'c', '.', '[ab]', '[^b]', '[a-c]', '\\d', '^', '$'),
      tie('pattern').map((inner) => `(${inner})`),
    ),
    pattern: fc
      .array(
        fc.tuple(tie('atom'), fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{1,3}', '|')),
        { maxLength: 4 },
      )
      .map((parts) =>
        parts
          .map(([atom, count]) => (atom === '^' || atom === '$' ? atom : `${atom}${count}`))
          .join(''),
      ),
  })).pattern;

  it('matches as RegExp does', () => {
    fc.assert(
      fc.property(
        part,
        fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1'), maxLength: 8 }),
        (pattern, text) => {
          let mine: LinearPattern;
          try {
            mine = new LinearPattern(pattern);
          } catch (error) {
            expect((error as Error).message).toMatch(/steps/);
            return;
          }
          expect([pattern, text, mine.test(text)]).toEqual([
            pattern,
            text,
            new RegExp(pattern).test(text),
          ]);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it.each([
    '(a*)*b',
    '(a|a)*b',
    '(a+)+$',
    'a?'.repeat(60) + 'a'.repeat(60) + 'b',
    '(.*)(.*)(.*)(.*)x',
  ])('takes time by its length and that of the text: %s', (pattern) => {
    const begin = performance.now();
    expect(new LinearPattern(pattern).test(`${'a'.repeat(5000)}c`)).toBe(false);
    expect(performance.now() - begin).toBeLessThan(5000);
  });

  it.each([
    ['(?=a)', '"(?=": looks around, names and flags are not known; only (…) and (?:…)'],
    ['(?i)a', '"(?i": looks around, names and flags are not known; only (…) and (?:…)'],
    ['(a)\\1', '"\\1": only \\d, \\w, \\s and their opposites are known'],
    ['\\bword', '"\\b": only \\d, \\w, \\s and their opposites are known'],
    ['(a', 'a "(" without ")"'],
    ['a)', 'a ")" without "("'],
    ['[a', 'a "[" without "]"'],
    ['[z-a]', 'a range in "[…]" that does not rise, from "z"'],
    ['[\\D]', 'an opposite such as \\D inside "[…]"'],
    ['*a', 'a "*" with nothing to repeat'],
    ['a**', 'a repetition "*" of a repetition'],
    ['a{3}{3}', 'a repetition "{" of a repetition'],
    ['a{3,2}', '"{3,2}" ends before it begins'],
    ['a{1000}', '"{1000}" repeats more than 256 times'],
    ['(a{50}){50}', 'it takes more than 256 steps, repetitions written out'],
    ['a\\', 'a "\\" at its end'],
    ['('.repeat(33) + ')'.repeat(33), 'more than 32 groups in each other'],
    ['a'.repeat(513), 'it is longer than 512 characters'],
  ])('refuses %s', (pattern, message) => {
    expect(() => new LinearPattern(pattern)).toThrow(new PatternSyntaxError(message));
  });

  it('is compiled at once, however often nothing is repeated', () => {
    let pattern = '';
    for (let depth = 0; depth < 30; depth += 1) pattern = `(${pattern}){200}`;
    expect(new LinearPattern(pattern).test('')).toBe(true);
  });

  it.each([
    ['ab', true],
    ['a$b', false],
    ['a^b', false],
    ['^a|x y', true],
    ['x y', false],
    ['[^ab]', false],
    ['$', true],
    ['(a|^)b$', true],
  ])('can match a text of a and b: %s %s', (pattern, can) => {
    expect(new LinearPattern(pattern).canMatch('ab')).toBe(can);
  });
});
