import { randomBytes } from 'node:crypto';
import { promises as fs, type Stats } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errorMessage, StowageError } from '@stowage/errors';
import type { ListenOptions } from './types';

/** A socket that accepts connections. */
export interface UnixListener {
  readonly socketPath: string;
  /**
   * Removes the socket file if it is still this listener's own, accepts the connections that are
   * already queued, then stops listening. Accepted connections stay open.
   */
  close(): Promise<void>;
}

/** Longest socket path of the kernel: `sun_path` less its terminating zero. */
const maxPathBytes = 107;

/** Another process serves the socket. */
export class SocketInUseError extends StowageError {
  constructor(readonly socketPath: string) {
    super(`socket ${socketPath} is in use: another process answers on it`, {
      code: 'SOCKET_IN_USE',
      grpcStatus: 'ALREADY_EXISTS',
      retryable: true,
    });
  }
}

/** The socket cannot be made at this path, and trying again will not help. */
export class SocketPathError extends StowageError {
  constructor(
    readonly socketPath: string,
    readonly reason: string,
    options: { cause?: unknown } = {},
  ) {
    super(`cannot listen on ${socketPath}: ${reason}`, {
      code: 'SOCKET_PATH',
      grpcStatus: 'FAILED_PRECONDITION',
      cause: options.cause,
    });
  }
}

/**
 * Listens on a unix socket. A stale socket file is replaced, a live one is refused with
 * {@link SocketInUseError} unless `takeOver` is set. Anything else at the path, a path that is too
 * long or a folder that cannot be written is a {@link SocketPathError}. The socket is created in a
 * temporary folder that only this user may enter, and is renamed once it has its mode and group. So
 * nobody can connect before that, whatever the umask is.
 */
export async function listenUnix(
  options: ListenOptions,
  onConnection: (socket: net.Socket) => void,
  { allowHalfOpen = false }: { allowHalfOpen?: boolean } = {},
): Promise<UnixListener> {
  const { socketPath } = options;
  if (options.fd !== undefined) return listenOn(options.fd, options, onConnection, allowHalfOpen);
  const server = serverFor(onConnection, allowHalfOpen);
  const made = await makeSocket(options, server);
  let own: Stats;
  try {
    own = await fs.stat(made.path);
    await fs.rename(made.path, socketPath);
  } catch (error) {
    server.close();
    throw new SocketPathError(socketPath, errorMessage(error), { cause: error });
  } finally {
    await made.remove();
  }
  // Running out of descriptors shows up here; the connection waits in the kernel's queue meanwhile.
  server.on('error', () => undefined);
  const isOwn = (found: Stats): boolean => found.ino === own.ino && found.dev === own.dev;
  const watch = watchFile(socketPath, (found) => found.isSocket() && !isOwn(found), options);

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    clearInterval(watch);
    await removeOwn(socketPath, `${made.folder}.aside`, isOwn);
    // Whoever connected before the file went is in the kernel's queue and is still served.
    await nextTurn();
    await nextTurn();
    server.close();
  };
  return { socketPath, close: () => (closing ??= close()) };
}

/** Throws what {@link listenUnix} would, and leaves what is at the path as it is. */
export async function checkListening(options: ListenOptions): Promise<void> {
  if (options.fd !== undefined) return;
  const server = serverFor((socket) => socket.destroy(), false);
  const made = await makeSocket(options, server);
  server.close();
  await made.remove();
}

/** A socket that listens where nobody can connect yet, with its mode and group. */
async function makeSocket(
  options: ListenOptions,
  server: net.Server,
): Promise<{ path: string; folder: string; remove: () => Promise<void> }> {
  const { socketPath } = options;
  const folder = path.dirname(socketPath);
  const closedFolder = path.join(folder, `.${randomBytes(3).toString('base64url')}`);
  const temporaryPath = path.join(closedFolder, 's');
  const longest = Math.max(Buffer.byteLength(socketPath), Buffer.byteLength(temporaryPath));
  if (!path.isAbsolute(socketPath)) throw new SocketPathError(socketPath, 'not an absolute path');
  if (longest > maxPathBytes) {
    throw new SocketPathError(
      socketPath,
      `${longest} bytes, a unix socket path has at most ${maxPathBytes}`,
    );
  }
  const groupId = options.group === undefined ? undefined : await resolveGroup(options);
  await makeSocketFolder(socketPath);
  await refuseOthers(socketPath, options.takeOver ?? false);
  const remove = async (): Promise<void> => {
    await fs.rm(temporaryPath, { force: true });
    await fs.rmdir(closedFolder).catch(() => undefined); // at worst an empty folder stays
  };
  try {
    await fs.mkdir(closedFolder, { mode: 0o700 });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(temporaryPath, resolve);
    });
    await fs.chmod(temporaryPath, options.mode ?? 0o600);
    if (groupId !== undefined) await fs.chown(temporaryPath, process.getuid?.() ?? -1, groupId);
  } catch (error) {
    server.close();
    await remove();
    throw new SocketPathError(socketPath, errorMessage(error), { cause: error });
  }
  return { path: temporaryPath, folder: closedFolder, remove };
}

/** Makes the folder of a socket where it is missing; throws {@link SocketPathError}. */
export async function makeSocketFolder(socketPath: string): Promise<void> {
  const folder = path.dirname(socketPath);
  try {
    await makeFolder(folder);
  } catch (error) {
    throw new SocketPathError(socketPath, `folder ${folder}: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

/**
 * Removes the file only if it is ours. It is moved aside before the final check, because another
 * process may rename its own socket onto the path in between; that one is put back.
 */
export async function removeOwn(
  file: string,
  aside: string,
  isOwn: (found: Stats) => boolean,
): Promise<void> {
  const found = await statOrUndefined(file);
  if (found === undefined || !isOwn(found)) return;
  try {
    await fs.rename(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const moved = await statOrUndefined(aside);
  if (moved === undefined) return;
  if (isOwn(moved)) await fs.rm(aside, { force: true });
  else await fs.rename(aside, file);
}

/** Listens on a socket that somebody else created and will remove. */
async function listenOn(
  fd: number,
  options: ListenOptions,
  onConnection: (socket: net.Socket) => void,
  allowHalfOpen: boolean,
): Promise<UnixListener> {
  const { socketPath } = options;
  const server = serverFor(onConnection, allowHalfOpen);
  // The creator of the socket bound it to this file.
  const bound = await statOrUndefined(socketPath);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ fd }, resolve);
    });
  } catch (error) {
    const reason = `descriptor ${fd}: ${errorMessage(error)}`;
    throw new SocketPathError(socketPath, reason, { cause: error });
  }
  server.on('error', () => undefined);
  const isOther = (found: Stats): boolean => found.ino !== bound?.ino || found.dev !== bound.dev;
  const watch =
    bound === undefined
      ? undefined
      : watchFile(socketPath, (found) => found.isSocket() && isOther(found), options);
  // New connections wait in the queue of the socket for the next process that gets it.
  const close = (): Promise<void> => {
    clearInterval(watch);
    return Promise.resolve(void server.close());
  };
  let closing: Promise<void> | undefined;
  return { socketPath, close: () => (closing ??= close()) };
}

function serverFor(onConnection: (socket: net.Socket) => void, allowHalfOpen: boolean): net.Server {
  return net.createServer({ allowHalfOpen }, (socket) => {
    // A client may be gone before anybody listens for its errors; its 'close' follows in any case.
    socket.on('error', () => undefined);
    onConnection(socket);
  });
}

/** How often the socket file is checked while somebody wants to know whether it was replaced. */
const watchIntervalMs = 200;

function watchFile(
  file: string,
  isReplaced: (found: Stats) => boolean,
  options: ListenOptions,
): NodeJS.Timeout | undefined {
  if (options.onReplaced === undefined) return undefined;
  const look = async (): Promise<void> => {
    const found = await fs.lstat(file).catch(() => undefined);
    if (found === undefined || !isReplaced(found)) return;
    clearInterval(timer);
    if (!wasReported) options.onReplaced?.();
    wasReported = true;
  };
  let wasReported = false;
  const timer = setInterval(() => void look(), watchIntervalMs);
  timer.unref();
  return timer;
}

async function refuseOthers(socketPath: string, takeOver: boolean): Promise<void> {
  const found = await statOrUndefined(socketPath);
  if (found === undefined) return;
  if (!found.isSocket())
    throw new SocketPathError(socketPath, 'a file that is not a socket exists');
  if (!takeOver && (await isSocketServed(socketPath))) throw new SocketInUseError(socketPath);
}

/**
 * True when something listens on the socket; a full accept queue counts, a refused connection does
 * not.
 */
export function isSocketServed(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(socketPath);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'EAGAIN' || error.code === 'EACCES' || error.code === 'EPERM');
    });
  });
}

async function statOrUndefined(file: string): Promise<Stats | undefined> {
  try {
    return await fs.lstat(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new SocketPathError(file, errorMessage(error), { cause: error });
  }
}

async function resolveGroup({ socketPath, group }: ListenOptions): Promise<number> {
  if (typeof group === 'number') return group;
  const name = group ?? '';
  if (/^\d+$/.test(name)) return Number(name);
  const lines = (await fs.readFile('/etc/group', 'utf8')).split('\n');
  const entry = lines.map((line) => line.split(':')).find(([candidate]) => candidate === name);
  if (entry?.[2] === undefined) throw new SocketPathError(socketPath, `no group named ${name}`);
  return Number(entry[2]);
}

/**
 * Creates a folder that others may read, and its parents. Not with Node's `recursive`, which never
 * returns where the system reports ENOENT for a folder whose parent exists, as in `/proc`.
 */
async function makeFolder(folder: string): Promise<void> {
  const found = (file: string): Promise<Stats | undefined> => fs.stat(file).catch(() => undefined);
  try {
    await fs.mkdir(folder, { mode: 0o755 });
  } catch (error) {
    if ((await found(folder))?.isDirectory() === true) return;
    const above = path.dirname(folder);
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' || (await found(above)) !== undefined) throw error;
    await makeFolder(above);
    await makeFolder(folder);
  }
}
