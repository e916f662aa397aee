import { Module } from '@nestjs/common';
import type { ImageServiceClient } from '@stowage/cri-client';
import {
  checkBeforeTakeOver,
  eventBusProvider,
  IMAGE_RUNTIME,
  provider,
} from '@stowage/service-kit';
import type { ServiceContext } from '@stowage/service-kit';
import type { ImageServiceConfig } from './config';
import { ImageSocket } from './endpoint/image-socket';
import type { ImageMetrics } from './metrics';
import { checkPullJournal } from './pull/pull-journal';
import { SourcesModule } from './sources.module';
import { CONTEXT, METRICS, NODE, RECORDS, SOCKET } from './tokens';

/**
 * With `takeOver` calls are served before the state folder is ours: the instance that has it gives it up when it sees that its
 * socket was taken. Nothing may keep this one from serving from then on, so what can be wrong is looked at before.
 */
async function openSocket(
  context: ServiceContext<ImageServiceConfig>,
  runtime: ImageServiceClient,
  metrics: ImageMetrics,
): Promise<ImageSocket> {
  const { config } = context;
  const socket = new ImageSocket(context, runtime, metrics.calls);
  if (config.takeOver) {
    await checkBeforeTakeOver(context);
    checkPullJournal(config.stateDir);
    await socket.open();
  }
  return socket;
}

const endpoint = [
  provider(SOCKET, [CONTEXT, IMAGE_RUNTIME, METRICS], openSocket, {
    // Whatever can fail comes before the socket.
    after: [NODE, RECORDS],
    drain: (socket, options) => socket.close(options),
  }),
  eventBusProvider(CONTEXT, { after: [SOCKET] }),
];

/** The CRI socket, and the event bus, for whose outbox a service that takes over waits. */
@Module({ imports: [SourcesModule], providers: endpoint, exports: endpoint })
export class EndpointModule {}
