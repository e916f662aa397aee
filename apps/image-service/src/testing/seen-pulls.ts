import path from 'node:path';
import { connectImageService } from '@stowage/cri-client';
import type { ImageServiceClient } from '@stowage/cri-client';
import { createTerminatingEndpoint } from '@stowage/cri-endpoint';
import { PullImageRequest, PullImageResponse } from '@stowage/cri-proto';
import type { Stack } from '@stowage/testing';

/** The runtime of a stack behind a socket that shows what pulls come to it. */
export interface SeenPulls {
  /** For `STOWAGE_IMAGE_ENDPOINT`. */
  readonly endpoint: string;
  /** The runtime itself, past that socket. */
  readonly direct: ImageServiceClient;
  close(): Promise<void>;
}

/** Forwards all calls to the stack's containerd, and calls `seen` for each PullImage before. */
export async function seePulls(
  stack: Stack,
  seen: (request: PullImageRequest, metadata: Readonly<Record<string, string>>) => void,
): Promise<SeenPulls> {
  const direct = connectImageService({ endpoint: stack.runtime.endpoint, versions: 'v1' });
  const runtime = await createTerminatingEndpoint({
    socketPath: path.join(stack.dir, 'seen.sock'),
    upstream: { address: () => stack.runtime.socket },
    unavailableReason: () => undefined,
    handlers: {
      '/runtime.v1.ImageService/PullImage': async (bytes, { signal, metadata }) => {
        const request = PullImageRequest.decode(bytes);
        seen(request, metadata);
        return PullImageResponse.encode(await direct.pullImage(request, { signal })).finish();
      },
    },
  });
  return {
    endpoint: `unix://${runtime.socketPath}`,
    direct,
    close: async () => {
      direct.close();
      await runtime.close();
    },
  };
}
