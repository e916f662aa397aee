import { CriError } from '@stowage/cri-client';
import { contentOf, CriRuntime, sandboxImageOf } from './cri-runtime';

const { signal } = new AbortController();

type Calls = ConstructorParameters<typeof CriRuntime>;
const runtime = (calls: object) =>
  new CriRuntime(calls as unknown as Calls[0], calls as unknown as Calls[1]);

const store = (mountpoint: string, bytes?: number, takenAt = 0) => ({
  timestamp: BigInt(takenAt) * 1_000_000n,
  fsId: { mountpoint },
  usedBytes: bytes === undefined ? undefined : { value: BigInt(bytes) },
});

describe('CriRuntime', () => {
  it('reads images', async () => {
    const images = [
      {
        id: 'sha256:a',
        repoTags: ['a:1'],
        repoDigests: ['a@sha256:d'],
        size: 5n,
        pinned: true,
        spec: { runtimeHandler: 'kata' },
      },
      { id: 'sha256:b', repoTags: [], repoDigests: [], size: 7n, pinned: false },
    ];
    const listed = await runtime({ listImages: () => Promise.resolve({ images }) }).listImages({
      signal,
    });
    expect(listed[0]).toEqual({
      imageId: 'sha256:a',
      repoTags: ['a:1'],
      repoDigests: ['a@sha256:d'],
      sizeBytes: 5,
      pinned: true,
      runtimeHandler: 'kata',
    });
    expect(listed[1]).toMatchObject({ sizeBytes: 7, runtimeHandler: '' });
  });

  it('reads containers with every name of their image and their pod', async () => {
    const containers = [
      {
        id: 'c1',
        imageId: 'sha256:a',
        imageRef: 'a@sha256:d',
        image: { image: 'sha256:a', userSpecifiedImage: 'a:1' },
        metadata: { name: 'web' },
        labels: { 'io.kubernetes.pod.name': 'cart-0', 'io.kubernetes.pod.namespace': 'shop' },
      },
      { id: 'c2', imageId: '', imageRef: 'sha256:b', labels: {}, podSandboxId: 's2' },
    ];
    const listPodSandbox = () =>
      Promise.resolve({ items: [{ id: 's2', metadata: { namespace: 'tools', name: 'box' } }] });
    const listContainers = () => Promise.resolve({ containers });
    expect(await runtime({ listContainers, listPodSandbox }).listContainers({ signal })).toEqual([
      {
        containerId: 'c1',
        imageId: 'sha256:a',
        imageRef: 'a@sha256:d',
        imageNames: ['sha256:a', 'a:1'],
        imageVolumes: [],
        containerName: 'web',
        podName: 'cart-0',
        podNamespace: 'shop',
      },
      {
        containerId: 'c2',
        imageId: '',
        imageRef: 'sha256:b',
        imageNames: [],
        imageVolumes: [],
        podName: 'box',
        podNamespace: 'tools',
      },
    ]);
  });

  it('finds image volumes; a container that is gone has none', async () => {
    const status = { mounts: [{ image: { image: 'sha256:v' } }, { image: undefined }] };
    const containerStatus = ({ containerId }: { containerId: string }) =>
      containerId === 'c1'
        ? Promise.resolve({ status })
        : Promise.reject(
            new CriError('ContainerStatus', containerId === 'gone' ? 'NOT_FOUND' : 'UNKNOWN', 'x'),
          );
    const cri = runtime({ containerStatus });
    expect(await cri.imageVolumes('c1', { signal })).toEqual(['sha256:v']);
    expect(await cri.imageVolumes('gone', { signal })).toBeUndefined();
    await expect(cri.imageVolumes('bad', { signal })).rejects.toThrow('x');
  });

  it('reads mount points of images and of containers', async () => {
    const imageFilesystems = [{ fsId: { mountpoint: '/a' } }, { fsId: undefined }];
    const containerFilesystems = [{ fsId: { mountpoint: '/b' } }, { fsId: { mountpoint: '' } }];
    const imageFsInfo = () => Promise.resolve({ imageFilesystems, containerFilesystems });
    expect(await runtime({ imageFsInfo }).mountpoints({ signal })).toEqual({
      image: ['/a', ''],
      container: ['/b', ''],
    });
  });

  it.each([
    [
      'by mount point, one that is named for both counts once',
      [store('/a', 5)],
      [store('/a', 4), store('/b', 7)],
      { byMountpoint: new Map(Object.entries({ '/a': 5, '/b': 7 })), takenAt: Infinity },
    ],
    [
      'as of the oldest of its looks',
      [store('/a', 5, 1_800_000_000_002), store('/b', 5)],
      [store('/a', 4, 1_800_000_000_001)],
      { byMountpoint: new Map(Object.entries({ '/a': 5, '/b': 5 })), takenAt: 1_800_000_000_001 },
    ],
    ['not at all where a part is not told', [store('/a', 5)], [store('/b')], undefined],
    ['not at all where a part lies nowhere', [store('/a', 5)], [store('', 1)], undefined],
  ])('says what the runtime stores: %s', async (_, images, containers, expected) => {
    const imageFsInfo = () =>
      Promise.resolve({ imageFilesystems: images, containerFilesystems: containers });
    expect(await runtime({ imageFsInfo }).storedBytes({ signal })).toEqual(expected);
  });

  it('removes by image id', async () => {
    const removeImage = jest.fn(() => Promise.resolve({}));
    await runtime({ removeImage }).removeImage('sha256:a', { signal });
    expect(removeImage).toHaveBeenCalledWith({ image: { image: 'sha256:a' } }, { signal });
  });
});

describe('sandboxImageOf', () => {
  it.each([
    ['containerd 1', '{"sandboxImage":"registry.k8s.io/pause:3.9"}', 'registry.k8s.io/pause:3.9'],
    ['containerd 2', '{"pinnedImages":{"sandbox":"pause:3.10"}}', 'pause:3.10'],
    ['a runtime that does not tell', '{}', undefined],
    ['no configuration', undefined, undefined],
    ['what is no JSON', 'crio.conf', undefined],
    ['a null', 'null', undefined],
    ['another type', '{"sandboxImage":5}', undefined],
  ])('%s', (_, config, image) => {
    expect(sandboxImageOf(config)).toBe(image);
  });
});

describe('contentOf', () => {
  const info = {
    chainID: 'sha256:c',
    imageSpec: {
      config: { Env: ['TOKEN=secret'], Labels: { tier: 'base', odd: 7 } },
      rootfs: { type: 'layers', diff_ids: ['sha256:1', 'sha256:2'] },
    },
  };
  it('takes layers and labels, and nothing else', () => {
    expect(contentOf(JSON.stringify(info))).toEqual({
      layers: ['sha256:1', 'sha256:2'],
      labels: { tier: 'base' },
    });
  });
  it.each([
    ['no verbose answer', undefined, {}],
    ['something that is not JSON', '{', {}],
    ['no image configuration', '{"chainID":"x"}', {}],
    ['an image without labels', '{"imageSpec":{"config":{}}}', { labels: {} }],
  ])('makes of %s what there is', (_, json, content) => {
    expect(contentOf(json)).toEqual(content);
  });
});
