import type { ImageServiceDefinition, StreamImagesResponse } from '@stowage/cri-proto';
import { checkImageRef, checkImageStatus } from './checks';
import type { MethodRules } from './method-rules';

export type ImageMethods = (typeof ImageServiceDefinition)['methods'];

/**
 * Kubelet's treatment of each call of the image service: metrics label, time limit, response check.
 */
export const imageRules: MethodRules<ImageMethods> = {
  listImages: {
    operation: 'list_images',
    streamed: {
      method: 'streamImages',
      collect: (chunks) => ({
        images: (chunks as StreamImagesResponse[]).flatMap((chunk) => chunk.images),
      }),
    },
  },
  streamImages: { operation: 'stream_images' },
  imageStatus: { operation: 'image_status', check: checkImageStatus },
  pullImage: {
    operation: 'pull_image',
    timeoutMs: () => undefined,
    check: (response, request) => {
      checkImageRef(response.imageRef, request.image?.image ?? '');
    },
  },
  removeImage: { operation: 'remove_image' },
  imageFsInfo: { operation: 'image_fs_info' },
};
