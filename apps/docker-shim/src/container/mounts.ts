import { Mount, MountPropagation } from '@stowage/cri-proto';
import { InvalidArgumentError, UnimplementedError } from '@stowage/errors';
import path from 'node:path';
import { compareApi, hasFeature } from '../engine/api-version';
import type { EngineInfo, InspectedContainer, NewContainer } from '../engine/engine-client';

export type EngineMount = NonNullable<NonNullable<NewContainer['HostConfig']>['Mounts']>[number];

/** What mounts can be. */
export interface MountSupport {
  /** Version of the engine's API. */
  readonly api: string;
  /** Whether read-only mounts can take along what is mounted below them. */
  readonly recursiveReadOnly: boolean;
}

const engineWord = {
  [MountPropagation.PROPAGATION_PRIVATE]: 'rprivate',
  [MountPropagation.PROPAGATION_HOST_TO_CONTAINER]: 'rslave',
  [MountPropagation.PROPAGATION_BIDIRECTIONAL]: 'rshared',
} as const;

/** Version of Linux that brought recursive read-only mounts. */
const firstKernelWithRecursion = '5.12';
/** Where engines put what their OCI runtimes say of themselves. */
const runtimeFeatures = 'org.opencontainers.runtime-spec.features';

/**
 * Whether a runtime of the engine can mount read-only with all that is mounted below.
 *
 * @param handler name of the runtime; empty for the engine's default.
 */
export function canMountRecursiveReadOnly(
  { KernelVersion, Runtimes, DefaultRuntime }: EngineInfo,
  api: string,
  handler: string,
): boolean {
  if (!hasFeature(api, 'recursiveReadOnly')) return false;
  const [kernel = '0'] = /^\d+\.\d+/.exec(KernelVersion ?? '') ?? [];
  if (compareApi(kernel, firstKernelWithRecursion) < 0) return false;
  const runtime = ['', 'docker'].includes(handler) ? (DefaultRuntime ?? 'runc') : handler;
  const features = Runtimes?.[runtime]?.status?.[runtimeFeatures];
  return mountOptionsOf(features ?? '').includes('rro');
}

function mountOptionsOf(features: string): readonly unknown[] {
  try {
    const { mountOptions } = JSON.parse(features) as { mountOptions?: unknown };
    return Array.isArray(mountOptions) ? mountOptions : [];
  } catch {
    return [];
  }
}

/**
 * @throws {InvalidArgumentError}
 * @throws {UnimplementedError} for what the engine is too old for.
 */
export function checkMounts(mounts: readonly Mount[], support: MountSupport): void {
  for (const [index, mount] of mounts.entries()) checkMount(mount, `mounts[${index}]`, support);
}

/**
 * The engine's `Mounts` for those of a container, which are checked, in the same order.
 *
 * @param imageIds ids of the images that are mounted, by the names in the mounts.
 */
export const engineMounts = (
  mounts: readonly Mount[],
  api: string,
  imageIds: ReadonlyMap<string, string>,
): EngineMount[] =>
  mounts.map((mount) =>
    mount.image === undefined ? bind(mount, api) : imageMount(mount, imageIds),
  );

function checkMount(mount: Mount, field: string, support: MountSupport): void {
  const { propagation, recursiveReadOnly: recursive } = mount;
  const refuse = (name: string, value: unknown, allowed: string) => {
    throw new InvalidArgumentError(`${field}.${name}`, value, allowed);
  };
  if (mount.uidMappings.length > 0) refuse('uidMappings', mount.uidMappings, 'none');
  if (mount.gidMappings.length > 0) refuse('gidMappings', mount.gidMappings, 'none');
  if (mount.mountOptions.length > 0) refuse('mount_options', mount.mountOptions, 'none');
  if (!(propagation in engineWord)) refuse('propagation', propagation, '0 to 2');
  if (recursive && !mount.readonly) {
    refuse('recursive_read_only', true, 'false unless readonly is set');
  }
  if (recursive && propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    refuse('recursive_read_only', true, 'false unless propagation is private');
  }
  if (mount.image !== undefined) checkImageMount(mount, field, support);
  else if (mount.hostPath === '') refuse('host_path', '', 'a path, or an image');
  else if (recursive && !support.recursiveReadOnly) {
    const needed = 'Docker Engine 25, Linux 5.12 and an OCI runtime with the mount option rro';
    refuse('recursive_read_only', true, `false: true needs ${needed}`);
  }
}

function checkImageMount(mount: Mount, field: string, { api }: MountSupport): void {
  const { hostPath, imageSubPath } = mount;
  if (!hasFeature(api, 'imageMounts')) {
    throw new UnimplementedError(
      `${field}.image`,
      `Docker Engine with API ${api} mounts no images`,
    );
  }
  if (hostPath !== '') {
    throw new InvalidArgumentError(`${field}.host_path`, hostPath, 'none beside an image');
  }
  if (!mount.readonly) throw new InvalidArgumentError(`${field}.readonly`, false, 'true');
  const steps = imageSubPath.split('/');
  if (path.isAbsolute(imageSubPath) || steps.includes('..')) {
    const allowed = 'a path inside the image, without ..';
    throw new InvalidArgumentError(`${field}.image_sub_path`, imageSubPath, allowed);
  }
}

function imageMount(mount: Mount, imageIds: ReadonlyMap<string, string>): EngineMount {
  const { containerPath, image, imageSubPath } = mount;
  return {
    Type: 'image',
    Source: imageIds.get(image?.image ?? ''),
    Target: containerPath,
    ReadOnly: true,
    ImageOptions: imageSubPath === '' ? {} : { Subpath: imageSubPath },
  };
}

function bind(mount: Mount, api: string): EngineMount {
  const { hostPath, containerPath, propagation, readonly, recursiveReadOnly } = mount;
  return {
    Type: 'bind',
    Source: hostPath,
    Target: containerPath,
    ReadOnly: readonly,
    BindOptions: {
      Propagation: engineWord[propagation],
      ...(hasFeature(api, 'createMountpoint') && { CreateMountpoint: true }),
      // What is mounted below stays as it is, also where the engine would do otherwise.
      ...(readonly &&
        hasFeature(api, 'recursiveReadOnly') &&
        (recursiveReadOnly ? { ReadOnlyForceRecursive: true } : { ReadOnlyNonRecursive: true })),
    },
  };
}

/**
 * The mounts that a container was asked to have. Images have the id that they were mounted by,
 * which kubelet shows as their digest (KEP-5365). Mounts of cri-dockerd's containers are binds in
 * the form of a string.
 */
export function criMounts({ HostConfig }: InspectedContainer): Mount[] {
  const mounts = (HostConfig?.Mounts ?? []).map((mount) => {
    const { Type, Source = '', Target, ReadOnly, BindOptions, ImageOptions } = mount;
    const isImage = Type === 'image';
    return Mount.fromPartial({
      containerPath: Target ?? '',
      readonly: ReadOnly ?? false,
      ...(isImage
        ? { image: { image: Source, imageRef: Source }, imageSubPath: ImageOptions?.Subpath ?? '' }
        : { hostPath: Source }),
      propagation: criPropagation(BindOptions?.Propagation ?? ''),
      recursiveReadOnly: BindOptions?.ReadOnlyForceRecursive ?? false,
    });
  });
  return [...(HostConfig?.Binds ?? []).map(criBind), ...mounts];
}

function criBind(text: string): Mount {
  const [hostPath = '', containerPath = '', written = ''] = text.split(':');
  const options = written.split(',');
  return Mount.fromPartial({
    hostPath,
    containerPath,
    readonly: options.includes('ro'),
    selinuxRelabel: options.some((option) => option.toLowerCase() === 'z'),
    propagation:
      options.map(criPropagation).find((found) => found !== MountPropagation.PROPAGATION_PRIVATE) ??
      MountPropagation.PROPAGATION_PRIVATE,
  });
}

function criPropagation(word: string): MountPropagation {
  switch (word) {
    case 'shared':
    case 'rshared':
      return MountPropagation.PROPAGATION_BIDIRECTIONAL;
    case 'slave':
    case 'rslave':
      return MountPropagation.PROPAGATION_HOST_TO_CONTAINER;
    default:
      return MountPropagation.PROPAGATION_PRIVATE;
  }
}
