import type { VersionResponse } from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';

/** Version: the engine's, or the last known while it is away; 0.0.0 before the first contact. */
export function version(connection: Pick<EngineConnection, 'lastKnown'>): VersionResponse {
  const { engine = '', highestApi = '' } = connection.lastKnown()?.version ?? {};
  return {
    version: '0.1.0',
    // Consumers build container ids of it: docker://<id>.
    runtimeName: 'docker',
    runtimeVersion: engine === '' ? '0.0.0' : engine,
    runtimeApiVersion: highestApi === '' ? '0.0.0' : `${highestApi}.0`,
  };
}
