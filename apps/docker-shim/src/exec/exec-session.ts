import { pause } from '@stowage/async';
import type { ExecIo, ExecTarget } from '@stowage/cri-streaming';
import type { EngineConnection } from '../engine/engine-connection';
import { ExecProcess, type ExecCommand } from './exec-process';
import type { ExecListener } from './running-things';
import { resizing } from './resizing';
import { writeTo } from './split-stream';

/** How often it is looked whether the command of a client that is gone has ended, milliseconds. */
const orphanIntervalMs = 500;

export interface ExecSessionsOptions {
  /**
   * How long a command may run on when its client is gone, milliseconds; undefined for as long as
   * it likes.
   */
  readonly orphanGraceMs: number | undefined;
  readonly listener: ExecListener;
}

/** Exec: commands with the streams of a client. */
export class ExecSessions {
  readonly #orphans = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly options: ExecSessionsOptions,
  ) {}

  /** What a session runs. */
  target(containerId: string, command: ExecCommand): ExecTarget {
    return { run: (io) => this.#run(containerId, command, io) };
  }

  /** Kills commands whose clients are gone without waiting for the end of their time. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#orphans);
  }

  async #run(containerId: string, command: ExecCommand, io: ExecIo): Promise<number> {
    const { client } = this.connection.engine();
    const exec = await ExecProcess.create(client, containerId, command, io);
    try {
      const input = await exec.start(io);
      // With a terminal the engine takes the end of the input as that of the connection.
      io.stdin?.pipe(input, { end: !command.tty });
      if (io.stdin === undefined && command.stdin) input.end();
      input.once('close', () => io.stdin?.unpipe(input).resume());
      await exec.begun(io);
      if (command.tty) io.onResize(resizing((size) => exec.resize(size)));
      // When the client is gone, its streams take no more, and what comes is dropped.
      const output = exec.readOutput({ stdout: writeTo(io.stdout), stderr: writeTo(io.stderr) });
      output.catch(() => undefined);
      await Promise.race([output, aborted(io.signal)]);
      io.signal.throwIfAborted();
      return await exec.exitCode(io);
    } catch (error) {
      if (!io.signal.aborted) {
        exec.close();
        throw error;
      }
      this.#leave(exec);
      throw error;
    }
  }

  #leave(exec: ExecProcess): void {
    const left = this.#endOrphan(exec).catch(() => undefined);
    this.#orphans.add(left);
    void left.then(() => this.#orphans.delete(left));
  }

  async #endOrphan(exec: ExecProcess): Promise<void> {
    const { orphanGraceMs, listener } = this.options;
    exec.endInput();
    if (orphanGraceMs === undefined) return;
    const until = performance.now() + orphanGraceMs;
    const { signal } = this.#closing;
    for (;;) {
      const leftMs = until - performance.now();
      if (leftMs <= 0 || signal.aborted) break;
      await pause(Math.min(leftMs, orphanIntervalMs), { signal });
      if (!(await exec.isRunning())) {
        exec.close();
        return;
      }
    }
    const left = await exec.kill();
    if (left !== undefined) listener.killed('client-gone', left);
    exec.close();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
