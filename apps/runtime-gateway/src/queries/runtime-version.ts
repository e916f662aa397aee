import type { CommandAnswer, runtimeGateway } from '@stowage/commands';
import type { RuntimeServiceClient } from '@stowage/cri-client';

/** Who the runtime is, by its CRI Version call, and who asks it. */
export async function runtimeVersion(
  runtime: Pick<RuntimeServiceClient, 'availability' | 'version'>,
  gatewayVersion: string,
  options: { signal: AbortSignal },
): Promise<CommandAnswer<typeof runtimeGateway.version>> {
  const version = await runtime.version({}, options);
  return {
    runtimeName: version.runtimeName,
    runtimeVersion: version.runtimeVersion,
    runtimeApiVersion: version.runtimeApiVersion,
    version: version.version,
    criVersion: runtime.availability().version,
    gatewayVersion,
  };
}
