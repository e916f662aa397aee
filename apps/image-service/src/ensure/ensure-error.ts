import { StowageError } from '@stowage/errors';
import type { GrpcStatusName } from '@stowage/errors';

/**
 * Kubelet's names for why an image could not be made sure of: the waiting reason of a container.
 */
export const ensureErrorReasons = [
  'InvalidImageName',
  'ImageInspectError',
  'ErrImageNeverPull',
  'ImagePullBackOff',
  'RegistryUnavailable',
  'SignatureValidationFailed',
  'ErrImagePull',
] as const;

/** One of {@link ensureErrorReasons}. */
export type EnsureErrorReason = (typeof ensureErrorReasons)[number];

const codes: Record<EnsureErrorReason, string> = {
  InvalidImageName: 'INVALID_IMAGE_NAME',
  ImageInspectError: 'IMAGE_INSPECT_FAILED',
  ErrImageNeverPull: 'IMAGE_NEVER_PULL',
  ImagePullBackOff: 'IMAGE_PULL_BACK_OFF',
  RegistryUnavailable: 'REGISTRY_UNAVAILABLE',
  SignatureValidationFailed: 'SIGNATURE_VALIDATION_FAILED',
  ErrImagePull: 'IMAGE_PULL_FAILED',
};

/** An image could not be made sure of, for one of kubelet's reasons. */
export class EnsureImageError extends StowageError {
  constructor(
    readonly reason: EnsureErrorReason,
    /** Kubelet's waiting message, word for word. */
    readonly kubeletMessage: string,
    fields: {
      readonly grpcStatus: GrpcStatusName;
      /** Follows the message: what was tried. */
      readonly tried?: string;
      readonly retryable?: boolean;
      readonly cause?: unknown;
    },
  ) {
    const { tried, ...rest } = fields;
    super(tried === undefined ? kubeletMessage : `${kubeletMessage} ${tried}`, {
      code: codes[reason],
      ...rest,
    });
  }
}

/**
 * Prefixes by which kubelet distinguishes a runtime's text, and what it makes of them. Only the
 * very start counts.
 */
const byPrefix: readonly (readonly [EnsureErrorReason, string])[] = [
  ['RegistryUnavailable', 'the registry is unavailable'],
  ['SignatureValidationFailed', 'the signature validation failed'],
];

/** Kubelet's reason and message for the text of a failed pull. */
export function pullFailure(
  image: string,
  text: string,
): { reason: EnsureErrorReason; message: string } {
  for (const [reason, because] of byPrefix) {
    if (!text.startsWith(reason)) continue;
    const rest = text.slice(reason.length);
    return { reason, message: `image pull failed for ${image} because ${because}${rest}` };
  }
  return { reason: 'ErrImagePull', message: text };
}
