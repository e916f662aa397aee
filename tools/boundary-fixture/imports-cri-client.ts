import { parseEndpoint } from '@stowage/cri-client';

export const parse = parseEndpoint;
