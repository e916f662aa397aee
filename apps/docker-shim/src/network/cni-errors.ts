import { errorMessage, StowageError, toGrpcStatus } from '@stowage/errors';

/** What a plugin answers when the container is unknown: nothing is left to take away. */
const unknownContainer = 3;
/** What a plugin answers when the same call may succeed later. */
const tryAgainLater = 11;

/** A CNI plugin did not do what it was called for; the message is the plugin's own. */
export class CniError extends StowageError {
  constructor(
    /** For instance `ADD`. */
    readonly command: string,
    /** Type of the plugin, which is the name of its program. */
    readonly plugin: string,
    problem: string,
    /** Number and details of the plugin's own error, where it gave one. */
    readonly answer: { readonly code?: number; readonly details?: string } = {},
    options: { cause?: unknown } = {},
  ) {
    const { code, details = '' } = answer;
    super(
      `CNI plugin ${plugin} failed at ${command}: ${problem}${details === '' ? '' : `; ${details}`}${code === undefined ? '' : ` (code ${code})`}`,
      {
        code: 'CNI_PLUGIN_FAILED',
        grpcStatus: code === tryAgainLater ? 'UNAVAILABLE' : 'UNKNOWN',
        retryable: code === tryAgainLater,
        cause: options.cause,
      },
    );
  }

  /** Whether the plugin knows nothing of the container, so that there is nothing to take away. */
  get saysUnknown(): boolean {
    return this.answer.code === unknownContainer;
  }
}

/** The program of a plugin is in none of the folders. */
export class CniPluginMissingError extends CniError {
  constructor(command: string, plugin: string, binDirs: readonly string[]) {
    super(command, plugin, `it is not in ${binDirs.join(', ')}`);
  }
}

/**
 * A network could not be set up, and what there was of it could not be taken away either: it has to
 * be removed again later. The message and the status are those of the first failure.
 */
export class PodNetworkLeftError extends StowageError {
  constructor(
    /** Why it could not be set up. */
    readonly first: unknown,
    /** Why it could not be taken away. */
    readonly second: unknown,
  ) {
    super(`${errorMessage(first)}; taking it away failed too: ${errorMessage(second)}`, {
      code: 'POD_NETWORK_LEFT',
      grpcStatus: toGrpcStatus(first).name,
      cause: first,
    });
  }
}
