import type { LinuxContainerSecurityContext } from '@stowage/cri-proto';
import { UnimplementedError } from '@stowage/errors';
import type { NewContainer } from '../engine/engine-client';

type Privileges = Pick<
  NonNullable<NewContainer['HostConfig']>,
  'Privileged' | 'ReadonlyRootfs' | 'CapAdd' | 'CapDrop' | 'MaskedPaths' | 'ReadonlyPaths'
>;

/**
 * What a container may do, but for its security options. Empty lists of paths are sent, since the
 * engine has its own where there are none: they make a container that sees all of /proc and /sys.
 *
 * @throws {UnimplementedError} for ambient capabilities.
 */
export function privileges(asked: LinuxContainerSecurityContext | undefined): Privileges {
  if (asked === undefined) return {};
  const { capabilities, privileged, readonlyRootfs, maskedPaths, readonlyPaths } = asked;
  if ((capabilities?.addAmbientCapabilities.length ?? 0) > 0) {
    throw new UnimplementedError(
      'security_context.capabilities.add_ambient_capabilities',
      'Docker Engine has no ambient capabilities',
    );
  }
  if (privileged) return { Privileged: true, ReadonlyRootfs: readonlyRootfs };
  return {
    ReadonlyRootfs: readonlyRootfs,
    CapAdd: capabilities?.addCapabilities ?? [],
    CapDrop: capabilities?.dropCapabilities ?? [],
    MaskedPaths: maskedPaths,
    ReadonlyPaths: readonlyPaths,
  };
}
