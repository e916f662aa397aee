import type { ConformanceAdapter, ConformanceCase, ConformanceOutcome } from '@stowage/conformance';
import { digestAlgorithms } from './digest';
import { isDomain, isHexIdentifier, scanName, scanReference } from './grammar';
import { applyDefaultTag, parseImageName, trimTagAndDigest } from './image-name';
import { ImageReferenceError, type ImageReferenceErrorCode } from './image-reference-error';
import { parseCanonicalReference } from './normalize-reference';
import { parseReference, parseRepositoryName } from './parse-reference';
import { repositoryName } from './print-reference';
import type { ParseOptions } from './types';

/** A case that wants either a value or an error; `error_full` and `error_contains` are texts. */
export interface ReferenceCase extends ConformanceCase {
  readonly in: string;
  readonly want?: unknown;
  /** An error code of the vector file, `other:<text>`, or true for any error. */
  readonly error?: string | boolean;
  readonly error_full?: string;
  readonly error_contains?: string;
}

interface GrammarCase extends ConformanceCase {
  readonly in: string;
  readonly rule: string;
  readonly match: boolean;
  readonly domain?: string;
  readonly path?: string;
  readonly name?: string;
  readonly tag?: string;
  readonly digest?: string;
}

const vectorCodes: Readonly<Partial<Record<ImageReferenceErrorCode, string>>> = {
  REFERENCE_NAME_EMPTY: 'name-empty',
  REFERENCE_BAD_FORMAT: 'bad-format',
  REFERENCE_DIGEST_LENGTH: 'digest-length',
  REFERENCE_DIGEST_ALGORITHM: 'digest-algo',
  REFERENCE_NAME_UPPERCASE: 'uppercase',
  REFERENCE_NAME_TOO_LONG: 'too-long',
  REFERENCE_NAME_NOT_CANONICAL: 'not-canonical',
  REFERENCE_NAME_HEX64: 'hex64',
};

/**
 * Compares what `parse` returns or throws with what the case wants, in the fields that the case
 * names.
 */
export function parseOutcome(testCase: ReferenceCase, parse: () => unknown): ConformanceOutcome {
  const { want, error, error_full, error_contains } = testCase;
  const isErrorWanted = error != null || error_full != null || error_contains != null;
  const wanted = isErrorWanted ? { error, error_full, error_contains } : { value: want };
  let value: unknown;
  try {
    value = parse();
  } catch (thrown) {
    if (!(thrown instanceof ImageReferenceError)) throw thrown;
    const { code, message } = thrown;
    const vectorCode = vectorCodes[code] ?? `other:${message}`;
    const got = {
      error: error == null ? undefined : error === true ? true : vectorCode,
      error_full: error_full == null ? undefined : message,
      error_contains:
        error_contains != null && message.includes(error_contains) ? error_contains : undefined,
    };
    return { want: wanted, got: isErrorWanted ? got : { error: vectorCode, text: message } };
  }
  return { want: wanted, got: { value: pickLike(want, value) } };
}

/** The fields of `value` that `want` has too; `value` itself where there are no fields. */
export function pickLike(want: unknown, value: unknown): unknown {
  if (typeof want !== 'object' || want == null) return value;
  if (typeof value !== 'object' || value == null) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => key in want));
}

/**
 * The upstream test binary of `strict_parse` registers SHA-256 only, so its cases that want
 * "unsupported algorithm" for another one are run that way; all else with kubelet's three
 * algorithms.
 */
const strictOptions = ({ error }: ReferenceCase): ParseOptions => ({
  digestAlgorithms: error === 'digest-algo' ? ['sha256'] : digestAlgorithms,
});

const strictParse = (testCase: ReferenceCase, options: ParseOptions): ConformanceOutcome =>
  parseOutcome(testCase, () => {
    const parsed = parseReference(testCase.in, options);
    const { domain, tag = '', digest = '' } = parsed;
    return { domain, name: repositoryName(parsed), tag, digest };
  });

const grammarRules: Readonly<Record<string, (text: string) => object | undefined>> = {
  'domain-with-port': (text) => (isDomain(text) ? {} : undefined),
  name: scanName,
  reference: (text) => {
    const parts = scanReference(text);
    return parts && { ...parts, name: repositoryName(parts) };
  },
  'hex64-identifier': (text) => (isHexIdentifier(text) ? {} : undefined),
};

export const conformance: ConformanceAdapter = {
  file: 'image-ref-parse',
  sections: {
    strict_parse: (testCase: ReferenceCase) => strictParse(testCase, strictOptions(testCase)),
    strict_parse_derived: (testCase: ReferenceCase) => strictParse(testCase, {}),
    canonical_only: (testCase: ReferenceCase) =>
      parseOutcome(testCase, () => parseCanonicalReference(testCase.in)),
    name_only: (testCase: ReferenceCase) =>
      parseOutcome(testCase, () => parseRepositoryName(testCase.in)),
    grammar: (testCase: GrammarCase) => {
      const { rule, match, domain, path, name, tag, digest } = testCase;
      const scan = grammarRules[rule];
      if (scan == null) throw new Error(`no scanner for rule ${rule}`);
      const want = { match, domain, path, name, tag, digest };
      const parts = scan(testCase.in);
      const wantedKeys = Object.entries(want).filter(([, value]) => value != null);
      return {
        want,
        got: pickLike(Object.fromEntries(wantedKeys), { ...parts, match: parts != null }),
      };
    },
    kubelet_split: (testCase: ReferenceCase) =>
      parseOutcome(testCase, () => {
        const { repository, tag, digest } = parseImageName(testCase.in);
        return { repo: repository, tag, digest };
      }),
    default_tag: (testCase: ReferenceCase) =>
      parseOutcome(testCase, () => applyDefaultTag(testCase.in)),
    strip_tag_and_digest: (testCase: ReferenceCase) =>
      parseOutcome(testCase, () => trimTagAndDigest(testCase.in)),
  },
};
