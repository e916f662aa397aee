import type { OnApplicationBootstrap } from '@nestjs/common';
import type { ImageServiceClient } from '@stowage/cri-client';
import type { ServiceContext } from '@stowage/service-kit';
import type { Puller } from '../pull/pull';
import type { PullImage } from '../pull/pull-image';
import type { OpenPullJournal, UnfinishedPull } from '../pull/pull-journal';
import type { ImagePullRecords } from '../records/image-pull-records';
import { keepPullRecords } from '../records/keep-pull-records';
import type { RemoveImage } from '../remove/remove-image';
import type { ImageSocket } from './image-socket';

/** How often it is looked for what replaced instances have left, milliseconds. */
const adoptIntervalMs = 1000;

/** What {@link Serving} starts. */
export interface ServingParts {
  readonly context: Pick<
    ServiceContext<{ readonly imagePullRecordsPruneIntervalMs: number }>,
    'config' | 'log' | 'signal'
  >;
  readonly runtime: ImageServiceClient;
  readonly socket: ImageSocket;
  readonly journal: OpenPullJournal;
  readonly pulls: Pick<PullImage, 'reportUnfinished'>;
  readonly puller: Puller;
  readonly remover: Pick<RemoveImage, 'remove'>;
  readonly records: ImagePullRecords | undefined;
}

/** What begins once everything is made: upkeep of records and journal, and calls on the socket. */
export class Serving implements OnApplicationBootstrap {
  constructor(private readonly parts: ServingParts) {}

  async onApplicationBootstrap(): Promise<void> {
    const { context, runtime, socket, journal, puller, remover, records } = this.parts;
    const { config, log, signal } = context;
    if (records !== undefined) {
      keepPullRecords(records, runtime, {
        pruneIntervalMs: config.imagePullRecordsPruneIntervalMs,
        // Those of a replaced instance may still be going on.
        mayRecover: () => !journal.hasPredecessors(),
        log,
        signal,
      });
    }
    this.#reportUnfinished(journal.unfinished);
    const adopting = setInterval(() => this.#reportUnfinished(journal.adopt()), adoptIntervalMs);
    signal.addEventListener('abort', () => clearInterval(adopting.unref()), { once: true });
    socket.serveWith({ puller, remover });
    if (!socket.isOpen) await socket.open();
  }

  #reportUnfinished(pulls: readonly UnfinishedPull[]): void {
    // Stopped before the runtime was there: the next run reports them.
    void this.parts.pulls.reportUnfinished(pulls, this.parts.context.signal).catch(() => undefined);
  }
}
