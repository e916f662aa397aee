import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { errorMessage, FailedPreconditionError } from '@stowage/errors';

/**
 * Makes this process the one gc-worker of a runtime: a second one, also with another state directory, is refused with
 * FailedPreconditionError. The lock is a socket in Linux's abstract name space: no file, gone with the process however that
 * ends. Processes in another network namespace do not see it (the state directory's lock still holds for them).
 */
export async function lockRuntime(endpoint: string): Promise<{ release(): Promise<void> }> {
  const socket = endpoint.replace(/^unix:\/\//, '');
  const name = lockName(resolved(socket));
  const server = createServer((connection) => connection.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new FailedPreconditionError(
              `another gc-worker works on the runtime at ${socket}: two would remove each other's images`,
            )
          : new Error(`the lock of the runtime cannot be taken: ${errorMessage(error)}`, {
              cause: error,
            }),
      );
    });
    server.listen({ path: `\0${name}` }, resolve);
  });
  server.unref();
  return {
    release: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  };
}

/** The same socket by another path (/var/run) is the same runtime; the socket itself may not be there yet. */
function resolved(socket: string): string {
  try {
    return realpathSync(socket);
  } catch {
    try {
      return path.join(realpathSync(path.dirname(socket)), path.basename(socket));
    } catch {
      return socket;
    }
  }
}

const lockName = (socket: string): string =>
  `stowage-gc-worker-${createHash('sha256').update(socket).digest('hex')}`;
