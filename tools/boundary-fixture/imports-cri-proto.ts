import { ImageSpec } from '@stowage/cri-proto';

export const message = ImageSpec;
