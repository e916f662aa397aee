import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import { lockFile } from '@stowage/sqlite';

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
  const file = `${socket}.gc-worker.lock`;
  let unlock: (() => void) | undefined;
  try {
    unlock = lockFile(file);
  } catch (error) {
    log.warn(
      { file, reason: errorMessage(error) },
      'no lock beside the socket of the runtime: another gc-worker in another network namespace would not be noticed',
    );
    return name;
  }
  if (unlock === undefined) {
    await name.release();
    throw taken();
  }
  return {
    release: async () => {
      unlock();
      await name.release();
    },
  };
}

/** Bytes of a unix socket's name (`sun_path`). */
const socketNameLength = 108;

/**
 * Names of the lock in the abstract name space, the first of them without fail. A name is what the kernel gets: libuv 1.46 (Node.js 20) fills
 * a shorter one with NUL bytes, later ones do not, and 1.47 to 1.50 refuse NUL bytes. So the name has its full length without any. Where libuv
 * takes it, the name that earlier versions of gc-worker take is held as well; elsewhere the lock on the file keeps them off.
 */
function socketNames(socket: string): [string, string] {
  const name = `\0stowage-gc-worker-${createHash('sha256').update(socket).digest('hex')}`;
  return [name.padEnd(socketNameLength, '.'), name.padEnd(socketNameLength, '\0')];
}

async function lockName(socket: string, taken: () => Error): Promise<RuntimeLock> {
  const [name, formerName] = socketNames(socket);
  const servers: Server[] = [];
  const release = async () => {
    await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  };
  try {
    servers.push(await listen(name));
    const former = await listen(formerName).catch((error: unknown) => {
      if (codeOf(error) !== 'EINVAL') throw error;
    });
    if (former !== undefined) servers.push(former);
  } catch (error) {
    await release();
    if (codeOf(error) === 'EADDRINUSE') throw taken();
    const text = `the lock of the runtime cannot be taken: ${errorMessage(error)}`;
    throw new Error(text, { cause: error });
  }
  return { release };
}

/** Listens on an abstract socket, without keeping the process alive. */
function listen(name: string): Promise<Server> {
  const server = createServer((connection) => connection.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: name }, () => {
      server.unref();
      resolve(server);
    });
  });
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

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
