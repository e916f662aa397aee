import { errorMessage, toGrpcStatus } from '@stowage/errors';
import type { Runtime } from '../runtime/runtime';
import { breakDown, type DiskBreakdown } from './break-down';
import type { DiskWatch } from './disk-watch';

export interface DiskBreakdownsParts {
  readonly runtime: Pick<Runtime, 'usage' | 'writableLayers'>;
  readonly uses: DiskWatch['uses'];
  /** What the listed images take; undefined before the first detection. */
  readonly listedBytes: () => number | undefined;
  readonly log: { debug(fields: object, message: string): void };
  /** Milliseconds of a clock that never jumps. Default: the process's own. */
  readonly elapsedMs?: () => number;
}

/** Longest wait for the runtime's accounts, milliseconds: what waits for them is more urgent. */
const answerWithinMs = 3000;

/** Pause after a runtime refused to give an account, or has none: it will do so again. */
const refusedPauseMs = 3_600_000;
const refusals: ReadonlySet<string> = new Set(['UNIMPLEMENTED', 'PERMISSION_DENIED']);

/** What images, containers and other files hold of the file systems, asked of the runtime. */
export class DiskBreakdowns {
  #found: readonly DiskBreakdown[] = [];
  #askedAt = -Infinity;
  #notBefore = -Infinity;

  constructor(private readonly parts: DiskBreakdownsParts) {}

  /**
   * The breakdown of each file system, found out at most `maxAgeMs` ago; empty where runtime or
   * file system do not report enough, or not in time. Never rejects.
   */
  async current({
    signal,
    maxAgeMs,
  }: {
    signal: AbortSignal;
    maxAgeMs: number;
  }): Promise<readonly DiskBreakdown[]> {
    const { log, elapsedMs = () => performance.now() } = this.parts;
    const now = elapsedMs();
    if (now - this.#askedAt < maxAgeMs || now < this.#notBefore) return this.#found;
    try {
      this.#found = await this.#ask(AbortSignal.any([signal, AbortSignal.timeout(answerWithinMs)]));
    } catch (error) {
      this.#found = [];
      if (refusals.has(toGrpcStatus(error).name)) this.#notBefore = now + refusedPauseMs;
      log.debug({ reason: errorMessage(error) }, 'what holds the file systems is unknown');
    }
    this.#askedAt = elapsedMs();
    return this.#found;
  }

  async #ask(signal: AbortSignal): Promise<readonly DiskBreakdown[]> {
    const { runtime, uses, listedBytes } = this.parts;
    const listed = listedBytes();
    if (listed === undefined) return [];
    const [stored, written] = await Promise.all([
      runtime.usage({ signal }),
      runtime.writableLayers({ signal }),
    ]);
    if (stored === undefined || written === undefined) return [];
    return breakDown(await uses({ stored: stored.byMountpoint, written }, { signal }), listed);
  }
}
