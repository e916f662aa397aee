import { inTime } from '@stowage/async';
import { FailedPreconditionError, NotFoundError, UnimplementedError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { linkLog, unlinkLog } from './log-link';
import type { CopierNumbers } from './log-copier';
import type { LogReport } from './log-messages';
import { LogPositions } from './log-positions';
import { LogThread } from './log-thread';

/** How a container's log is made: a copy in the CRI's format, or a link to the engine's file. */
export type LogMode = 'copy' | 'link';

export interface ContainerLogsOptions {
  /** Of containers that are created from now on. */
  readonly mode: LogMode;
  /** Size at which the engine begins another file, bytes. */
  readonly maxSizeBytes: number;
  /** Files that the engine keeps of a container, at least 2. */
  readonly maxFile: number;
  readonly stateDir: string;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly listener: LogListener;
}

/** For metrics. */
export interface LogListener {
  copied(numbers: CopierNumbers): void;
  reopened(): void;
  /** The thread that copies logs ended by itself. */
  threadFailed(): void;
}

/** A container with a log. */
export interface LoggedContainer {
  readonly id: string;
  /** As it was created: of what is not ours, `link`. */
  readonly mode: LogMode;
  /** Absolute path of its log in the CRI; empty for none. */
  readonly logPath: string;
  /** Path of the engine's file; empty when the engine keeps none. */
  readonly enginePath: string;
}

interface Known extends LoggedContainer {
  isEnded: boolean;
  isDrained: boolean;
  /** Resolves when it is drained. */
  drained: Promise<void>;
  resolveDrained: () => void;
}

/**
 * The logs of containers in the CRI: kubelet's file follows the engine's. Lines are copied once
 * each, also over an end of this process, and over rotations of both sides.
 */
export class ContainerLogs {
  readonly #options: ContainerLogsOptions;
  readonly #positions: LogPositions;
  readonly #thread: LogThread;
  readonly #known = new Map<string, Known>();
  #isUnwatched = false;

  /** Throws when `logs.db` in the state directory is of a newer release, or no regular file. */
  constructor(options: ContainerLogsOptions) {
    const { stateDir, log, listener } = options;
    this.#options = options;
    this.#positions = new LogPositions({ stateDir, problem: (message) => log.warn({}, message) });
    this.#thread = new LogThread({
      report: (report) => this.#reported(report),
      failed: (error) => {
        listener.threadFailed();
        log.warn({ err: error }, 'copying of logs ended, and is started again');
      },
      restarted: () => this.#followAgain(),
    });
  }

  /** Of containers that are created now. */
  get mode(): LogMode {
    return this.#options.mode;
  }

  /**
   * The engine's log of a new container, whatever its default driver is. Rotated files stay
   * uncompressed, so that they can be read to their end.
   */
  engineConfig(): { Type: 'json-file'; Config: Record<string, string> } {
    const { maxSizeBytes, maxFile } = this.#options;
    return {
      Type: 'json-file',
      Config: { 'max-size': `${maxSizeBytes}`, 'max-file': `${maxFile}`, compress: 'false' },
    };
  }

  /**
   * Makes the folder and the file of a copied log, so that they are there when the start fails.
   * Nothing for a link, and for an empty path. Rejects with the system's reason.
   */
  async prepare({ mode, logPath }: Pick<LoggedContainer, 'mode' | 'logPath'>): Promise<void> {
    if (mode === 'link' || logPath === '') return;
    await this.#thread.ask({ do: 'prepare', logPath });
  }

  /**
   * Copies the log from where it is copied to, until the container has ended; or makes the link.
   * For a container that is followed already, nothing changes.
   */
  async follow(container: LoggedContainer): Promise<void> {
    const { id, mode, logPath, enginePath } = container;
    const known = this.#known.get(id);
    if (known === undefined || known.isEnded) this.#known.set(id, newlyKnown(container));
    if (logPath === '') return;
    if (enginePath === '') {
      this.#options.log.warn({ containerId: id }, 'the engine keeps no log file of the container');
      return;
    }
    if (mode === 'link') await linkLog(logPath, enginePath);
    else await this.#askToFollow(container);
  }

  /**
   * The container has ended: copies what is left and stops. Resolves when that is done, or after
   * `withinMs` milliseconds; the copying goes on then. At once for what is not copied.
   */
  async ended(id: string, { withinMs }: { readonly withinMs: number }): Promise<void> {
    const known = this.#known.get(id);
    if (known === undefined || !isCopied(known) || known.isDrained) return;
    if (!known.isEnded) {
      known.isEnded = true;
      void this.#thread.ask({ do: 'ended', id }).catch(askedAgain);
    }
    await inTime(known.drained, withinMs);
  }

  /** Whether it is known of the container where its log is. */
  isFollowed(id: string): boolean {
    return this.#known.has(id);
  }

  /** Whether its end is known, so that its log is copied to that and no further. */
  hasEnded(id: string): boolean {
    return this.#known.get(id)?.isEnded === true;
  }

  /**
   * Continues in a new file at the container's path; resolves when that is open. NOT_FOUND for what
   * is not followed, FAILED_PRECONDITION after the container's end, UNIMPLEMENTED for a link; else
   * the system's reason.
   */
  async reopen(id: string): Promise<void> {
    const known = this.#known.get(id);
    if (known === undefined) throw new NotFoundError('container', id);
    if (known.logPath === '') return;
    if (known.mode === 'link') {
      const reason = "the log of this container is a link to Docker Engine's file";
      throw new UnimplementedError('ReopenContainerLog', reason);
    }
    if (known.isEnded) throw new FailedPreconditionError(`container ${id} is not running`);
    await this.#thread.ask({ do: 'reopen', id });
    this.#options.listener.reopened();
  }

  /**
   * The container is removed: its log is copied no more, and nothing is remembered of it. A copy
   * stays where it is; a link is removed if it leads into the engine's folder of the container.
   */
  async removed(id: string): Promise<void> {
    const known = this.#known.get(id);
    this.#known.delete(id);
    this.#positions.remove(id);
    if (known === undefined || known.logPath === '') return;
    known.resolveDrained();
    if (known.mode === 'link') await unlinkLog(known.logPath, known.enginePath);
    else await this.#thread.ask({ do: 'removed', id }).catch(askedAgain);
  }

  /** Forgets the positions of all containers but these: of what was removed while nobody looked. */
  keepOnly(ids: Iterable<string>): void {
    this.#positions.keepOnly(new Set(ids));
  }

  /** Stops to copy, and keeps how far it is. The next start copies what is written later. */
  async close(): Promise<void> {
    await this.#thread.close();
    this.#positions.close();
  }

  #askToFollow({ id, enginePath, logPath }: LoggedContainer): Promise<void> {
    const kept = this.#positions.get(id);
    return this.#thread
      .ask({ do: 'follow', log: { id, enginePath, logPath }, kept })
      .catch(askedAgain);
  }

  #followAgain(): void {
    for (const known of this.#known.values()) {
      if (!isCopied(known) || known.isDrained) continue;
      void this.#askToFollow(known);
      if (known.isEnded) void this.#thread.ask({ do: 'ended', id: known.id }).catch(askedAgain);
    }
  }

  #reported(report: Exclude<LogReport, { is: 'answer' }>): void {
    const { log, listener } = this.#options;
    switch (report.is) {
      case 'positions': {
        // A last one of a container that was removed meanwhile is not kept.
        this.#positions.put([...report.positions].filter(([id]) => this.#known.has(id)));
        return;
      }
      case 'numbers':
        listener.copied(report.numbers);
        return;
      case 'drained': {
        const known = this.#known.get(report.id);
        if (known === undefined || !known.isEnded) return;
        known.isDrained = true;
        known.resolveDrained();
        return;
      }
      case 'blocked': {
        const { id, side, reason } = report;
        log.warn({ containerId: id, side, reason }, 'the log of a container cannot be copied');
        return;
      }
      case 'resumed':
        log.info({ containerId: report.id }, 'the log of a container is copied again');
        return;
      case 'unwatched':
        if (this.#isUnwatched) return;
        this.#isUnwatched = true;
        log.warn(
          { reason: report.reason },
          'changes of logs cannot be watched, so they are read every second',
        );
    }
  }
}

/** When the thread is started again, it gets to know all containers, and which have ended. */
const askedAgain = (): void => undefined;

const isCopied = ({ mode, logPath, enginePath }: LoggedContainer): boolean =>
  mode === 'copy' && logPath !== '' && enginePath !== '';

function newlyKnown({ id, mode, logPath, enginePath }: LoggedContainer): Known {
  let resolveDrained = (): void => undefined;
  const drained = new Promise<void>((resolve) => (resolveDrained = resolve));
  const state = { isEnded: false, isDrained: false, drained, resolveDrained };
  return { id, mode, logPath, enginePath, ...state };
}
