import { StowageError } from '@stowage/errors';

/** A command could not be started in a container; the message is the engine's. */
export class ExecStartError extends StowageError {
  constructor(message: string) {
    super(message, { code: 'EXEC_START_FAILED', grpcStatus: 'UNKNOWN' });
  }
}
