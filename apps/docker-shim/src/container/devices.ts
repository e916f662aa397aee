import type { CDIDevice, Device } from '@stowage/cri-proto';
import { InvalidArgumentError, UnimplementedError } from '@stowage/errors';
import { hasFeature } from '../engine/api-version';
import type { NewContainer } from '../engine/engine-client';

type Devices = Pick<NonNullable<NewContainer['HostConfig']>, 'Devices' | 'DeviceRequests'>;

/**
 * Devices of the node, and devices by CDI name.
 *
 * @throws {InvalidArgumentError} for permissions that are none.
 * @throws {UnimplementedError} for CDI names on an engine without them.
 */
export function devices(
  asked: { readonly devices: readonly Device[]; readonly CDIDevices: readonly CDIDevice[] },
  api: string,
): Devices {
  return { Devices: asked.devices.map(device), ...cdiRequest(asked.CDIDevices, api) };
}

function device({ containerPath, hostPath, permissions }: Device, index: number) {
  if (!/^[rwm]*$/.test(permissions)) {
    const field = `devices[${index}].permissions`;
    throw new InvalidArgumentError(field, permissions, 'letters of rwm');
  }
  return {
    PathOnHost: hostPath,
    PathInContainer: containerPath,
    CgroupPermissions: permissions === '' ? 'rwm' : permissions,
  };
}

function cdiRequest(asked: readonly CDIDevice[], api: string): Devices {
  if (asked.length === 0) return {};
  if (!hasFeature(api, 'cdi')) {
    throw new UnimplementedError('CDI_devices', `Docker Engine with API ${api} has no CDI`);
  }
  return { DeviceRequests: [{ Driver: 'cdi', DeviceIDs: asked.map(({ name }) => name) }] };
}
