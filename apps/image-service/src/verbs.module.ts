import { Module } from '@nestjs/common';
import { connectRuntimeService, type RuntimeServiceClient } from '@stowage/cri-client';
import { BUS, IMAGE_RUNTIME, provider, type ServiceContext } from '@stowage/service-kit';
import { progressSettings, type ImageServiceConfig } from './config';
import { requestHash } from './credentials/node-credentials';
import { EndpointModule } from './endpoint.module';
import { Serving } from './endpoint/serving';
import { EnsureImage } from './ensure/ensure-image';
import { imageEvents } from './listeners/image-events';
import { imageLog } from './listeners/image-log';
import { imageTraces } from './listeners/image-traces';
import { fanOut } from './listeners/listeners';
import { PullsInProgress } from './listeners/pulls-in-progress';
import { openProgressWatch } from './pull/progress/open-progress';
import { PullImage } from './pull/pull-image';
import { openPullJournal } from './pull/pull-journal';
import { RecordedPull } from './records/recorded-pull';
import { RemoveImage } from './remove/remove-image';
import type { ImageRuntime } from './runtime/image-runtime';
import { ShortNames } from './runtime/short-names';
import { SourcesModule } from './sources.module';
import {
  CONTEXT,
  ENSURE,
  JOURNAL,
  LISTENERS,
  METRICS,
  NODE,
  PROGRESS,
  PULL,
  PULLER,
  PULLS_IN_PROGRESS,
  QUEUE,
  RECORDS,
  REMOVE,
  SERVING,
  SHORT_NAMES,
  SOCKET,
} from './tokens';

/**
 * Asks the runtime service for its name; the connection is made when the first short name comes.
 */
function openShortNames(
  { config, log, signal }: ServiceContext<ImageServiceConfig>,
  runtime: Pick<ImageRuntime, 'availability'>,
): ShortNames {
  let client: RuntimeServiceClient | undefined;
  signal.addEventListener('abort', () => client?.close(), { once: true });
  return new ShortNames({
    availability: () => runtime.availability(),
    version: (options) => {
      client ??= connectRuntimeService({ endpoint: config.runtimeEndpoint });
      return client.version({}, options);
    },
    log,
  });
}

const verbs = [
  provider(PULLS_IN_PROGRESS, [], () => new PullsInProgress()),
  provider(LISTENERS, [CONTEXT, BUS, METRICS, PULLS_IN_PROGRESS], ({ log }, bus, metrics, pull) =>
    fanOut(
      [
        { pull },
        imageEvents((name, event) => bus.publish(name, event)),
        metrics.listeners,
        imageLog(log),
        imageTraces(),
      ],
      (error) => log.error({ err: error }, 'an event, metric or log line was lost'),
    ),
  ),
  provider(
    JOURNAL,
    [CONTEXT, BUS],
    ({ config, log }, bus) =>
      openPullJournal({
        stateDir: config.stateDir,
        nextSequence: () => bus.nextSequence(),
        problem: (error) =>
          log.warn(
            { err: error },
            'pull journal cannot be written: pulls that a kill interrupts may have no final event',
          ),
      }),
    // The pulls of this process go on, in a file of its own.
    { handOver: (journal) => journal.handOver(), close: (journal) => journal.close() },
  ),
  provider(SHORT_NAMES, [CONTEXT, IMAGE_RUNTIME], openShortNames),
  provider(
    PROGRESS,
    [CONTEXT, IMAGE_RUNTIME, LISTENERS],
    ({ config, signal }, runtime, { pull: listener }) =>
      openProgressWatch(
        progressSettings(config),
        runtime,
        (pull, progress) => listener.progressed?.(pull, progress),
        signal,
      ),
  ),
  provider(
    PULL,
    [IMAGE_RUNTIME, NODE, LISTENERS, QUEUE, PROGRESS, JOURNAL, SHORT_NAMES],
    (runtime, node, { pull: listener }, queue, progress, journal, shortNames) =>
      new PullImage({
        ...{ runtime, node, hashOf: requestHash, listener, queue, progress, journal, shortNames },
      }),
    { close: (pulls) => pulls.settled() },
  ),
  provider(PULLER, [PULL, RECORDS], (puller, records) =>
    records === undefined ? puller : new RecordedPull(puller, records),
  ),
  provider(
    REMOVE,
    [IMAGE_RUNTIME, LISTENERS, PULL],
    (runtime, { remove }, pulls) => new RemoveImage(runtime, remove, () => pulls.published()),
  ),
  provider(
    ENSURE,
    [IMAGE_RUNTIME, PULLER, NODE, LISTENERS, RECORDS, SHORT_NAMES],
    (runtime, puller, node, { ensure: listener }, records, shortNames) =>
      new EnsureImage({
        runtime,
        puller,
        node,
        hashOf: requestHash,
        listener,
        records,
        shortNames,
      }),
  ),
  provider(
    SERVING,
    [CONTEXT, IMAGE_RUNTIME, SOCKET, JOURNAL, PULL, PULLER, REMOVE, RECORDS],
    (context, runtime, socket, journal, pulls, puller, remover, records) =>
      new Serving({ context, runtime, socket, journal, pulls, puller, remover, records }),
  ),
];

/** Pulls, removals and ensures, what is reported about them, and the start of all this. */
@Module({
  imports: [SourcesModule, EndpointModule],
  providers: verbs,
  exports: [SourcesModule, ...verbs],
})
export class VerbsModule {}
