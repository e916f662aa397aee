import { Image, ImageFsInfoResponse } from '@stowage/cri-proto';
import type { PullImageRequest } from '@stowage/cri-proto';
import type { DeepPartial } from '@stowage/cri-proto';
import type { ImageRuntime } from '../runtime/image-runtime';

/** A pull that the test decides about. */
export interface PendingPull {
  readonly request: DeepPartial<PullImageRequest>;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  succeed(imageRef: string): void;
  fail(error: Error): void;
}

/** A runtime in memory: images by name and id, pulls that wait for the test. */
export class FakeRuntime implements ImageRuntime {
  readonly endpoint = 'unix:///run/fake.sock';
  readonly pulls: PendingPull[] = [];
  readonly removed: string[] = [];
  readonly images: Image[] = [];
  available = true;
  /** Answers pulls at once, where the test does not want to. */
  onPull?: (pull: PendingPull) => void;
  statusError?: Error;
  removeError?: Error;
  /**
   * What RemoveImage takes away: the image with all its names as containerd, the name alone as
   * CRI-O, nothing.
   */
  removes: 'image' | 'name' | 'nothing' = 'image';

  add(image: DeepPartial<Image>): Image {
    const added = Image.fromPartial({ size: 1000n, ...image });
    this.images.push(added);
    return added;
  }

  availability() {
    return {
      available: this.available,
      since: new Date(0),
      reason: this.available ? undefined : 'connect ENOENT /run/fake.sock',
      connections: 1,
    };
  }

  whenAvailable = () => Promise.resolve();

  pullImage: ImageRuntime['pullImage'] = (request = {}, options = {}) =>
    new Promise((resolve, reject) => {
      const signal = options.signal ?? new AbortController().signal;
      const pull: PendingPull = {
        request: request,
        headers: options.headers ?? {},
        signal,
        succeed: (imageRef) => resolve({ imageRef }),
        fail: reject,
      };
      signal.addEventListener('abort', () => reject(signal.reason as Error));
      this.pulls.push(pull);
      setImmediate(() => options.onSent?.());
      this.onPull?.(pull);
    });

  imageStatus: ImageRuntime['imageStatus'] = (request) => {
    if (this.statusError !== undefined) return Promise.reject(this.statusError);
    const name = request?.image?.image ?? '';
    const image = this.images.find(
      ({ id, repoTags, repoDigests }) =>
        id === name || repoTags.includes(name) || repoDigests.includes(name),
    );
    return Promise.resolve({ image, info: {} });
  };

  removeImage: ImageRuntime['removeImage'] = (request) => {
    if (this.removeError !== undefined) return Promise.reject(this.removeError);
    const name = request?.image?.image ?? '';
    this.removed.push(name);
    for (const [index, image] of [...this.images.entries()].reverse()) {
      const { id, repoTags, repoDigests } = image;
      if (![id, ...repoTags, ...repoDigests].includes(name) || this.removes === 'nothing') continue;
      const without = (names: readonly string[]) => names.filter((one) => one !== name);
      const left = { ...image, repoTags: without(repoTags), repoDigests: without(repoDigests) };
      const isLast = id === name || left.repoTags.length + left.repoDigests.length === 0;
      if (this.removes === 'image' || isLast) this.images.splice(index, 1);
      else this.images[index] = left;
    }
    return Promise.resolve({});
  };

  listImages: ImageRuntime['listImages'] = () => Promise.resolve({ images: this.images });

  imageFsInfo: ImageRuntime['imageFsInfo'] = () =>
    Promise.resolve(
      ImageFsInfoResponse.fromPartial({
        imageFilesystems: [
          {
            fsId: { mountpoint: '/var/lib/fake' },
            usedBytes: { value: 700n },
            inodesUsed: { value: 9n },
          },
        ],
      }),
    );
}
