import { inTime } from '@stowage/async';
import type { ExecSyncRequest, ExecSyncResponse } from '@stowage/cri-proto';
import { DeadlineExceededError, InvalidArgumentError } from '@stowage/errors';
import type { EngineConnection } from '../engine/engine-connection';
import { ExecProcess } from './exec-process';
import type { ExecListener, RunningThings } from './running-things';
import { KeptOutput } from './split-stream';

/** What is kept of each output, bytes; the command runs on when there is more. */
const maxOutputBytes = 16 * 1024 * 1024;
/** How long the answer waits for the end of a command that is killed, milliseconds. */
const killedWithinMs = 1500;
/** Longest time that a timer can wait, milliseconds: 24 days, after which nobody waits. */
const longestTimerMs = 2 ** 31 - 1;

/** ExecSync: a command whose outputs are answered when it has ended. */
export class ExecSync {
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly things: Pick<RunningThings, 'container'>,
    private readonly listener: ExecListener,
  ) {}

  /**
   * Runs a command. At its time limit, or when the caller gives up, it is killed with all that it
   * has started.
   *
   * @throws {DeadlineExceededError} at the limit; {ExecStartError} when it could not be started.
   */
  async run(
    { containerId, cmd, timeout }: Pick<ExecSyncRequest, 'containerId' | 'cmd' | 'timeout'>,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<ExecSyncResponse> {
    if (cmd.length === 0) throw new InvalidArgumentError('cmd', '', 'a command');
    const limitMs = Number(timeout) * 1000;
    const limit = new AbortController();
    const timer =
      limitMs > 0 && limitMs <= longestTimerMs
        ? setTimeout(() => limit.abort(new DeadlineExceededError('command', limitMs)), limitMs)
        : undefined;
    try {
      return await this.#run(containerId, cmd, limit.signal, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #run(
    containerId: string,
    command: readonly string[],
    limit: AbortSignal,
    caller: AbortSignal,
  ): Promise<ExecSyncResponse> {
    const call = { signal: AbortSignal.any([caller, limit]) };
    const { id } = await this.things.container(containerId, call.signal);
    const exec = await ExecProcess.create(
      this.connection.engine().client,
      id,
      { command, tty: false, stdin: false, stdout: true, stderr: true },
      call,
    );
    const stdout = new KeptOutput(maxOutputBytes);
    const stderr = new KeptOutput(maxOutputBytes);
    const close = () => exec.close();
    call.signal.addEventListener('abort', close, { once: true });
    try {
      await exec.start(call);
      await exec.begun(call);
      await exec.readOutput({ stdout: stdout.sink, stderr: stderr.sink });
      const exitCode = await exec.exitCode(call);
      return { stdout: stdout.content(), stderr: stderr.content(), exitCode };
    } catch (error) {
      if (!call.signal.aborted) throw error;
      const reason = limit.aborted ? 'time-limit' : 'cancelled';
      const killing = exec.kill().then((left) => {
        if (left !== undefined) this.listener.killed(reason, left);
      });
      await inTime(killing, killedWithinMs).catch(() => undefined);
      throw call.signal.reason;
    } finally {
      call.signal.removeEventListener('abort', close);
      exec.close();
    }
  }
}
