import { withoutUserInfo } from './user-info';

/** Stable codes of ImageReferenceError. */
export type ImageReferenceErrorCode =
  | 'REFERENCE_NAME_EMPTY'
  | 'REFERENCE_BAD_FORMAT'
  | 'REFERENCE_NAME_UPPERCASE'
  | 'REFERENCE_NAME_TOO_LONG'
  | 'REFERENCE_NAME_NOT_CANONICAL'
  | 'REFERENCE_NAME_HEX64'
  | 'REFERENCE_DIGEST_FORMAT'
  | 'REFERENCE_DIGEST_LENGTH'
  | 'REFERENCE_DIGEST_ALGORITHM'
  | 'REFERENCE_BAD_PATTERN';

/**
 * An image reference (or a pattern for one) that breaks a rule. The only error this library throws.
 *
 * `message` is the text that kubelet and other users of the distribution grammar show; `rule` says
 * in one sentence which rule the input breaks and where.
 */
export class ImageReferenceError extends Error {
  override readonly name = 'ImageReferenceError';
  /** The status a gRPC server answers with. */
  readonly grpcStatus = 'INVALID_ARGUMENT';
  readonly retryable = false;

  constructor(
    readonly code: ImageReferenceErrorCode,
    message: string,
    reference: string,
    readonly rule: string,
    options?: { cause: unknown },
  ) {
    super(message, options);
    this.reference = withoutUserInfo(reference);
  }

  /** The input in full, but for user information: errors are logged with what they hold. */
  readonly reference: string;
}
