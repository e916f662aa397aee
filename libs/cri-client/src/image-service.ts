import { ImageServiceDefinition } from '@stowage/cri-proto';
import { connectService, type CriService } from './cri-calls';
import { imageRules } from './image-rules';
import type { CriClientOptions, ImageServiceClient } from './types';

/**
 * Client of CRI's ImageService, otherwise like that of the RuntimeService: its own connection,
 * opened in the background and reopened whenever it is lost, kubelet's time limits and response
 * checks, the same errors.
 */
export function connectImageService(options: CriClientOptions): ImageServiceClient {
  const { methods } = ImageServiceDefinition;
  const service = {
    name: 'image',
    wireName: 'ImageService',
    methods,
    rules: imageRules,
    probe: methods.imageFsInfo,
  } as unknown as CriService;
  return connectService(service, options) as ImageServiceClient;
}
