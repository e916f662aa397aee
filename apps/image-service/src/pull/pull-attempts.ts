import { CriError, kubeletErrorText } from '@stowage/cri-client';
import {
  errorMessage,
  joinMessages,
  RuntimeUnavailableError,
  StowageError,
  toGrpcStatus,
} from '@stowage/errors';
import type { GrpcStatusName } from '@stowage/errors';
import { traced } from '@stowage/tracing';
import type { TracedCall } from '@stowage/tracing';
import { classifyPullError } from './classify-pull-error';
import type { PullErrorClass } from './classify-pull-error';
import { withoutSecrets } from '../credentials/credentials';
import type { CredentialLabel, PullAuth, PullCredential } from '../credentials/credentials';

/** How one PullImage call of the runtime ended that did not bring the image. */
export interface FailedAttempt {
  readonly credential: CredentialLabel;
  readonly errorClass: PullErrorClass;
  readonly grpcStatus: GrpcStatusName;
  /** The runtime's message without anything of the credential. */
  readonly message: string;
  /** The same as kubelet words it: with the gRPC code, unless that is UNKNOWN. */
  readonly kubeletText: string;
}

/** What brought the image, and what failed before. */
export interface PullAttempts<T> {
  readonly response: T;
  readonly credential: Omit<PullCredential, 'auth'>;
  readonly failed: readonly FailedAttempt[];
}

/** Is notified how each attempt ended, while the span of the attempt is active. */
export type AttemptListener = (
  credential: CredentialLabel,
  result: PullErrorClass | 'success',
) => void;

/**
 * No credential brought the image. Code and message are the runtime's (of the last attempt;
 * kubelet's joined form when the messages differ), followed by what was tried. The class is that of
 * the last attempt.
 */
export class ImagePullError extends StowageError {
  constructor(
    readonly reference: string,
    readonly attempts: readonly [FailedAttempt, ...FailedAttempt[]],
  ) {
    const last = attempts.at(-1) ?? attempts[0];
    const tried = `[tried: ${attempts.map(describeAttempt).join('; ')}]`;
    super(`${joinMessages(attempts.map(({ message }) => message))} ${tried}`, {
      code: 'IMAGE_PULL_FAILED',
      // Runtimes say UNKNOWN of a reference that they cannot read.
      grpcStatus: last.errorClass === 'invalid-reference' ? 'INVALID_ARGUMENT' : last.grpcStatus,
      retryable: retryableClasses.has(last.errorClass),
    });
    this.errorClass = last.errorClass;
    this.kubeletText = joinMessages(attempts.map(({ kubeletText }) => kubeletText));
    this.tried = tried;
  }

  readonly errorClass: PullErrorClass;
  /** What kubelet would say of the failure, without what was tried. */
  readonly kubeletText: string;
  /** Each credential with how it failed, in brackets. */
  readonly tried: string;
}

const retryableClasses: ReadonlySet<PullErrorClass> = new Set([
  'rate-limited',
  'registry-unavailable',
  'node-storage',
  'timeout',
]);

/** Hexadecimal digits of a credential's hash in messages; the event has all. */
const shownHashDigits = 12;

function describeAttempt({ credential, errorClass }: FailedAttempt): string {
  const { source, name, hash } = credential;
  if (source === 'none') return `no credentials: ${errorClass}`;
  const named = name === undefined ? source : `${source} ${name}`;
  const hashed = hash === undefined ? '' : ` (hash ${hash.slice(0, shownHashDigits)})`;
  return `${named}${hashed}: ${errorClass}`;
}

/**
 * The caller gave up before the runtime answered, or the runtime is away: there is nothing to say
 * about a credential.
 */
function isOutside(error: unknown, signal: AbortSignal): boolean {
  if (error instanceof CriError) return false;
  return signal.aborted || error instanceof RuntimeUnavailableError;
}

/**
 * Tries credentials in order until one brings the image. Throws {@link ImagePullError} when none
 * does; what ends the attempts early (the runtime is away, the pull was cancelled) is thrown as it
 * is.
 */
export async function pullWithCredentials<T>(
  reference: string,
  credentials: readonly [PullCredential, ...PullCredential[]],
  pull: (auth: PullAuth | undefined, options: { signal: AbortSignal }) => Promise<T>,
  options: { signal: AbortSignal; onAttempt?: AttemptListener },
): Promise<PullAttempts<T>> {
  const { signal, onAttempt } = options;
  const attempt = traced(
    'image.pull.attempt',
    attemptSpan(reference),
    async ({ label, auth }: PullCredential): Promise<T> => {
      try {
        const response = await pull(auth, { signal });
        onAttempt?.(label, 'success');
        return response;
      } catch (error) {
        onAttempt?.(label, classifyPullError(error, reference));
        throw error;
      }
    },
  );
  const failed: FailedAttempt[] = [];
  for (const credential of credentials) {
    try {
      const response = await attempt(credential);
      const { label, owner } = credential;
      return { response, credential: { label, owner }, failed };
    } catch (error) {
      if (isOutside(error, signal)) throw error;
      const errorClass = classifyPullError(error, reference);
      failed.push({
        credential: credential.label,
        errorClass,
        grpcStatus: toGrpcStatus(error).name,
        message: withoutSecrets(errorMessage(error), credential),
        kubeletText: withoutSecrets(kubeletErrorText(error), credential),
      });
      // The runtime cancelled the pull itself, as it does when it stops, or no credential can help.
      if (errorClass === 'cancelled' || errorClass === 'invalid-reference' || signal.aborted) break;
    }
  }
  const [first, ...rest] = failed;
  if (first === undefined) throw new RangeError('a pull needs at least one credential');
  // No cause: the runtime's error may quote the credential, and logs print causes.
  throw new ImagePullError(reference, [first, ...rest]);
}

/** Where the credential comes from, and nothing of what it is. */
const attemptSpan = (reference: string): TracedCall<[PullCredential], unknown> => ({
  attributes: ({ label: { source, name } }) => ({
    'stowage.image.reference': reference,
    'stowage.credential.source': source,
    'stowage.credential.name': name,
  }),
});
