import { errorMessage, InvalidImageNameError } from '@stowage/errors';
import { classifyPullError } from './classify-pull-error';

/**
 * What a call of the runtime was refused with, as INVALID_ARGUMENT where it could not read the
 * reference: runtimes answer that with UNKNOWN. Their grammars differ (`[::1]:5000/x` is a
 * reference from containerd 2 on), so a reference that parses here may be refused there. Any other
 * error stays as it is.
 */
export function asReferenceError(error: unknown, image: string): unknown {
  return classifyPullError(error) === 'invalid-reference'
    ? new InvalidImageNameError(image, errorMessage(error), { cause: error })
    : error;
}
