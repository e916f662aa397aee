import { StowageError } from '@stowage/errors';

/**
 * The path of a state file is not a regular file. A pipe would be read without end, and data
 * written to a device is lost, so nothing is opened.
 */
export class StateFileKindError extends StowageError {
  constructor(
    readonly file: string,
    /** As in `a directory`. */
    readonly kind: string,
  ) {
    super(`${file} is ${kind}; a state file has to be a regular file`, {
      code: 'STATE_FILE_KIND',
      grpcStatus: 'FAILED_PRECONDITION',
    });
  }
}

/**
 * A file opens but is damaged, belongs to another program, or does not contain what it should. It
 * is renamed and a new one is created.
 */
export class StateFileUnusableError extends Error {
  override readonly name = 'StateFileUnusableError';
}

/**
 * A file was written by a newer release, whose schema this one does not know. It is left as it is,
 * and nothing is opened.
 */
export class StateFileNewerError extends StowageError {
  constructor(
    readonly file: string,
    readonly version: number,
    /** The newest version that this release knows. */
    readonly knownVersion: number,
    /** What is lost without the file. */
    lost: string,
  ) {
    super(
      `${file} was written by a newer release: it has schema version ${version}, this release knows ${knownVersion}; ` +
        `start the newer release again, or move ${file} and ${file}-wal away, which loses ${lost}`,
      { code: 'STATE_FILE_NEWER', grpcStatus: 'FAILED_PRECONDITION' },
    );
  }
}

/** SQLite's native part does not work with this Node.js. SQLite has no error code for this. */
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
