import fc from 'fast-check';
import { scanReference } from './grammar';
import {
  applyDefaultTag,
  type DigestReference,
  familiarMatch,
  familiarName,
  familiarString,
  type ImageReference,
  ImageReferenceError,
  isDigestOnly,
  isHexIdentifier,
  matchPath,
  normalizeReference,
  parseAnyReference,
  parseCanonicalReference,
  parseDigest,
  parseImageName,
  parsePullReference,
  parseReference,
  parseRepositoryName,
  referenceToString,
  repositoryName,
  trimTagAndDigest,
} from './index';

const hex = (length: number): string => 'abc0'.repeat(length).slice(0, length);
const sha256 = `sha256:${hex(64)}`;
const sha512 = `sha512:${hex(128)}`;

const thrownBy = (run: () => unknown): ImageReferenceError => {
  try {
    run();
  } catch (error) {
    if (error instanceof ImageReferenceError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('parseReference', () => {
  it.each<[string, ImageReference]>([
    ['nginx', { domain: '', path: 'nginx' }],
    ['reg:5000/a/b:v1', { domain: 'reg:5000', path: 'a/b', tag: 'v1' }],
    [`REG.io/a@${sha512}`, { domain: 'REG.io', path: 'a', digest: sha512 }],
    [`[::1]:5000/a:v@${sha256}`, { domain: '[::1]:5000', path: 'a', tag: 'v', digest: sha256 }],
    ['foo_bar/x', { domain: '', path: 'foo_bar/x' }],
    ['a--b.c__d/x', { domain: '', path: 'a--b.c__d/x' }],
  ])('%s', (text, parsed) => {
    expect(parseReference(text)).toEqual(parsed);
  });

  it.each([
    [
      '',
      'REFERENCE_NAME_EMPTY',
      'repository name must have at least one component',
      'a reference is not empty',
    ],
    [
      'a//b',
      'REFERENCE_BAD_FORMAT',
      'invalid reference format',
      'no component of the name may be empty',
    ],
    [
      ':tag',
      'REFERENCE_BAD_FORMAT',
      'invalid reference format',
      'a reference begins with a repository name',
    ],
    [
      'a/b\nc',
      'REFERENCE_BAD_FORMAT',
      'invalid reference format',
      'path component "b\\nc" is not groups of a-z 0-9 separated by one ".", one or two "_", or "-"',
    ],
    [
      'a_.b/c',
      'REFERENCE_BAD_FORMAT',
      'invalid reference format',
      '"a_.b" is neither a host with an optional port nor a path component',
    ],
    [
      'a:.b',
      'REFERENCE_BAD_FORMAT',
      'invalid reference format',
      'tag ".b" is not 1 to 128 of A-Z a-z 0-9 _ . - that do not start with "." or "-"',
    ],
    [
      'a@sha256:ab',
      'REFERENCE_BAD_FORMAT',
      'invalid reference format',
      'digest "sha256:ab" is not an algorithm, ":" and at least 32 hexadecimal digits',
    ],
    [
      'a/B',
      'REFERENCE_NAME_UPPERCASE',
      'repository name must be lowercase',
      'upper case is allowed in the host, the tag and the digest, not in the repository path',
    ],
    // Both have an ASCII lower case: a homoglyph of "k", and the Turkish dotted I.
    [
      'a/\u212a',
      'REFERENCE_NAME_UPPERCASE',
      'repository name must be lowercase',
      'upper case is allowed in the host, the tag and the digest, not in the repository path',
    ],
    [
      'a/\u0130',
      'REFERENCE_NAME_UPPERCASE',
      'repository name must be lowercase',
      'upper case is allowed in the host, the tag and the digest, not in the repository path',
    ],
    [
      'a/\u0430',
      'REFERENCE_BAD_FORMAT',
      'invalid reference format',
      'path component "\u0430" is not groups of a-z 0-9 separated by one ".", one or two "_", or "-"',
    ],
    [
      `x.io/${'a'.repeat(256)}`,
      'REFERENCE_NAME_TOO_LONG',
      'repository name must not be more than 255 characters',
      'the repository path has 256 characters, at most 255 are allowed',
    ],
    [
      `a@sha256:${hex(63)}`,
      'REFERENCE_DIGEST_LENGTH',
      'invalid checksum digest length',
      'a sha256 digest has 64 hexadecimal digits, this one 63',
    ],
    [
      `a@sha256:${hex(64).toUpperCase()}`,
      'REFERENCE_DIGEST_FORMAT',
      'invalid checksum digest format',
      'a sha256 digest is written in 0-9 a-f',
    ],
    [
      `a@md5:${hex(32)}`,
      'REFERENCE_DIGEST_ALGORITHM',
      'unsupported digest algorithm',
      'digest algorithm "md5" is none of sha256, sha384, sha512',
    ],
    [
      `a@SHA256:${hex(64)}`,
      'REFERENCE_DIGEST_FORMAT',
      'invalid checksum digest format',
      `digest "SHA256:${hex(64)}" is not ALGORITHM:HEX in lower case`,
    ],
  ])('refuses %j with %s', (text, code, message, rule) => {
    const error = thrownBy(() => parseReference(text));
    expect(Object.fromEntries(Object.entries(error))).toEqual({
      name: 'ImageReferenceError',
      code,
      reference: text,
      rule,
      grpcStatus: 'INVALID_ARGUMENT',
      retryable: false,
    });
    expect(error.message).toBe(message);
  });

  it('accepts only the digest algorithms it is given', () => {
    const error = thrownBy(() => parseReference(`a@${sha512}`, { digestAlgorithms: ['sha256'] }));
    expect(error.code).toBe('REFERENCE_DIGEST_ALGORITHM');
    expect(error.rule).toBe('digest algorithm "sha512" is none of sha256');
  });
});

describe('parseRepositoryName', () => {
  it('takes a name and nothing more', () => {
    expect(parseRepositoryName('ghcr.io/a/b')).toEqual({ domain: 'ghcr.io', path: 'a/b' });
    expect(thrownBy(() => parseRepositoryName('a:v1')).rule).toBe(
      'a repository name has neither tag nor digest',
    );
    expect(thrownBy(() => parseRepositoryName('A')).code).toBe('REFERENCE_BAD_FORMAT');
    expect(thrownBy(() => parseRepositoryName('a'.repeat(256))).code).toBe(
      'REFERENCE_NAME_TOO_LONG',
    );
  });
});

describe('Docker Hub rewriting', () => {
  it.each([
    ['nginx', 'docker.io/library/nginx', 'nginx'],
    ['team/app:v1', 'docker.io/team/app:v1', 'team/app:v1'],
    ['docker.io/library/a/b', 'docker.io/library/a/b', 'library/a/b'],
    ['index.docker.io/nginx', 'docker.io/library/nginx', 'nginx'],
    ['localhost/x', 'localhost/x', 'localhost/x'],
    ['Host/x', 'Host/x', 'Host/x'],
    [`reg:1/x:v@${sha256}`, `reg:1/x:v@${sha256}`, `reg:1/x:v@${sha256}`],
  ])('%s is %s, in short %s', (text, full, familiar) => {
    const reference = normalizeReference(text);
    expect(referenceToString(reference)).toBe(full);
    expect(familiarString(reference)).toBe(familiar);
  });

  it.each([
    [
      hex(64),
      'REFERENCE_NAME_HEX64',
      `invalid repository name (${hex(64)}), cannot specify 64-byte hexadecimal strings`,
    ],
    [
      'reg.io/A:v1',
      'REFERENCE_NAME_UPPERCASE',
      'invalid reference format: repository name (A) must be lowercase',
    ],
    ['', 'REFERENCE_BAD_FORMAT', 'invalid reference format'],
    ['../etc/passwd', 'REFERENCE_BAD_FORMAT', 'invalid reference format'],
    ['reg.io/a%2fb', 'REFERENCE_BAD_FORMAT', 'invalid reference format'],
  ])('refuses %j with %s', (text, code, message) => {
    const error = thrownBy(() => normalizeReference(text));
    expect(error).toMatchObject({ code, message, reference: text });
  });

  it('says what the canonical form would be', () => {
    expect(thrownBy(() => parseCanonicalReference('nginx'))).toMatchObject({
      code: 'REFERENCE_NAME_NOT_CANONICAL',
      message: 'repository name must be canonical',
      rule: 'the full form is "docker.io/library/nginx"',
    });
  });

  it('takes a digest, a hexadecimal id and a name where any reference will do', () => {
    expect(parseAnyReference(sha512)).toEqual({ digest: sha512 });
    expect(parseAnyReference(hex(64))).toEqual({ digest: sha256 });
    expect(referenceToString(parseAnyReference('nginx'))).toBe('docker.io/library/nginx');
    expect(isDigestOnly(parseAnyReference(sha512))).toBe(true);
    expect(isDigestOnly(parseAnyReference('nginx'))).toBe(false);
  });

  it('pulls by digest alone, else by tag', () => {
    expect(referenceToString(parsePullReference('nginx'))).toBe('docker.io/library/nginx:latest');
    expect(referenceToString(parsePullReference(`nginx:1@${sha256}`))).toBe(
      `docker.io/library/nginx@${sha256}`,
    );
  });
});

describe('the image string of a container', () => {
  it('gets the tag latest only where it has neither tag nor digest', () => {
    expect(parseImageName('nginx')).toEqual({
      repository: 'docker.io/library/nginx',
      tag: 'latest',
      digest: '',
    });
    expect(parseImageName(`r.io/a@${sha256}`)).toEqual({
      repository: 'r.io/a',
      tag: '',
      digest: sha256,
    });
    expect(applyDefaultTag('reg:5000/x')).toBe('reg:5000/x:latest');
    expect(applyDefaultTag(`x:v@${sha256}`)).toBe(`x:v@${sha256}`);
    expect(trimTagAndDigest(`x:v@${sha256}`)).toBe('x');
  });

  it.each([
    ['as it is', 'a b', `couldn't parse image name "a b": invalid reference format`],
    [
      'control characters as escapes',
      '\u0000\u001b"\\\t',
      `couldn't parse image name "\\x00\\x1b\\"\\\\\\t": invalid reference format`,
    ],
    [
      'what cannot be printed as escapes',
      '\u00ad\u{e0001}é',
      `couldn't parse image name "\\u00ad\\U000e0001é": invalid reference format`,
    ],
    [
      'half a surrogate pair as the replacement character',
      '\ud800',
      `couldn't parse image name "\\ufffd": invalid reference format`,
    ],
    [
      'a long one cut',
      ':'.repeat(4096),
      `couldn't parse image name "${':'.repeat(1024)}" (the first 1024 of 4096 characters): invalid reference format`,
    ],
  ])('is quoted in the error: %s', (_, image, message) => {
    const error = thrownBy(() => parseImageName(image));
    expect(error.message).toBe(message);
    expect(error.reference).toBe(image);
    expect(error.cause).toBeInstanceOf(ImageReferenceError);
  });
});

describe('matchPath', () => {
  it.each<[string, string, boolean]>([
    ['', '', true],
    ['*', '', true],
    ['*', 'a/b', false],
    ['a*', 'abc', true],
    ['a*c*e', 'abcde', true],
    ['a*c', 'abcd', false],
    ['a*/b', 'a/c/b', false],
    ['a/**/b', 'a/x/b', true],
    ['a/**/b', 'a/x/y/b', false],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['[a-c]', 'b', true],
    ['[^a-c]', 'b', false],
    ['[^a-c]', '/', true],
    ['[]a]', ']', false],
    ['[\\]a]', ']', true],
    ['[\\-]', '-', true],
    ['[x\\-]', '-', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['??', '\u{1f600}x', true],
  ])('%s against %s: %s', (pattern, text, matches) => {
    if (pattern === '[]a]') {
      expect(() => matchPath(pattern, text)).toThrow('"]" in a class needs a "\\" before it');
    } else {
      expect(matchPath(pattern, text)).toBe(matches);
    }
  });

  it.each([
    ['[', 'a class has no "]"'],
    ['[^', 'a class has no "]"'],
    ['[a', 'a class has no "]"'],
    ['[a-', 'a class has no "]"'],
    ['[a-]', '"]" in a class needs a "\\" before it'],
    ['[-x]', '"-" in a class needs a "\\" before it'],
    ['x\\', 'nothing follows the last "\\"'],
    ['[\\', 'a class has no "]"'],
  ])('cannot read %s: %s', (pattern, reason) => {
    expect(() => matchPath(pattern, 'no match')).toThrow(reason);
    const error = thrownBy(() => familiarMatch(pattern, normalizeReference('nginx')));
    expect(error).toMatchObject({
      code: 'REFERENCE_BAD_PATTERN',
      message: 'syntax error in pattern',
      reference: pattern,
    });
  });

  it('matches the familiar form with and without the tag, and a lone digest', () => {
    const reference = normalizeReference('team/app:v1');
    expect(familiarMatch('team/*', reference)).toBe(true);
    expect(familiarMatch('team/app:v?', reference)).toBe(true);
    expect(familiarMatch('team/app:v2', reference)).toBe(false);
    expect(familiarMatch('sha256:*', { digest: sha256 })).toBe(true);
    expect(familiarMatch('x', { digest: sha256 })).toBe(false);
  });
});

describe('properties', () => {
  const unit = (chars: string) => fc.constantFrom(...chars.split(''));
  const chars = (alphabet: string, minLength: number, maxLength: number) =>
    fc.string({ unit: unit(alphabet), minLength, maxLength });
  const lower = 'abcxyz0189';
  const label = fc
    .tuple(chars(`ABZ${lower}`, 1, 2), chars(`-ABZ${lower}`, 0, 3), chars(`ABZ${lower}`, 1, 2))
    .map((parts) => parts.join(''));
  const host = fc.oneof(
    fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.')),
    chars('0189afAF:', 1, 12).map((inner) => `[${inner}]`),
  );
  const domain = fc
    .tuple(host, fc.option(chars('0123456789', 1, 6)))
    .map(([name, port]) => (port == null ? name : `${name}:${port}`));
  const component = fc
    .tuple(
      chars(lower, 1, 4),
      fc.array(
        fc
          .tuple(fc.constantFrom('.', '_', '__', '-', '--', '-----'), chars(lower, 1, 3))
          .map((parts) => parts.join('')),
        { maxLength: 3 },
      ),
    )
    .map(([first, rest]) => first + rest.join(''));
  const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((list) => list.join('/'));
  const tag = fc
    .tuple(chars(`_ABZ${lower}`, 1, 1), chars(`_.-ABZ${lower}`, 0, 127))
    .map((parts) => parts.join(''));
  const digest = fc
    .constantFrom<[string, number]>(['sha256', 64], ['sha384', 96], ['sha512', 128])
    .chain(([name, length]) =>
      chars('0123456789abcdef', length, length).map((digits) => `${name}:${digits}`),
    );
  const validReference = fc
    .tuple(fc.option(domain), path, fc.option(tag), fc.option(digest))
    .map(
      ([host_, path_, tag_, digest_]) =>
        (host_ == null ? '' : `${host_}/`) +
        path_ +
        (tag_ == null ? '' : `:${tag_}`) +
        (digest_ == null ? '' : `@${digest_}`),
    );
  /** Random text, text of grammar characters, and valid references with one character changed. */
  const anyText = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: unit('aA0.-_/:@[]%sh256 \u0130') }),
    fc
      .tuple(validReference, fc.nat(), fc.string({ unit: 'binary', maxLength: 2 }))
      .map(([text, at, change]) => {
        const position = at % (text.length + 1);
        return text.slice(0, position) + change + text.slice(position + 1);
      }),
    validReference,
  );
  const parsers: Record<string, (text: string) => ImageReference | DigestReference> = {
    parseReference,
    parseRepositoryName,
    normalizeReference,
    parseCanonicalReference,
    parsePullReference,
    parseAnyReference,
  };
  const others: Record<string, (text: string) => unknown> = {
    parseDigest,
    parseImageName,
    applyDefaultTag,
    trimTagAndDigest,
    isHexIdentifier,
    familiarMatch: (text) => familiarMatch(text, normalizeReference('nginx')),
  };

  it('every valid reference parses and prints as it was', () => {
    fc.assert(
      fc.property(validReference, (text) => {
        expect(referenceToString(parseReference(text))).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  it.each(Object.entries(parsers))('%s: parse, print, parse is the identity', (_, parse) => {
    fc.assert(
      fc.property(anyText, (text) => {
        let first;
        try {
          first = parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(ImageReferenceError);
          return;
        }
        expect(parse(referenceToString(first))).toEqual(first);
      }),
      { numRuns: 2000 },
    );
  });

  it('agrees with the grammar written as regular expressions', () => {
    const hostName = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
    const hostPart = `(?:${hostName}(?:\\.${hostName})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
    const pathPart = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
    const tagPart = '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}';
    const digestPart = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}';
    const whole = new RegExp(
      `^(?:(${hostPart})/)?(${pathPart}(?:/${pathPart})*)(?::(${tagPart}))?(?:@(${digestPart}))?$`,
    );
    fc.assert(
      fc.property(anyText, (text) => {
        const match = whole.exec(text);
        const parts = scanReference(text);
        expect(parts && [parts.domain, parts.path, parts.tag, parts.digest]).toEqual(
          match?.slice(1).map((part: string | undefined) => part ?? ''),
        );
      }),
      { numRuns: 5000 },
    );
  });

  it('a normalised reference is canonical, and its familiar form means the same', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        let reference;
        try {
          reference = normalizeReference(text);
        } catch {
          return;
        }
        expect(parseCanonicalReference(referenceToString(reference))).toEqual(reference);
        const familiar = familiarName(reference);
        if (isHexIdentifier(familiar)) return; // the one familiar form that reads as an id
        // `docker.io/a.b/c` is valid, and its short form `a.b/c` another registry's name.
        if (reference.domain === 'docker.io' && /^[^/]*[.:][^/]*\/|^localhost\//.test(familiar))
          return;
        expect(normalizeReference(familiarString(reference))).toEqual(reference);
      }),
      { numRuns: 2000 },
    );
  });

  it('the default tag is added once and the trimmed name is what was typed', () => {
    fc.assert(
      fc.property(validReference, (text) => {
        let tagged;
        try {
          tagged = applyDefaultTag(text);
        } catch {
          return;
        }
        expect(applyDefaultTag(tagged)).toBe(tagged);
        expect(tagged.startsWith(text)).toBe(true);
        expect(trimTagAndDigest(tagged)).toBe(repositoryName(parseReference(text)));
      }),
    );
  });

  it.each([...Object.entries(parsers), ...Object.entries(others)])(
    '%s throws nothing but ImageReferenceError',
    (_, run) => {
      fc.assert(
        fc.property(anyText, (text) => {
          try {
            run(text);
          } catch (error) {
            expect(error).toBeInstanceOf(ImageReferenceError);
            expect((error as ImageReferenceError).rule).not.toBe('');
          }
        }),
        { numRuns: 2000 },
      );
    },
  );

  describe('hostile input of 1 MiB', () => {
    const size = 1 << 20;
    const filled = (part: string) => part.repeat(Math.ceil(size / part.length));
    const hostile: [string, string][] = [
      ['one letter', filled('a')],
      ['components', `${filled('a/')}a`],
      ['a slash at the end', filled('a/')],
      ['labels', `${filled('a.')}a/x`],
      ['labels without a path', filled('a.')],
      ['dashes', `a${filled('-')}`],
      ['dashes in a path', `x/a${filled('-')}b`],
      ['underscores', `a${filled('_')}`],
      ['upper case', filled('A/')],
      ['lower case but for the end', `${filled('a/')}A`],
      ['a bracket', `[${filled(':')}`],
      ['a bracketed host', `[${filled(':')}]:5000/a`],
      ['a port', `a:${filled('1')}/b`],
      ['a tag', `a:${filled('b')}`],
      ['tags', filled(':a')],
      ['digests', filled('@a')],
      ['a digest', `a@sha256:${filled('a')}`],
      ['a digest algorithm', `a@${filled('a+')}:${hex(32)}`],
      ['a lone digest', `sha256:${filled('a')}`],
      ['control characters', filled('\u0000')],
      ['surrogates', filled('\ud800')],
      ['dotted capital I', filled('\u0130')],
      ['quotes', filled('"')],
    ];
    // A scan that reads each character a fixed number of times takes some milliseconds; one that is
    // quadratic, minutes.
    const boundMs = 10_000;

    it.each(hostile)('%s: is read in linear time and its errors stay short', (_, text) => {
      for (const run of [...Object.values(parsers), ...Object.values(others)]) {
        const start = performance.now();
        try {
          run(text);
        } catch (error) {
          expect(error).toBeInstanceOf(ImageReferenceError);
          const { message, rule } = error as ImageReferenceError;
          expect(message.length + rule.length).toBeLessThan(32 * 1024);
        }
        expect(performance.now() - start).toBeLessThan(boundMs);
      }
    });
  });
});
