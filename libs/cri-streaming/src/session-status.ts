import { errorMessage } from '@stowage/errors';

/** How a session ended: by an exit code, or because something went wrong. */
export type SessionEnd = { readonly exitCode: number } | { readonly error: unknown };

/** What an error stream gets: JSON since version 4 of the protocols, text before. */
export type StatusFormat = 'json' | 'text';

/** Content of the error stream; empty where nothing is to be said. */
export function statusOf(end: SessionEnd, format: StatusFormat): string {
  const status = 'error' in end ? internalError(end.error) : exited(end.exitCode);
  if (format === 'json') return JSON.stringify(status);
  return status.message ?? '';
}

interface Status {
  readonly metadata: object;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: { readonly causes: readonly object[] };
  readonly code?: number;
}

function exited(code: number): Status {
  if (code === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: command terminated with exit code ${code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  };
}

function internalError(error: unknown): Status {
  const message = errorMessage(error);
  return {
    metadata: {},
    status: 'Failure',
    message: `Internal error occurred: ${message}`,
    reason: 'InternalError',
    details: { causes: [{ message }] },
    code: 500,
  };
}
