import { activatedOr, type CallListener, type Endpoint } from '@stowage/cri-endpoint';
import {
  ImageServiceDefinition,
  ImageStatusResponse,
  RuntimeServiceDefinition,
} from '@stowage/cri-proto';
import { criHandlers, serveCri, type Implementation } from '@stowage/cri-server';
import type { EngineConnection } from './engine/engine-connection';
import type { ImageFsInfo } from './image/image-fs-info';
import type { ImageStatus } from './image/image-status';
import type { ListImages } from './image/list-images';
import type { PullImage } from './image/pull-image';
import type { RemoveImage } from './image/remove-image';
import { runtimeConfig } from './runtime/runtime-config';
import { status } from './runtime/status';
import { version } from './runtime/version';

/** Name of the activated socket (FileDescriptorName in the socket unit). */
const activatedName = 'docker-shim';

/** The verbs of ImageService. */
export interface ImageVerbs {
  readonly list: Pick<ListImages, 'list'>;
  readonly status: Pick<ImageStatus, 'status'>;
  readonly pull: Pick<PullImage, 'pull' | 'running'>;
  readonly remove: Pick<RemoveImage, 'remove'>;
  readonly fsInfo: Pick<ImageFsInfo, 'get'>;
}

export interface ShimEndpointOptions {
  /** Path of the socket, unless a supervisor handed one to this process. */
  readonly listen: string;
  readonly sandboxImage: string;
  readonly calls: CallListener;
}

/** Images in one message of StreamImages at most. */
const streamedAtOnce = 100;

/**
 * Serves both services of the CRI on one socket. What is not implemented gets UNIMPLEMENTED with
 * its name.
 */
export function openShimEndpoint(
  connection: EngineConnection,
  images: ImageVerbs,
  { listen, sandboxImage, calls }: ShimEndpointOptions,
): Promise<Endpoint> {
  const facts = { sandboxImage, pulls: () => images.pull.running() };
  const runtime: Implementation<typeof RuntimeServiceDefinition> = {
    version: () => Promise.resolve(version(connection)),
    status: ({ verbose }) => Promise.resolve(status(connection, verbose, facts)),
    runtimeConfig: async () => Promise.resolve(runtimeConfig(connection)),
  };
  const image: Implementation<typeof ImageServiceDefinition> = {
    listImages: async ({ filter }, call) => ({ images: await images.list.list(filter, call) }),
    async *streamImages({ filter }, call) {
      const listed = await images.list.list(filter, call);
      for (let at = 0; at < listed.length; at += streamedAtOnce) {
        yield { images: listed.slice(at, at + streamedAtOnce) };
      }
    },
    imageStatus: async ({ image: wanted, verbose }, { signal }) =>
      ImageStatusResponse.fromPartial(
        (await images.status.status(wanted?.image, { verbose, signal })) ?? {},
      ),
    pullImage: async (request, call) => ({ imageRef: await images.pull.pull(request, call) }),
    removeImage: async ({ image: wanted }, call) => {
      await images.remove.remove(wanted?.image, call);
      return {};
    },
    imageFsInfo: (_request, call) => images.fsInfo.get(call),
  };
  return serveCri(RuntimeServiceDefinition, runtime, {
    ...activatedOr({ socketPath: listen }, [activatedName]),
    handlers: criHandlers(ImageServiceDefinition, image),
    service: 'docker-shim',
    calls,
  });
}
