import { inspect } from 'node:util';
import { ImageFsInfoResponse } from '@stowage/cri-proto';
import { imageStats } from './image-stats';
import { imageStatus } from './image-status';
import { listImages } from './list-images';
import { FakeRuntime } from '../testing/fake-runtime';

const options = { signal: new AbortController().signal };

function node() {
  const runtime = new FakeRuntime();
  runtime.add({ id: 'sha256:2', repoTags: ['reg.io/b:1'], size: 20n, pinned: true });
  runtime.add({ id: 'sha256:1', repoDigests: ['reg.io/a@sha256:d'], size: 10n });
  runtime.add({ id: 'sha256:1', spec: { image: 'x', runtimeHandler: 'kata' }, size: 10n });
  return runtime;
}

describe('queries', () => {
  it('list images by id', async () => {
    expect(await listImages(node(), {}, options)).toEqual({
      images: [
        {
          imageId: 'sha256:1',
          repoTags: [],
          repoDigests: ['reg.io/a@sha256:d'],
          sizeBytes: 10,
          pinned: false,
        },
        {
          imageId: 'sha256:1',
          repoTags: [],
          repoDigests: [],
          sizeBytes: 10,
          pinned: false,
          runtimeHandler: 'kata',
        },
        {
          imageId: 'sha256:2',
          repoTags: ['reg.io/b:1'],
          repoDigests: [],
          sizeBytes: 20,
          pinned: true,
        },
      ],
    });
  });

  it('return one image, null when it is not there, and refuse what is no reference', async () => {
    expect(await imageStatus(node(), 'reg.io/b:1', options)).toMatchObject({
      image: { imageId: 'sha256:2' },
    });
    expect(await imageStatus(node(), 'reg.io/none:1', options)).toEqual({ image: null });
    await expect(imageStatus(node(), 'reg.io/B', options)).rejects.toMatchObject({
      code: 'INVALID_IMAGE_NAME',
    });
  });

  it("do not take a runtime's notes about its images for their size", async () => {
    const runtime = node();
    runtime.add({ id: '3', size: 38_000_000n });
    const usage = (mountpoint: string) => ({
      fsId: { mountpoint },
      usedBytes: { value: 57_000n },
      inodesUsed: { value: 9n },
    });
    runtime.imageFsInfo = () =>
      Promise.resolve(
        ImageFsInfoResponse.fromPartial({
          imageFilesystems: [usage('/var/lib/containers/storage/overlay-images')],
          containerFilesystems: [usage('/var/lib/containers/storage/overlay-containers')],
        }),
      );
    expect(await imageStats(runtime, options)).toEqual({
      imageCount: 3,
      totalStorageBytes: 38_000_030,
      imageFilesystems: [{ mountpoint: '/var/lib/containers/storage/overlay-images' }],
      containerFilesystems: [{ mountpoint: '/var/lib/containers/storage/overlay-containers' }],
    });
  });

  it('repeat no user information, and say INVALID_ARGUMENT for what the runtime cannot read', async () => {
    const asked = [
      (image: string) => imageStatus(node(), image, options),
      (image: string) => listImages(node(), { image }, options),
    ];
    for (const ask of asked) {
      const error: unknown = await ask('https://user:hunter2@host/x').catch((e: unknown) => e);
      expect(error).toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
      expect(inspect(error, { depth: 9 })).toContain('https://[redacted]@host/x');
      expect(inspect(error, { depth: 9 })).not.toMatch(/hunter2|user:/);
    }
    const runtime = node();
    runtime.statusError = new Error('parse "[::1]:1/x": invalid reference format');
    await expect(imageStatus(runtime, '[::1]:1/x', options)).rejects.toMatchObject({
      code: 'INVALID_IMAGE_NAME',
      grpcStatus: 'INVALID_ARGUMENT',
    });
  });

  it('sum sizes once for each id, beside what the disk says', async () => {
    expect(await imageStats(node(), options)).toEqual({
      imageCount: 2,
      totalStorageBytes: 30,
      imageFilesystems: [{ mountpoint: '/var/lib/fake', usedBytes: 700, inodesUsed: 9 }],
      containerFilesystems: [],
    });
  });
});
