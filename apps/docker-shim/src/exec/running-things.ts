/** What has to be known of containers and sandboxes to run something in them. */
export interface RunningThings {
  /**
   * Finds a container by its id or the beginning of it; rejects with NOT_FOUND, INVALID_ARGUMENT
   * (there are several) or FAILED_PRECONDITION (it is not running).
   */
  container(id: string, signal?: AbortSignal): Promise<RunningContainer>;
  /** The same for a sandbox. */
  sandbox(id: string, signal?: AbortSignal): Promise<RunningSandbox>;
}

export interface RunningContainer {
  readonly id: string;
  readonly pid: number;
  readonly tty: boolean;
  readonly openStdin: boolean;
  readonly stdinOnce: boolean;
}

export interface RunningSandbox {
  readonly id: string;
  readonly pid: number;
  readonly hostNetwork: boolean;
}

/** What is told of commands, for metrics. */
export interface ExecListener {
  /**
   * A command was killed: at its time limit, because the caller gave up, or some time after the
   * client of a session was gone. `left` is how many of its processes are still there.
   */
  killed(reason: ExecKillReason, left: number): void;
}

export type ExecKillReason = 'time-limit' | 'cancelled' | 'client-gone';
