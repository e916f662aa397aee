/** Exit codes of the tool. */
export const exitCodes = {
  done: 0,
  /** The command failed on a node, or what was asked for is not there. */
  failed: 1,
  /** A wrong command line (EX_USAGE). */
  usage: 64,
} as const;

/** A command line that says nothing which can be done; exit code 64. */
export class UsageError extends Error {
  override readonly name = 'UsageError';

  constructor(
    message: string,
    /** What to write instead. */
    readonly remedy = 'stowctl --help lists commands and flags',
  ) {
    super(message);
  }
}

/** A command that could not do what was asked for; exit code 1. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';

  constructor(
    message: string,
    /** What helps, in one sentence; absent where nothing general does. */
    readonly remedy?: string,
    options: ErrorOptions = {},
  ) {
    super(message, options);
  }
}
