import type { CommandAnswer, dockerShim } from '@stowage/commands';
import type { ShimConfig } from '../config';
import type { EngineConnection } from '../engine/engine-connection';
import { imageStore } from '../engine/image-store';

/** Answers the command `status`, also while the engine is away. */
export function shimStatus(
  connection: Pick<EngineConnection, 'endpoint' | 'availability' | 'lastKnown'>,
  { listen, networkMode, logsMode }: Pick<ShimConfig, 'listen' | 'networkMode' | 'logsMode'>,
  version: string,
): CommandAnswer<typeof dockerShim.status> {
  const { available, since, reason } = connection.availability();
  const known = connection.lastKnown();
  return {
    version,
    endpoint: connection.endpoint,
    ...{ available, since: since.toISOString(), reason },
    engineVersion: known?.version.engine,
    apiVersion: known?.api,
    imageStore: known && imageStore(known.info),
    ...{ socket: listen, networkMode, logsMode },
  };
}
