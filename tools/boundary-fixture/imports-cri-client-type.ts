import type { RuntimeServiceClient } from '@stowage/cri-client';

export type Runtime = RuntimeServiceClient;
