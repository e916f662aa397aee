import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import { openSqlite, sqliteCode } from '@stowage/sqlite';

/** What keeps other workers off a runtime until it is given back or the process ends. */
export interface RuntimeLock {
  release(): Promise<void>;
}

/** Where it is said that a lock could not be taken. */
interface LockLog {
  warn(fields: object, message: string): void;
}

/**
 * Makes this process the one gc-worker of a runtime: a second one, also with another state directory, is refused with
 * FailedPreconditionError. Two locks, both gone with the process however that ends:
 *
 * - a socket in Linux's abstract name space, which needs no file, but which another network namespace does not see;
 * - a lock on a file beside the runtime's socket, which every process sees that has that directory, in whatever
 *   container. Where the file cannot be made (a read-only mount, a mount of the socket alone) the log says so.
 */
export async function lockRuntime(endpoint: string, log: LockLog): Promise<RuntimeLock> {
  const asked = endpoint.replace(/^unix:\/\//, '');
  const socket = resolved(asked);
  const taken = () =>
    new FailedPreconditionError(
      `another gc-worker works on the runtime at ${asked}: two would remove each other's images`,
    );
  const name = await lockName(socket, taken);
  let file: RuntimeLock | undefined;
  try {
    file = lockFile(`${socket}.gc-worker.lock`, taken, log);
  } catch (error) {
    await name.release();
    throw error;
  }
  return {
    release: async () => {
      await file?.release();
      await name.release();
    },
  };
}

/** Bytes of a unix socket's name (`sun_path`). */
const socketNameLength = 108;

async function lockName(socket: string, taken: () => Error): Promise<RuntimeLock> {
  const server = createServer((connection) => connection.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? taken()
          : new Error(`the lock of the runtime cannot be taken: ${errorMessage(error)}`, {
              cause: error,
            }),
      );
    });
    const digest = createHash('sha256').update(socket).digest('hex');
    // In its full length: Node.js 20 fills a shorter name with zeros and later ones do not, and these are two names.
    const name = `\0stowage-gc-worker-${digest}`.padEnd(socketNameLength, '\0');
    server.listen({ path: name }, resolve);
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

/**
 * Node.js cannot lock files, SQLite can: a transaction that never writes holds the kernel's lock on an empty file, and needs no disk
 * space. Undefined where there can be no such file.
 */
function lockFile(file: string, taken: () => Error, log: LockLog): RuntimeLock | undefined {
  try {
    const database = openSqlite(file, { timeout: 0 });
    try {
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      throw error;
    }
    return {
      release: () => {
        database.close();
        return Promise.resolve();
      },
    };
  } catch (error) {
    if (sqliteCode(error)?.startsWith('SQLITE_BUSY')) throw taken();
    log.warn(
      { file, reason: errorMessage(error) },
      'no lock beside the socket of the runtime: another gc-worker in another network namespace would not be noticed',
    );
    return undefined;
  }
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
