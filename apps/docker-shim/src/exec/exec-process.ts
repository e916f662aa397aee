import { inTime, pause } from '@stowage/async';
import { FailedPreconditionError } from '@stowage/errors';
import type { Socket } from 'node:net';
import type { EngineClient } from '../engine/engine-client';
import { EngineAnswerError, EngineResponseError, isNotFound } from '../engine/engine-errors';
import { ExecStartError } from './errors';
import { killProcessTree } from './process-tree';
import { KeptOutput, readTerminal, splitStream, type Sinks } from './split-stream';

/** The calls of the engine that an exec is made of. */
export type ExecClient = Pick<
  EngineClient,
  'createExec' | 'startExec' | 'inspectExec' | 'resizeExec'
>;

export interface ExecCommand {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** How long it is waited for the exit code once the streams have ended, milliseconds. */
const exitWithinMs = 10_000;
/** How long the engine has to answer what is asked when the caller has gone, milliseconds. */
const cleanUpMs = 5000;
/** How long it may take to start what nobody waits for any more, milliseconds. */
const startWithinMs = 30_000;
/** How often it is looked whether the engine still knows a command that prints, milliseconds. */
const knownEachMs = { first: 250, longest: 5000 };
/** Time for the last output of a command that the engine has forgotten, milliseconds. */
const lastOutputMs = 500;
const shortestPauseMs = 2;
const longestPauseMs = 250;
/** Longest error text of the engine, bytes. */
const maxErrorBytes = 16 * 1024;
/**
 * Keys that end the connection of a terminal. The engine's default would keep each ctrl-p from the
 * command; it takes nothing but ASCII here, so it is a key that nobody types so often in a row.
 */
const detachKeys = Array.from({ length: 32 }, () => 'ctrl-^').join(',');

/** One command in a container, from its creation in the engine to its exit code. */
export class ExecProcess {
  #stream: Socket | undefined;
  #isStartAsked = false;
  #pid: number | undefined;

  private constructor(
    private readonly client: ExecClient,
    private readonly containerId: string,
    private readonly execId: string,
    private readonly tty: boolean,
  ) {}

  /** @throws {FailedPreconditionError} when the container is not running (any more). */
  static async create(
    client: ExecClient,
    containerId: string,
    { command, tty, stdin, stdout, stderr }: ExecCommand,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<ExecProcess> {
    const exec = {
      Cmd: [...command],
      Tty: tty,
      AttachStdin: stdin,
      AttachStdout: stdout,
      AttachStderr: stderr,
      DetachKeys: detachKeys,
    };
    try {
      const execId = await client.createExec(containerId, exec, { signal });
      return new ExecProcess(client, containerId, execId, tty);
    } catch (error) {
      if (!(error instanceof EngineResponseError) || error.status !== 409) throw error;
      throw new FailedPreconditionError(error.message, { cause: error });
    }
  }

  /** Starts it, and returns its input; ending that is the end of the command's input. */
  async start({ signal }: { readonly signal: AbortSignal }): Promise<Socket> {
    this.#isStartAsked = true;
    this.#stream = await this.client.startExec(this.execId, { tty: this.tty }, { signal });
    return this.#stream;
  }

  /**
   * Waits until it runs. The engine reports that it could not be started as output of the command:
   * until it is known, nothing of the output is read.
   *
   * @throws {ExecStartError}
   */
  async begun({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const found = await this.#inspectUntil(({ Pid, ExitCode }) => {
      if (Pid != null && Pid > 0) return { pid: Pid };
      return ExitCode == null ? undefined : { pid: undefined };
    }, signal);
    if (found.pid === undefined) throw await this.#startError();
    this.#pid = found.pid;
  }

  /**
   * Reads all output; resolves when it has ended.
   *
   * @throws {FailedPreconditionError} when the container has ended and nothing more will come: the
   *   engine forgets its commands then, and may leave their streams open for ever.
   */
  async readOutput(sinks: Sinks): Promise<void> {
    const stream = this.#openStream();
    const ended = new AbortController();
    const output = (
      this.tty ? readTerminal(stream, sinks.stdout) : splitStream(stream, sinks)
    ).finally(() => ended.abort());
    await Promise.race([output, this.#forgotten(output, ended.signal)]);
  }

  /**
   * The exit code, when the output has ended.
   *
   * @param withinMs how long the engine may take to report it, milliseconds.
   * @throws when it is not known, for instance because the engine is gone: never 0 then.
   */
  async exitCode(
    { signal }: { readonly signal: AbortSignal },
    withinMs = exitWithinMs,
  ): Promise<number> {
    const late = AbortSignal.timeout(withinMs);
    try {
      return await this.#inspectUntil(
        ({ Running, ExitCode }) => (Running === true || ExitCode == null ? undefined : ExitCode),
        AbortSignal.any([signal, late]),
      );
    } catch (error) {
      if (signal.aborted || !late.aborted) throw error;
      throw new EngineAnswerError('inspect exec', 'has no exit code, though all output has ended');
    }
  }

  /** Whether it runs; it does until the engine says otherwise. */
  async isRunning(): Promise<boolean> {
    try {
      const { Running } = await this.client.inspectExec(this.execId, { timeoutMs: cleanUpMs });
      return Running !== false;
    } catch (error) {
      return !isNotFound(error);
    }
  }

  async resize(size: { readonly width: number; readonly height: number }): Promise<void> {
    await this.client.resizeExec(this.execId, size, { timeoutMs: cleanUpMs });
  }

  /**
   * Kills it with all it has started, also when the engine is only starting it.
   *
   * @returns how many processes are left after two seconds; undefined when it never ran.
   */
  async kill(): Promise<number | undefined> {
    if (!this.#isStartAsked) return undefined;
    if (this.#pid === undefined) {
      const signal = AbortSignal.timeout(startWithinMs);
      await this.begun({ signal }).catch(() => undefined);
    }
    return this.#pid === undefined ? undefined : killProcessTree(this.#pid, this.containerId);
  }

  /** Ends its input. */
  endInput(): void {
    this.#stream?.end();
  }

  /** Leaves the connection. The engine does not end a command for that. */
  close(): void {
    this.#stream?.destroy();
  }

  #openStream(): Socket {
    if (this.#stream === undefined) throw new Error('the exec is not started');
    return this.#stream;
  }

  async #startError(): Promise<ExecStartError> {
    const text = new KeptOutput(maxErrorBytes);
    const sinks = { stdout: text.sink, stderr: text.sink };
    if (this.#stream !== undefined) {
      await inTime(this.readOutput(sinks), cleanUpMs).catch(() => undefined);
    }
    const said = text.content().toString().trim();
    return new ExecStartError(said === '' ? 'the command could not be started' : said);
  }

  /** Throws when the engine does not know the command any more; resolves when the output ends. */
  async #forgotten(output: Promise<void>, ended: AbortSignal): Promise<void> {
    const { first, longest } = knownEachMs;
    const isOver = () => ended.aborted;
    for (let pauseMs = first; ; pauseMs = Math.min(2 * pauseMs, longest)) {
      await pause(pauseMs, { signal: ended });
      if (isOver()) return;
      try {
        await this.client.inspectExec(this.execId, { signal: ended, timeoutMs: cleanUpMs });
      } catch (error) {
        // An engine that is gone cuts the stream.
        if (!isNotFound(error)) continue;
        await inTime(output, lastOutputMs).catch(() => undefined);
        if (!isOver()) throw this.#containerEnded(error);
      }
    }
  }

  #containerEnded(cause: unknown): FailedPreconditionError {
    return new FailedPreconditionError(
      `container ${this.containerId.slice(0, 12)} has ended, and how the command ended is not known`,
      { cause },
    );
  }

  async #inspectUntil<T>(
    look: (exec: Awaited<ReturnType<ExecClient['inspectExec']>>) => T | undefined,
    signal: AbortSignal,
  ): Promise<T> {
    for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      const exec = await this.client
        .inspectExec(this.execId, { signal })
        .catch((error: unknown) => {
          throw isNotFound(error) ? this.#containerEnded(error) : error;
        });
      const found = look(exec);
      if (found !== undefined) return found;
      await pause(pauseMs, { signal });
      signal.throwIfAborted();
    }
  }
}
