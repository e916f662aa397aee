import { errorMessage, StowageError, toGrpcStatus } from '@stowage/errors';
import type { GrpcStatusName } from '@stowage/errors';

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
  'timeout',
  'cancelled',
  'runtime-unavailable',
  'unknown',
] as const;

/** One of {@link pullErrorClasses}. */
export type PullErrorClass = (typeof pullErrorClasses)[number];

/**
 * Texts of containerd, CRI-O and registries, first match wins. Runtimes report nearly everything as gRPC UNKNOWN, so the
 * text is all there is. Order matters: a disk that is full shows inside other failures, and "pull access denied, repository
 * does not exist or may require authorization" is a question of credentials first.
 */
const byText: readonly (readonly [RegExp, PullErrorClass])[] = [
  [
    /failed to parse image reference|invalid reference format|invalid checksum digest (format|length)/i,
    'invalid-reference',
  ],
  [/no space left on device|disk quota exceeded/i, 'no-space'],
  [/^SignatureValidationFailed|signature (validation|verification) failed/i, 'signature-invalid'],
  [/unexpected commit (digest|size)|digest mismatch|did not match digest/i, 'digest-mismatch'],
  [/^RegistryUnavailable/, 'registry-unavailable'],
  [/\b429\b|too ?many ?requests|rate limit/i, 'rate-limited'],
  [
    /\b401\b|\b403\b|unauthorized|forbidden|access denied|authorization failed|authentication required|no basic auth credentials|insufficient_scope|\bdenied:/i,
    'unauthorized',
  ],
  [
    /\b404\b|not found|manifest unknown|name unknown|repository does not exist|no match for platform/i,
    'not-found',
  ],
  [/context canceled/i, 'cancelled'],
  [
    /connection refused|connection reset|no such host|network is unreachable|no route to host|server misbehaving|i\/o timeout|TLS handshake|x509:|\b50[0234]\b|unexpected EOF|: EOF$|broken pipe|http: server gave HTTP response/i,
    'registry-unavailable',
  ],
  [/deadline exceeded|timed? ?out|no progress/i, 'timeout'],
];

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
 * Class of what a PullImage call of the runtime (or the way to it) ended with. `reference` is what was asked for: its own words
 * (`registry.example/not-found:404`) say nothing about the failure.
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
  const text = withoutNames(errorMessage(error), reference);
  const found = byText.find(([pattern]) => pattern.test(text))?.[1];
  if (found !== undefined) return found;
  return byStatus[status] ?? 'unknown';
}

/** The text without the reference, without URLs, and without what is quoted and holds a path. */
function withoutNames(text: string, reference: string): string {
  const stripped = reference === '' ? text : text.replaceAll(reference, '');
  return stripped
    .replaceAll(/https?:\/\/[^\s"]+?(?=:?[\s"]|:?$)/g, '')
    .replaceAll(/"[^"\s]*\/[^"\s]*"/g, '');
}
