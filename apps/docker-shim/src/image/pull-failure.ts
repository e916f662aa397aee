import { StowageError, type GrpcStatusName } from '@stowage/errors';

/**
 * The engine could not pull an image; the message is its own, without secrets, behind kubelet's
 * word for the failure where it has one.
 */
export class ImagePullError extends StowageError {
  constructor(message: string, grpcStatus: GrpcStatusName, options: { cause?: unknown } = {}) {
    super(message, { code: 'IMAGE_PULL_FAILED', grpcStatus, cause: options.cause });
  }
}

interface PullFailure {
  readonly words: RegExp;
  readonly grpcStatus: GrpcStatusName;
  /** What kubelet knows the failure by. */
  readonly word?: string;
}

/**
 * By the words of the text, first match wins: the engine reports nearly everything with one status.
 */
const failures: readonly PullFailure[] = [
  { words: /no space left on device|disk quota exceeded/i, grpcStatus: 'RESOURCE_EXHAUSTED' },
  {
    words: /signature (validation|verification) failed|invalid signature|trust data|not signed/i,
    grpcStatus: 'UNKNOWN',
    word: 'SignatureValidationFailed',
  },
  { words: /too ?many ?requests|pull rate limit/i, grpcStatus: 'RESOURCE_EXHAUSTED' },
  {
    words:
      /\bunauthorized\b|\bdenied\b|authentication required|no basic auth credentials|\bforbidden\b|insufficient_scope/i,
    grpcStatus: 'PERMISSION_DENIED',
  },
  {
    words:
      /manifest unknown|manifest for .* not found|name unknown|does not exist|no matching manifest|: not found/i,
    grpcStatus: 'NOT_FOUND',
  },
  {
    words:
      /\bdial (tcp|udp)|connection (refused|reset|timed out)|no such host|(network|host) is unreachable|no route to host|i\/o timeout|tls handshake|x509:|server misbehaving|name resolution|unexpected EOF|: EOF$|(internal server error|bad gateway|service unavailable|gateway time-?out)|received unexpected HTTP status: 5\d\d|client\.timeout|server gave HTTP response/i,
    grpcStatus: 'UNAVAILABLE',
    word: 'RegistryUnavailable',
  },
];

/**
 * The error of a pull that failed with this text of the engine. Secrets are to be taken out before.
 */
export function pullFailure(text: string, options: { cause?: unknown } = {}): ImagePullError {
  const { grpcStatus, word } = failures.find(({ words }) => words.test(text)) ?? {
    grpcStatus: 'UNKNOWN',
  };
  const message = word === undefined || text.startsWith(word) ? text : `${word}: ${text}`;
  return new ImagePullError(message, grpcStatus, options);
}
