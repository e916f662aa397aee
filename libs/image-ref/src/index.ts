export {
  idBeginning,
  imageKeys,
  namesImage,
  referenceKey,
  writtenNames,
  type ListedNames,
} from './compare-references';
export { digestAlgorithms, parseDigest } from './digest';
export { familiarMatch, familiarName, familiarString } from './familiar';
export { isHexIdentifier } from './grammar';
export { applyDefaultTag, parseImageName, trimTagAndDigest } from './image-name';
export { ImageReferenceError, type ImageReferenceErrorCode } from './image-reference-error';
export { BadPatternError, matchPath } from './match-path';
export {
  isDigestOnly,
  isShortName,
  normalizeReference,
  parseAnyReference,
  parseCanonicalReference,
  parsePullReference,
} from './normalize-reference';
export { parseReference, parseRepositoryName } from './parse-reference';
export { referenceToString, repositoryName } from './print-reference';
export type {
  DigestAlgorithm,
  DigestReference,
  ImageName,
  ImageReference,
  ParseOptions,
} from './types';
export { withoutUserInfo } from './user-info';
