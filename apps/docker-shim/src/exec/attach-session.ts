import { pause } from '@stowage/async';
import type { ExecIo, ExecTarget, RequestedStreams } from '@stowage/cri-streaming';
import { StowageError } from '@stowage/errors';
import type { EngineConnection } from '../engine/engine-connection';
import { EngineUnreachableError } from '../engine/engine-errors';
import { resizing } from './resizing';
import type { RunningContainer, RunningThings } from './running-things';
import { readTerminal, splitStream, writeTo } from './split-stream';

/** How long a container that has ended may be reported as running, milliseconds. */
const endSeenWithinMs = 2000;
const intervalMs = 100;

/** Attach: the streams of a container with those of a client. */
export class AttachSessions {
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly things: Pick<RunningThings, 'container'>,
  ) {}

  /** What a session runs. It ends with the container or the client, and changes neither. */
  target(container: RunningContainer, streams: RequestedStreams): ExecTarget {
    return { run: (io) => this.#run(container, streams, io) };
  }

  async #run(
    { id, tty, stdinOnce }: RunningContainer,
    { stdin, stdout, stderr }: RequestedStreams,
    io: ExecIo,
  ): Promise<number> {
    const { client, lost } = this.connection.engine();
    await this.things.container(id, io.signal);
    const stream = await client.attachContainer(id, { stdin, stdout, stderr }, io);
    const leave = () => stream.destroy();
    io.signal.addEventListener('abort', leave, { once: true });
    if (io.signal.aborted) leave();
    try {
      // The engine ends the outputs with the input, but for a container whose input ends with that
      // of its first client.
      io.stdin?.pipe(stream, { end: stdinOnce && !tty });
      stream.once('close', () => io.stdin?.unpipe(stream).resume());
      if (tty) io.onResize(resizing((size) => client.resizeContainer(id, size)));
      const sinks = { stdout: writeTo(io.stdout), stderr: writeTo(io.stderr) };
      if (tty) await readTerminal(stream, sinks.stdout);
      else await splitStream(stream, sinks);
      await this.#ended(id, lost, client.endpoint, io.signal);
      return 0;
    } finally {
      io.signal.removeEventListener('abort', leave);
      stream.destroy();
    }
  }

  /**
   * Tells the end of a container, or of its outputs, from that of the engine.
   *
   * @throws when the engine is gone.
   */
  async #ended(
    id: string,
    lost: AbortSignal,
    endpoint: string,
    signal: AbortSignal,
  ): Promise<void> {
    const until = performance.now() + endSeenWithinMs;
    while (performance.now() < until) {
      try {
        await this.things.container(id, signal);
      } catch (error) {
        const status = error instanceof StowageError ? error.grpcStatus : undefined;
        if (status === 'FAILED_PRECONDITION' || status === 'NOT_FOUND') return;
        throw error;
      }
      if (lost.aborted) {
        throw new EngineUnreachableError('attach container', endpoint, 'the connection ended');
      }
      await pause(intervalMs, { signal });
      signal.throwIfAborted();
    }
  }
}
