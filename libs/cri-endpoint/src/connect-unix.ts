import net from 'node:net';

/** While the accept queue is full: pause between attempts, and how long to go on. */
const queueRetryMs = 10;
const queueLimitMs = 2_000;

/** An attempt to connect. */
export interface Connecting {
  /**
   * Ends the attempt; nothing is called after it, and a connection that was passed on is not
   * touched.
   */
  cancel(): void;
}

/**
 * Connects to a unix socket once; again only while its accept queue is full (EAGAIN), where a
 * blocking connect would wait. Exactly one of the two is called, and never in this call.
 */
export function connectUnix(
  socketPath: string,
  on: { connected(socket: net.Socket): void; failed(error: Error): void },
  options: Pick<net.IpcNetConnectOpts, 'allowHalfOpen' | 'onread'> = {},
): Connecting {
  const giveUpAt = performance.now() + queueLimitMs;
  let timer: NodeJS.Timeout | undefined;
  let current: net.Socket | undefined;
  let isOver = false;
  const attempt = (): void => {
    const socket = net.connect({ ...options, path: socketPath });
    current = socket;
    socket.once('connect', () => {
      if (isOver) return;
      isOver = true;
      current = undefined;
      on.connected(socket);
    });
    // The listener stays: errors of a connection that was handed over are followed by 'close'.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (isOver) return;
      if (error.code === 'EAGAIN' && performance.now() < giveUpAt) {
        timer = setTimeout(attempt, queueRetryMs);
        return;
      }
      isOver = true;
      on.failed(error);
    });
  };
  attempt();
  return {
    cancel: () => {
      isOver = true;
      clearTimeout(timer);
      current?.destroy();
    },
  };
}
