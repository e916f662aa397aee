import { InternalError } from '@stowage/errors';
import { once } from 'node:events';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { LogReport, LogRequest } from './log-messages';

/** How long the thread may take to report where it stands and to end, milliseconds. */
const closeMs = 2000;
/**
 * Pause before a thread that has ended by itself is started again, milliseconds; twice as long each
 * time when it answers nothing.
 */
const restartMs = { first: 1000, longest: 30_000 };

/** Memory that the thread may use for JavaScript, MiB: its buffers are outside of that. */
const resourceLimits = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 };

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export interface LogThreadListener {
  /** Everything but answers. */
  report(report: Exclude<LogReport, { is: 'answer' }>): void;
  /** It ended by itself and is started again soon. Nothing is followed any more. */
  failed(error: Error): void;
  /** It was started again. */
  restarted(): void;
}

/** The thread that copies logs, started with the first request. */
export class LogThread {
  #worker: Worker | undefined;
  #restart: NodeJS.Timeout | undefined;
  #restartMs = restartMs.first;
  #isClosed = false;
  #number = 0;
  readonly #waiting = new Map<number, Waiting>();

  constructor(private readonly listener: LogThreadListener) {}

  /**
   * Resolves when it is done. Rejects with what the thread says about a failure, and when the
   * thread ends.
   */
  ask(request: LogRequest): Promise<void> {
    if (this.#isClosed || this.#restart !== undefined) {
      return Promise.reject(new InternalError('logs are not copied at present'));
    }
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const number = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      worker.postMessage({ ...request, number });
    });
  }

  /** Ends it, with its positions reported. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    const worker = this.#worker;
    const closing = worker === undefined ? undefined : this.ask({ do: 'close' });
    this.#isClosed = true;
    clearTimeout(this.#restart);
    if (worker === undefined) return;
    const timer = setTimeout(() => void worker.terminate(), closeMs);
    await closing?.catch(() => undefined);
    if (this.#worker !== undefined) await once(worker, 'exit');
    clearTimeout(timer);
  }

  #start(): Worker {
    const worker = startWorker();
    worker.on('message', (report: LogReport) => this.#received(report));
    let cause = new Error('the thread that copies logs has ended');
    worker.on('error', (error: Error) => (cause = error));
    worker.once('exit', () => this.#exited(cause));
    return worker;
  }

  #received(report: LogReport): void {
    if (report.is !== 'answer') {
      this.listener.report(report);
      return;
    }
    this.#restartMs = restartMs.first;
    const waiting = this.#waiting.get(report.number);
    this.#waiting.delete(report.number);
    if (report.failure === undefined) waiting?.resolve();
    else waiting?.reject(new InternalError(report.failure));
  }

  #exited(cause: Error): void {
    this.#worker = undefined;
    const error = new InternalError('the thread that copies logs has ended', { cause });
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    if (this.#isClosed) return;
    this.#restart = setTimeout(() => {
      this.#restart = undefined;
      this.listener.restarted();
    }, this.#restartMs);
    this.#restartMs = Math.min(this.#restartMs * 2, restartMs.longest);
    this.listener.failed(cause);
  }
}

/** In the bundle it is a file beside this one; a source is loaded through tsx. */
function startWorker(): Worker {
  const extension = path.extname(__filename);
  const file = path.join(__dirname, `copy-logs.thread${extension}`);
  if (extension !== '.ts') return new Worker(file, { resourceLimits });
  const load = [require.resolve('tsx/cjs'), file].map((name) => `require(${JSON.stringify(name)})`);
  const tsconfig = path.resolve(__dirname, '../../../../tsconfig.json');
  return new Worker(load.join(';'), {
    eval: true,
    resourceLimits,
    env: { ...process.env, TSX_TSCONFIG_PATH: tsconfig },
  });
}
