import { StowageError } from '@stowage/errors';
import type { ImageRuntime, RuntimeImage } from '../runtime/image-runtime';
import type { FailedPull, Pull, PullAnswer, PullListener } from './pull';
import type { PullJournal, UnfinishedPull } from './pull-journal';

/** Longest wait for the size of a pulled image, milliseconds; then it is reported without it. */
const sizeLookupTimeoutMs = 5000;

/** The service ended while a pull was going on; reported by its next start. */
export class PullInterruptedError extends StowageError {
  constructor() {
    super('image-service ended before the runtime answered; the image may have come all the same', {
      code: 'IMAGE_PULL_INTERRUPTED',
      grpcStatus: 'ABORTED',
      retryable: true,
    });
  }
}

/** What {@link PullReports} works with. */
export interface PullReportsParts {
  readonly runtime: Pick<ImageRuntime, 'imageStatus' | 'whenAvailable'>;
  readonly journal: PullJournal;
  readonly listener: PullListener;
}

/** Reports the start and the end of each pull, and notes both in the journal first. */
export class PullReports {
  readonly #publishing = new Set<Promise<unknown>>();

  constructor(private readonly parts: PullReportsParts) {}

  /** Resolves when the end of every pull that was answered by now has been published. */
  async published(): Promise<void> {
    await Promise.all(this.#publishing);
  }

  started(pull: Pull): void {
    const { journal, listener } = this.parts;
    journal.began(pull);
    listener.started?.(pull);
  }

  /**
   * The runtime has the image. Size and id are for events, metrics and log: the runtime is asked
   * for them after `callersAnswered`, and the journal keeps the pull until then. Returns the image,
   * once the end of the pull is published; never rejects.
   */
  answered(
    pull: Pull,
    answer: PullAnswer,
    callersAnswered: () => Promise<void>,
  ): Promise<RuntimeImage | undefined> {
    this.parts.journal.answered(pull, answer);
    const publishing = callersAnswered().then(() => this.#publishPulled(pull, answer));
    this.#publishing.add(publishing);
    void publishing.finally(() => this.#publishing.delete(publishing));
    return publishing;
  }

  failed(pull: Pull, failure: FailedPull): void {
    const { journal, listener } = this.parts;
    journal.end(pull, () => listener.failed?.(pull, failure));
  }

  /**
   * Reports the ends of pulls that an earlier run of the service left without one. Waits for the
   * runtime where it has to be asked. Throws the signal's reason.
   */
  async reportUnfinished(pulls: readonly UnfinishedPull[], signal: AbortSignal): Promise<void> {
    for (const { pull, startedAt } of pulls.filter(({ answer }) => answer === undefined)) {
      this.failed(pull, {
        error: new PullInterruptedError(),
        errorClass: 'cancelled',
        attempts: 1,
        credentials: [],
        durationMs: Math.max(0, Date.now() - startedAt.getTime()),
      });
    }
    for (const { pull, answer } of pulls) {
      if (answer === undefined) continue;
      await this.parts.runtime.whenAvailable({ signal });
      await this.#publishPulled(pull, answer);
    }
  }

  async #publishPulled(pull: Pull, answer: PullAnswer): Promise<RuntimeImage | undefined> {
    const { journal, listener } = this.parts;
    const image = await this.#lookUp(answer.response.imageRef, pull.runtimeHandler);
    journal.end(pull, () => listener.succeeded?.(pull, { ...answer, image }));
    return image;
  }

  /** Id and size of what was pulled, as kubelet asks after a pull: errors do not matter. */
  async #lookUp(imageRef: string, runtimeHandler = ''): Promise<RuntimeImage | undefined> {
    try {
      const { image } = await this.parts.runtime.imageStatus(
        { image: { image: imageRef, runtimeHandler } },
        { timeoutMs: sizeLookupTimeoutMs },
      );
      return image;
    } catch {
      return undefined;
    }
  }
}
