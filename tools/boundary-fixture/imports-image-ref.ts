import { parseImageName } from '@stowage/image-ref';

export const parse = parseImageName;
