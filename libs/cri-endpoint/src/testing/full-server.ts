// A gRPC server in a process of its own whose accept queue is full for a while.
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import net from 'node:net';

/** A server that nobody can connect to until it wakes up. */
export interface FullServer {
  close(): void;
}

/**
 * Listens with room for one connection, does nothing for half a second, and answers every call with
 * OK and no message from then on. Resolves when the queue is full: who connects gets EAGAIN.
 */
export async function startFullServer(socketPath: string): Promise<FullServer> {
  const script = `
    const server = require('http2').createServer();
    server.on('stream', (stream) =>
      stream.respond({ ':status': 200, 'grpc-status': '0' }, { endStream: true }));
    server.on('sessionError', () => undefined);
    server.listen({ path: ${JSON.stringify(socketPath)}, backlog: 1 }, () =>
      process.send('listening', () =>
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)));`;
  const child = spawn(process.execPath, ['-e', script], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  await new Promise((resolve) => child.once('message', resolve));
  const fillers: net.Socket[] = [];
  const connects = (): Promise<string> =>
    new Promise((resolve) => {
      const socket = net.connect(socketPath);
      fillers.push(socket);
      socket.once('connect', () => resolve('connected'));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    });
  let answer: string;
  do answer = await connects();
  while (answer === 'connected');
  if (answer !== 'EAGAIN') throw new Error(`connecting to a full queue: ${answer}`);
  return {
    close: () => {
      for (const socket of fillers) socket.destroy();
      child.kill('SIGKILL');
      rmSync(socketPath, { force: true });
    },
  };
}
