import { errorMessage, StowageError, toGrpcStatus } from '@stowage/errors';
import type { GrpcStatusName } from '@stowage/errors';
import { readPullErrorText } from './pull-error-text';

/** Why a pull failed, as events, metrics and messages say it. A closed set. */
export const pullErrorClasses = [
  'invalid-reference',
  'unauthorized',
  'credentials-unusable',
  'not-found',
  'rate-limited',
  'registry-unavailable',
  'signature-invalid',
  'digest-mismatch',
  'no-space',
  'node-storage',
  'timeout',
  'cancelled',
  'runtime-unavailable',
  'unknown',
] as const;

/** One of {@link pullErrorClasses}. */
export type PullErrorClass = (typeof pullErrorClasses)[number];

/**
 * A class by the words of a text, first match wins. Runtimes report nearly everything as gRPC
 * UNKNOWN, so the text is all there is. These come before the status that the registry answered
 * with: a disk that is full shows inside other failures, and a registry that limits pulls says so
 * with more than one status.
 */
const beforeStatus: Rules = [
  [
    /failed to parse image reference|invalid reference format|invalid checksum digest (format|length)/i,
    'invalid-reference',
  ],
  [/no space left on device|disk quota exceeded/i, 'no-space'],
  // kubelet's words at the beginning of a text, which CRI-O uses.
  [/^SignatureValidationFailed/, 'signature-invalid'],
  [/^RegistryUnavailable/, 'registry-unavailable'],
  [
    /a signature was required|none of the signatures were accepted|signature for (identity|digest) .* (is not accepted|does not match)|(is|are) rejected by policy|signature (validation|verification) failed|invalid signature|no public key verified against|image verifier .* blocked pull|image is not signed/i,
    'signature-invalid',
  ],
  [
    /unexpected commit (digest|size)|digest mismatch|digest \S+ does not match expected|did not match digest|wrong diff id|unexpected digest|failed size validation|uncompressed digest of layer .* config claims|does not match config's DiffID|manifest would not match destination/i,
    'digest-mismatch',
  ],
  [/context canceled/i, 'cancelled'],
  [/\btoo ?many ?requests\b|rate limit|pull limit|rate exceeded|\bquota exceeded/i, 'rate-limited'],
];

/**
 * What the runtime has on the node and cannot read, find, unpack or write: the registry did its
 * part.
 */
const ofTheNode =
  /\bsnapshots? .*(does not exist|not found)|snapshotter (not registered|~ was not found)|can ?not find snapshotter|unable to resolve snapshotter|missing parent|parent (snapshot )?~? ?does not exist|parent ~ is not committed|(failed|unable) to prepare extraction snapshot|failed to (commit|stat|read) snapshot|failed to extract layer|\blease (~|does not exist|.*not found)|\bblob ~ expected at\b|\bcontent (digest )?~: not found|failed to get reader from content store|\bingest ref ~: not found|(?<!resolve )\breference ~: not found|bucket does not exist|from containerd image store|adding layer with blob|failed to register layer|processing tar file|overlay mount|(layer|image) not known|layer does not exist|\bref ~ locked for|creating temporary file|storing blob to file .*(input\/output error|read-only|permission denied)/i;

/** Errors of the node's file systems, where the network is not at fault. */
const ofItsFiles =
  /input\/output error|read-only file system|structure needs cleaning|stale (NFS )?file handle|no such file or directory|too many open files|permission denied|operation not permitted|failed to mount/i;

const ofTheNetwork =
  /\bdial (tcp|udp|unix)|\b(read|write) (tcp|udp|unix)\b|connection (refused|reset|timed out|closed)|no such host|(network|host) is (unreachable|down)|no route to host|server misbehaving|name resolution|name or service not known|no address associated|proxy authentication required|i\/o timeout|tls handshake|\btls: |x509:|unexpected EOF|: EOF(?![a-z])|broken pipe|closed network connection|server gave HTTP response|server closed idle connection|malformed HTTP|\bhttp2: |stream error: |transport connection broken|proxyconnect|client\.timeout|request canceled while waiting|no (resolve|pull) hosts|invalid character .{0,4} looking for beginning|service (temporarily )?unavailable|bad gateway|gateway time-?out|internal server error/i;

const afterStatus: Rules = [
  // A page of a proxy or a portal in place of the manifest, and manifests that are of no image.
  [/unexpected media type text\//i, 'registry-unavailable'],
  [/unexpected media type|rejecting \d+ byte manifest|executable file not found/i, 'unknown'],
  [ofTheNode, 'node-storage'],
  [ofTheNetwork, 'registry-unavailable'],
  [ofItsFiles, 'node-storage'],
  [
    /\bunauthorized\b|\bforbidden\b|\baccess (was )?denied|\bdenied:|: denied\b|^denied\b|authorization failed|authentication (is )?required|requires authentication|no basic auth credentials|\binsufficient_scope\b|\binvalid_token\b|not authorized|(invalid|incorrect) username|failed to authorize|authorization token has expired/im,
    'unauthorized',
  ],
  [
    /\bnot found\b|manifest unknown|(repository )?name unknown|name not known|blob unknown|repository does not exist|no match for platform|no image found in (manifest list|image index)|no matching manifest|no such (image|manifest|tag)/i,
    'not-found',
  ],
  // What a policy could not be held against, for a reason that is none of those above.
  [/source image rejected/i, 'signature-invalid'],
  [/failed to unpack image on snapshotter/i, 'node-storage'],
  [/deadline exceeded|timed? ?out|no progress/i, 'timeout'],
];

/** The codes of the distribution specification that decide the class. */
const byRegistryCode: Readonly<Record<string, PullErrorClass>> = {
  UNAUTHORIZED: 'unauthorized',
  DENIED: 'unauthorized',
  TOOMANYREQUESTS: 'rate-limited',
  MANIFEST_UNKNOWN: 'not-found',
  NAME_UNKNOWN: 'not-found',
  BLOB_UNKNOWN: 'not-found',
  MANIFEST_BLOB_UNKNOWN: 'not-found',
  NOT_FOUND: 'not-found',
  UNAVAILABLE: 'registry-unavailable',
};

type Rules = readonly (readonly [RegExp, PullErrorClass])[];

const byRules = (rules: Rules, words: string): PullErrorClass | undefined =>
  rules.find(([pattern]) => pattern.test(words))?.[1];

/** What the status of an HTTP answer says; undefined for those that say too little. */
function byHttpStatus(status: number, words: string): PullErrorClass | undefined {
  if (status === 429) return 'rate-limited';
  if (status === 407 || status === 408 || status >= 500) return 'registry-unavailable';
  // Whatever a token service answers, it is about the credential and not about the image.
  if (/\b(bearer|oauth|anonymous|auth|access) token\b/i.test(words)) return 'unauthorized';
  if (status === 401 || status === 403) return 'unauthorized';
  return status === 404 || status === 410 ? 'not-found' : undefined;
}

/** What a status says where the text says nothing. */
const byStatus: Partial<Record<GrpcStatusName, PullErrorClass>> = {
  UNAUTHENTICATED: 'unauthorized',
  PERMISSION_DENIED: 'unauthorized',
  NOT_FOUND: 'not-found',
  RESOURCE_EXHAUSTED: 'rate-limited',
  DEADLINE_EXCEEDED: 'timeout',
  UNAVAILABLE: 'registry-unavailable',
};

/**
 * Class of what a PullImage call of the runtime (or the way to it) ended with. `reference` is what
 * was asked for: names in the text say nothing about the failure.
 */
export function classifyPullError(error: unknown, reference = ''): PullErrorClass {
  if (error instanceof StowageError) {
    if (error.code === 'RUNTIME_UNAVAILABLE') return 'runtime-unavailable';
    if (error.code === 'SHUTTING_DOWN') return 'cancelled';
    if (error.code === 'INVALID_IMAGE_NAME') return 'invalid-reference';
    if (error.code === 'PULL_SECRET_UNUSABLE') return 'credentials-unusable';
  }
  const status = toGrpcStatus(error).name;
  if (status === 'CANCELLED') return 'cancelled';
  const { words, httpStatus, registryCode } = readPullErrorText(errorMessage(error), reference);
  return (
    byRules(beforeStatus, words) ??
    (httpStatus === undefined ? undefined : byHttpStatus(httpStatus, words)) ??
    (registryCode === undefined ? undefined : byRegistryCode[registryCode]) ??
    byRules(afterStatus, words) ??
    byStatus[status] ??
    'unknown'
  );
}
