import type { ExecIo, ExecTarget } from '../types';
import { StreamingServer, type StreamingServerOptions } from '../streaming-server';

/** A server on loopback, with short limits where a test gives none. */
export function listen(options: Partial<StreamingServerOptions> = {}): Promise<StreamingServer> {
  return StreamingServer.listen({
    host: '127.0.0.1',
    port: 0,
    idleTimeoutMs: 60_000,
    maxSessions: 256,
    ...options,
  });
}

/** Runs a function as a command. */
export const command = (run: (io: ExecIo) => Promise<number> | number): ExecTarget => ({
  run: async (io) => run(io),
});

/** As `cat`: writes what it reads, and ends when that does. */
export const cat = command(async ({ stdin, stdout }) => {
  for await (const chunk of stdin!) {
    if (!stdout!.write(chunk)) await new Promise((resolve) => stdout!.once('drain', resolve));
  }
  return 0;
});

/** Waits until the client is gone, or the server ends it. */
export const untilStopped = command(
  ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(1))),
);

export const only = (...names: ('stdin' | 'stdout' | 'stderr' | 'tty')[]) => ({
  stdin: names.includes('stdin'),
  stdout: names.includes('stdout'),
  stderr: names.includes('stderr'),
  tty: names.includes('tty'),
});
