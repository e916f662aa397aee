import { Mount, MountPropagation } from '@stowage/cri-proto';
import { canMountRecursiveReadOnly, checkMounts, criMounts, engineMounts } from './mounts';

const {
  PROPAGATION_PRIVATE: isPrivate,
  PROPAGATION_HOST_TO_CONTAINER: toContainer,
  PROPAGATION_BIDIRECTIONAL: bothWays,
} = MountPropagation;
type Fields = Parameters<typeof Mount.fromPartial>[0];
const imageIds = new Map([['reg.example/data:1', 'sha256:da7a']]);
const mapped = (fields: Fields, api: string, recursiveReadOnly = false) => {
  const mounts = [Mount.fromPartial({ containerPath: '/in', ...fields })];
  checkMounts(mounts, { api, recursiveReadOnly });
  return engineMounts(mounts, api, imageIds)[0];
};
const bound = { Type: 'bind', Source: '/out', Target: '/in' };
const image = { readonly: true, image: { image: 'reg.example/data:1' } };

describe('engineMounts', () => {
  it.each<[Fields, string, object]>([
    [
      { hostPath: '/out' },
      '1.41',
      { ...bound, ReadOnly: false, BindOptions: { Propagation: 'rprivate' } },
    ],
    [
      { hostPath: '/out', readonly: true, propagation: toContainer },
      '1.41',
      { ...bound, ReadOnly: true, BindOptions: { Propagation: 'rslave' } },
    ],
    [
      { hostPath: '/out', propagation: bothWays, selinuxRelabel: true },
      '1.42',
      {
        ...bound,
        ReadOnly: false,
        BindOptions: { Propagation: 'rshared', CreateMountpoint: true },
      },
    ],
    [
      { hostPath: '/out', readonly: true },
      '1.44',
      {
        ...bound,
        ReadOnly: true,
        BindOptions: {
          Propagation: 'rprivate',
          CreateMountpoint: true,
          ReadOnlyNonRecursive: true,
        },
      },
    ],
    [
      { hostPath: '/out', readonly: true, recursiveReadOnly: true },
      '1.44',
      {
        ...bound,
        ReadOnly: true,
        BindOptions: {
          Propagation: 'rprivate',
          CreateMountpoint: true,
          ReadOnlyForceRecursive: true,
        },
      },
    ],
    [
      image,
      '1.48',
      { Type: 'image', Source: 'sha256:da7a', Target: '/in', ReadOnly: true, ImageOptions: {} },
    ],
    [
      { ...image, imageSubPath: 'etc/conf' },
      '1.48',
      {
        Type: 'image',
        Source: 'sha256:da7a',
        Target: '/in',
        ReadOnly: true,
        ImageOptions: { Subpath: 'etc/conf' },
      },
    ],
  ])('%j, API %s', (fields, api, mount) => {
    expect(mapped(fields, api, true)).toEqual(mount);
  });

  it('keeps the order', () => {
    const mounts = ['/b', '/a', '/c'].map((containerPath) =>
      Mount.fromPartial({ containerPath, hostPath: '/out' }),
    );
    expect(engineMounts(mounts, '1.41', imageIds).map(({ Target }) => Target)).toEqual([
      '/b',
      '/a',
      '/c',
    ]);
  });

  const recursive = { hostPath: '/out', readonly: true, recursiveReadOnly: true };
  it.each<[Fields, string, string]>([
    [
      {},
      'INVALID_ARGUMENT',
      'mounts[0].host_path: "" is not allowed; allowed: a path, or an image',
    ],
    [
      { hostPath: '/out', recursiveReadOnly: true },
      'INVALID_ARGUMENT',
      'mounts[0].recursive_read_only: true is not allowed; allowed: false unless readonly is set',
    ],
    [
      { ...recursive, propagation: toContainer },
      'INVALID_ARGUMENT',
      'mounts[0].recursive_read_only: true is not allowed; allowed: false unless propagation is private',
    ],
    [recursive, 'INVALID_ARGUMENT', 'mounts[0].recursive_read_only: true is not allowed'],
    [
      { hostPath: '/out', uidMappings: [{ hostId: 1, containerId: 0, length: 1 }] },
      'INVALID_ARGUMENT',
      'mounts[0].uidMappings',
    ],
    [
      { hostPath: '/out', gidMappings: [{ hostId: 1, containerId: 0, length: 1 }] },
      'INVALID_ARGUMENT',
      'mounts[0].gidMappings',
    ],
    [{ hostPath: '/out', mountOptions: ['noexec'] }, 'INVALID_ARGUMENT', 'mounts[0].mount_options'],
    [
      { hostPath: '/out', propagation: JSON.parse('9') as MountPropagation },
      'INVALID_ARGUMENT',
      'mounts[0].propagation: 9 is not allowed; allowed: 0 to 2',
    ],
    [
      { ...image, readonly: false },
      'INVALID_ARGUMENT',
      'mounts[0].readonly: false is not allowed; allowed: true',
    ],
    [{ ...image, imageSubPath: '/etc' }, 'INVALID_ARGUMENT', 'mounts[0].image_sub_path: "/etc"'],
    [{ ...image, imageSubPath: 'a/../..' }, 'INVALID_ARGUMENT', 'mounts[0].image_sub_path'],
    [{ ...image, hostPath: '/out' }, 'INVALID_ARGUMENT', 'mounts[0].host_path: "/out"'],
  ])('refuses %j', (fields, grpcStatus, message) => {
    const refused = (): unknown => mapped(fields, '1.48');
    expect(refused).toThrow(message);
    expect(refused).toThrow(expect.objectContaining({ grpcStatus }) as Error);
  });

  it('mounts no image on an engine that cannot', () => {
    expect(() => mapped(image, '1.47')).toThrow(
      'mounts[0].image: Docker Engine with API 1.47 mounts no images',
    );
  });
});

describe('canMountRecursiveReadOnly', () => {
  const status = (options: string) => ({
    'org.opencontainers.runtime-spec.features': JSON.stringify({ mountOptions: [options] }),
  });
  const info = {
    KernelVersion: '5.12.0-1-amd64',
    DefaultRuntime: 'runc',
    Runtimes: { runc: { status: status('rro') }, kata: { status: status('ro') }, crun: {} },
  };
  it.each([
    ['', '1.44', info, true],
    ['docker', '1.44', info, true],
    ['runc', '1.44', info, true],
    ['', '1.43', info, false],
    ['kata', '1.44', info, false],
    ['crun', '1.44', info, false],
    ['gone', '1.44', info, false],
    ['', '1.44', { ...info, KernelVersion: '5.4.0' }, false],
    ['', '1.44', { ...info, KernelVersion: '6.1.0' }, true],
    ['', '1.44', {}, false],
  ])('handler "%s", API %s', (handler, api, given, expected) => {
    expect(canMountRecursiveReadOnly(given, api, handler)).toBe(expected);
  });
});

it('mounts of a container are those that were asked for', () => {
  const asked = [
    Mount.fromPartial({ containerPath: '/a', hostPath: '/out' }),
    Mount.fromPartial({
      containerPath: '/b',
      hostPath: '/out',
      readonly: true,
      recursiveReadOnly: true,
      propagation: isPrivate,
    }),
    Mount.fromPartial({ containerPath: '/c', hostPath: '/out', propagation: bothWays }),
    Mount.fromPartial({ containerPath: '/d', hostPath: '/out', propagation: toContainer }),
    Mount.fromPartial({ containerPath: '/e', ...image, imageSubPath: 'x' }),
  ];
  const Mounts = engineMounts(asked, '1.48', imageIds) as object[];
  const shown = criMounts({ HostConfig: { Mounts } });
  expect(shown.slice(0, 4)).toEqual(asked.slice(0, 4));
  expect(shown[4]).toMatchObject({
    image: { image: 'sha256:da7a', imageRef: 'sha256:da7a' },
    imageSubPath: 'x',
  });
});

it("reads the binds of cri-dockerd's containers", () => {
  const Binds = ['/var/x:/x:ro,Z,rslave', '/var/y:/y', '/var/z:/z:rshared'];
  expect(criMounts({ HostConfig: { Binds } })).toEqual(
    [
      {
        hostPath: '/var/x',
        containerPath: '/x',
        readonly: true,
        selinuxRelabel: true,
        propagation: toContainer,
      },
      { hostPath: '/var/y', containerPath: '/y' },
      { hostPath: '/var/z', containerPath: '/z', propagation: bothWays },
    ].map((fields) => Mount.fromPartial(fields)),
  );
});
