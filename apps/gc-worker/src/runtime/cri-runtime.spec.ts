import { CriError } from '@stowage/cri-client';
import { contentOf, CriRuntime, sandboxImageOf } from './cri-runtime';

const { signal } = new AbortController();

type Calls = ConstructorParameters<typeof CriRuntime>;
const runtime = (calls: object) =>
  new CriRuntime(calls as unknown as Calls[0], calls as unknown as Calls[1]);

const store = (mountpoint: string, bytes?: number, sampledAt = 0) => ({
  timestamp: BigInt(sampledAt) * 1_000_000n,
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

  it('reads one image as the list has it, and that it is gone', async () => {
    const image = { id: 'sha256:a', repoTags: ['a:2'], repoDigests: [], size: 5n, pinned: true };
    const found = (answer: object) =>
      runtime({ imageStatus: () => Promise.resolve(answer) }).findImage('sha256:a', { signal });
    expect(await found({ image, info: {} })).toEqual({
      imageId: 'sha256:a',
      repoTags: ['a:2'],
      repoDigests: [],
      sizeBytes: 5,
      pinned: true,
      runtimeHandler: '',
    });
    expect(await found({ image: undefined, info: {} })).toBeUndefined();
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
      { byMountpoint: new Map(Object.entries({ '/a': 5, '/b': 7 })), sampledAt: Infinity },
    ],
    [
      'as of the oldest of its looks',
      [store('/a', 5, 1_800_000_000_002), store('/b', 5)],
      [store('/a', 4, 1_800_000_000_001)],
      { byMountpoint: new Map(Object.entries({ '/a': 5, '/b': 5 })), sampledAt: 1_800_000_000_001 },
    ],
    ['not at all where a part is not told', [store('/a', 5)], [store('/b')], undefined],
    ['not at all where a part lies nowhere', [store('/a', 5)], [store('', 1)], undefined],
  ])('says what the runtime stores: %s', async (_, images, containers, expected) => {
    const imageFsInfo = () =>
      Promise.resolve({ imageFilesystems: images, containerFilesystems: containers });
    expect(await runtime({ imageFsInfo }).usage({ signal })).toEqual(expected);
  });

  it('says what containers wrote, by mount point, and nothing where a part is not told', async () => {
    const stats = [store('/a', 5), store('/b', 7), store('/a', 1)].map((writableLayer) => ({
      writableLayer,
    }));
    const of = (list: object[]) =>
      runtime({ listContainerStats: () => Promise.resolve({ stats: list }) }).writableLayers({
        signal,
      });
    expect(await of(stats)).toEqual(new Map(Object.entries({ '/a': 6, '/b': 7 })));
    expect(await of([...stats, { writableLayer: undefined }])).toBeUndefined();
    expect(await of([...stats, { writableLayer: store('/a') }])).toBeUndefined();
    expect(await of([])).toEqual(new Map());
  });

  it('takes an image without an id for none, and a size that cannot be one for nothing', async () => {
    const images = [
      { id: '', repoTags: ['x:1'], repoDigests: [], size: 5n },
      { id: 'minus-one', repoTags: [], repoDigests: [], size: 2n ** 64n - 1n },
      { id: 'large', repoTags: [], repoDigests: [], size: 2n ** 50n },
    ];
    const listImages = () => Promise.resolve({ images });
    const listed = await runtime({ listImages }).listImages({ signal });
    expect(listed.map(({ imageId, sizeBytes }) => [imageId, sizeBytes])).toEqual([
      ['minus-one', 0],
      ['large', 2 ** 50],
    ]);
  });

  it('takes pods with their state', async () => {
    const items = [
      { metadata: { namespace: 'shop', name: 'cart-0' }, state: 0 },
      { metadata: undefined, state: 1 },
    ];
    const listPodSandbox = () => Promise.resolve({ items });
    expect(await runtime({ listPodSandbox }).listPods({ signal })).toEqual([
      { podNamespace: 'shop', podName: 'cart-0', isReady: true },
      { isReady: false },
    ]);
  });

  it('takes the removal of an image that is not there for done, and no other failure', async () => {
    const failing = (status: 'NOT_FOUND' | 'UNKNOWN') =>
      runtime({
        removeImage: () => Promise.reject(new CriError('RemoveImage', status, 'no')),
      }).removeImage('sha256:a', { signal });
    await expect(failing('NOT_FOUND')).resolves.toBeUndefined();
    await expect(failing('UNKNOWN')).rejects.toThrow('no');
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
