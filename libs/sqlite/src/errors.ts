import { StowageError } from '@stowage/errors';

/** SQLite's native part does not go with this Node.js. No code of SQLite itself, none of which says so. */
export class SqliteBindingError extends StowageError {
  constructor(
    readonly reason: string,
    options: { cause?: unknown } = {},
  ) {
    super(`SQLite cannot be loaded by Node.js ${process.versions.node}: ${reason}`, {
      code: 'DATABASE_BINDING_UNUSABLE',
      grpcStatus: 'FAILED_PRECONDITION',
      cause: options.cause,
    });
  }
}
