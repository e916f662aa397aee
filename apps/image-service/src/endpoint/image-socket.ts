import { parseEndpoint, type ImageServiceClient } from '@stowage/cri-client';
import { activatedOr, type CallListener, type Endpoint } from '@stowage/cri-endpoint';
import { ShuttingDownError } from '@stowage/errors';
import { observeGivenUp, type ServiceContext } from '@stowage/service-kit';
import { openImageEndpoint } from './image-endpoint';
import type { Puller } from '../pull/pull';
import type { RemoveImage } from '../remove/remove-image';

/** Name of the activated socket (FileDescriptorName in the socket unit). */
const activatedName = 'image';

/** Where calls come in and where they go. */
interface SocketConfig {
  readonly listen: string;
  readonly takeOver: boolean;
  readonly imageEndpoint: string;
  readonly runtimeEndpoint: string;
}

/** What answers the calls that are not forwarded. */
interface Verbs {
  readonly puller: Puller;
  readonly remover: Pick<RemoveImage, 'remove'>;
}

/**
 * The socket of image-service, which can be served before there is a state folder: pulls and
 * removals then wait until {@link ImageSocket.serveWith}, all other calls are forwarded. When the
 * service is stopped or replaced before that, they get UNAVAILABLE.
 */
export class ImageSocket {
  #endpoint: Endpoint | undefined;
  readonly #verbs: Promise<Verbs>;
  #serve: (verbs: Verbs) => void = () => undefined;

  constructor(
    private readonly context: Pick<
      ServiceContext<SocketConfig>,
      'config' | 'health' | 'log' | 'metrics' | 'signal' | 'takeOver'
    >,
    private readonly runtime: ImageServiceClient,
    private readonly calls: CallListener,
  ) {
    const { signal } = context;
    this.#verbs = new Promise((resolve, reject) => {
      this.#serve = resolve;
      const end = (): void => reject(new ShuttingDownError('image-service'));
      if (signal.aborted) end();
      else signal.addEventListener('abort', end, { once: true });
    });
    this.#verbs.catch(() => undefined); // there may be no call that waits
  }

  get isOpen(): boolean {
    return this.#endpoint !== undefined;
  }

  serveWith(verbs: Verbs): void {
    this.#serve(verbs);
  }

  async open(): Promise<void> {
    const { config, log, takeOver } = this.context;
    const endpoint = await openImageEndpoint(
      this.runtime,
      { pull: async (...call) => (await this.#verbs).puller.pull(...call) },
      { remove: async (...call) => (await this.#verbs).remover.remove(...call) },
      {
        listen: activatedOr(
          {
            socketPath: config.listen,
            takeOver: config.takeOver,
            onReplaced: () => takeOver.lost(config.listen),
          },
          [activatedName],
        ),
        imageSocket: parseEndpoint(config.imageEndpoint).address,
        runtimeSocket: parseEndpoint(config.runtimeEndpoint).address,
        calls: this.calls,
        onGivenUp: observeGivenUp(this.context),
      },
    );
    this.#endpoint = endpoint;
    log.info({ socket: endpoint.socketPath }, 'serving CRI ImageService');
  }

  async close(options: { drainMs: number }): Promise<void> {
    await this.#endpoint?.close(options);
  }
}
