import type { ConformanceAdapter, ConformanceOutcome } from '@stowage/conformance';
import { familiarMatch, familiarString } from '../../libs/image-ref/src/familiar';
import { parseOutcome, type ReferenceCase } from './image-ref-parse.conformance';
import {
  isDigestOnly,
  normalizeReference,
  parseAnyReference,
  parsePullReference,
} from '../../libs/image-ref/src/normalize-reference';
import { referenceToString } from '../../libs/image-ref/src/print-reference';

interface ValidityCase extends ReferenceCase {
  readonly valid: boolean;
}

interface AnyReferenceCase extends ReferenceCase {
  readonly digest_only?: boolean;
}

interface MatchCase extends ReferenceCase {
  readonly pattern: string;
  readonly match?: boolean;
}

const normalized = (testCase: ReferenceCase): ConformanceOutcome =>
  parseOutcome(testCase, () => {
    const reference = normalizeReference(testCase.in);
    const { domain, path, tag = '', digest = '' } = reference;
    return {
      domain,
      path,
      tag,
      digest,
      full: referenceToString(reference),
      familiar: familiarString(reference),
    };
  });

export const conformance: ConformanceAdapter = {
  file: 'image-ref-normalize',
  sections: {
    validity: (testCase: ValidityCase) =>
      normalized(testCase.valid ? testCase : { ...testCase, error: testCase.error ?? true }),
    normalize: normalized,
    split_domain: normalized,
    any_reference: (testCase: AnyReferenceCase) => {
      const { want, digest_only } = testCase;
      return parseOutcome({ ...testCase, want: { text: want, digest_only } }, () => {
        const reference = parseAnyReference(testCase.in);
        return {
          text: referenceToString(reference),
          digest_only: digest_only == null ? undefined : isDigestOnly(reference),
        };
      });
    },
    docker_ref_drops_tag_if_digest: (testCase: ReferenceCase) =>
      parseOutcome(testCase, () => referenceToString(parsePullReference(testCase.in))),
    familiar_match: (testCase: MatchCase) =>
      parseOutcome({ ...testCase, want: testCase.match }, () =>
        familiarMatch(testCase.pattern, parseAnyReference(testCase.in)),
      ),
    tag_and_digest: normalized,
    normalize_derived: normalized,
  },
};
