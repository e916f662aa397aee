import { errorMessage } from '@stowage/errors';

/** Text of a client error: what caused it, or its message with the code where that says more. */
export function errorText(error: unknown): string {
  const { code, chainedError } = (error ?? {}) as {
    code?: unknown;
    chainedError?: { message?: string };
  };
  if (chainedError?.message) return chainedError.message;
  const message = errorMessage(error);
  return typeof code === 'string' && !message.includes(code) ? `${message} [${code}]` : message;
}
