import { CgroupDriver, RuntimeConfigResponse } from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';

/**
 * RuntimeConfig: the control group driver of the engine, as last known.
 *
 * @throws {RuntimeUnavailableError} before the first contact.
 */
export function runtimeConfig(
  connection: Pick<EngineConnection, 'engine' | 'lastKnown'>,
): RuntimeConfigResponse {
  const { info } = connection.lastKnown() ?? connection.engine();
  const cgroupDriver =
    info.CgroupDriver === 'systemd' ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS;
  return RuntimeConfigResponse.fromPartial({ linux: { cgroupDriver } });
}
