import net from 'node:net';

export interface LockOptions {
  /** Called once, when another process has the lock. */
  readonly onWait?: () => void;
  /** Ends the waiting: the promise rejects with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Runs `action` while no other process of this user runs one under the same name.
 *
 * The lock is an abstract unix socket: whoever listens on the name holds it, the others are
 * connected to it and learn by the end of the connection that it is free. The kernel frees it with
 * its holder, so a crash leaves no stale lock behind.
 */
export async function withLock<T>(
  name: string,
  action: () => Promise<T>,
  { onWait, signal }: LockOptions = {},
): Promise<T> {
  // In its full length (`sun_path`), without NUL bytes: Node.js 20 fills a shorter name with them,
  // later ones do not, and some refuse them.
  const address = `\0stowage-testing-${process.getuid?.() ?? 0}-${name}`.padEnd(108, '.');
  let release = await tryListen(address);
  if (release === undefined) onWait?.();
  while (release === undefined) {
    signal?.throwIfAborted();
    await untilReleased(address, signal);
    release = await tryListen(address);
  }
  try {
    return await action();
  } finally {
    await release();
  }
}

function tryListen(address: string): Promise<(() => Promise<void>) | undefined> {
  return new Promise((resolve, reject) => {
    const waiting = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      waiting.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => waiting.delete(socket));
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => {
      resolve(
        () =>
          new Promise((released) => {
            server.close(() => released());
            for (const socket of waiting) socket.destroy();
          }),
      );
    });
  });
}

function untilReleased(address: string, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(address);
    const leave = (): void => {
      socket.destroy();
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', leave, { once: true });
    socket.on('error', () => undefined); // refused or reset: the holder is gone
    socket.on('close', () => {
      signal?.removeEventListener('abort', leave);
      resolve();
    });
    socket.resume();
  });
}
