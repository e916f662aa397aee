import type { ImageServiceClient } from '@stowage/cri-client';
import type { Image } from '@stowage/cri-proto';

/** The calls of the runtime's image service that this app makes itself. */
export type ImageRuntime = Pick<
  ImageServiceClient,
  | 'availability'
  | 'endpoint'
  | 'imageFsInfo'
  | 'imageStatus'
  | 'listImages'
  | 'pullImage'
  | 'removeImage'
  | 'whenAvailable'
>;

/** An image as the runtime reports it. */
export type RuntimeImage = Image;
