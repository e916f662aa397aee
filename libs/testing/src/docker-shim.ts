import path from 'node:path';
import type { Stack } from './types';

/**
 * Configuration of a docker-shim on the engine of a stack, with pods on the engine's bridge.
 *
 * @returns the environment, and the endpoint that it serves.
 */
export function dockerShimOn({ dir, docker, sandboxImage }: Stack): {
  readonly endpoint: string;
  readonly env: Readonly<Record<string, string>>;
} {
  const listen = path.join(dir, 'docker-shim.sock');
  return {
    endpoint: `unix://${listen}`,
    env: {
      STOWAGE_LISTEN: listen,
      STOWAGE_STATE_DIR: path.join(dir, 'docker-shim'),
      STOWAGE_DOCKER_ENDPOINT: docker.endpoint,
      STOWAGE_SANDBOX_IMAGE: sandboxImage,
      STOWAGE_NETWORK_MODE: 'bridge',
      // The engine of a stack may not lower it on every machine.
      STOWAGE_RESTRICT_OOM_SCORE_ADJ: 'true',
    },
  };
}
