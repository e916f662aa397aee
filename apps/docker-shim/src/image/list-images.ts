import type { Image, ListImagesRequest } from '@stowage/cri-proto';
import { namesImage } from '@stowage/image-ref';
import type { EngineConnection } from '../engine/engine-connection';
import { criImage, listedNames, listedTags, type EngineImage } from './cri-image';
import { givenImage } from './image-name';
import { ImageUsers } from './image-users';
import type { pinnedImages } from './pinned-images';

/** ListImages: one call of the engine, and one more for each image that was not seen before. */
export class ListImages {
  readonly #users = new ImageUsers();

  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly isPinned: ReturnType<typeof pinnedImages>,
  ) {}

  /** @param filter an exact reference or an id, never a pattern. */
  async list(
    filter: ListImagesRequest['filter'],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Image[]> {
    const { client } = this.connection.engine();
    const listed = new Map<string, EngineImage>();
    for (const { Id, RepoTags, RepoDigests, Size, Labels } of await client.listImages({ signal })) {
      if (Id == null || Id === '') continue;
      // An image that the engine lists for each of its platforms is one all the same.
      const before = listed.get(Id);
      listed.set(Id, {
        imageId: Id,
        repoTags: union(before?.repoTags, listedTags(RepoTags)),
        repoDigests: union(before?.repoDigests, listedNames(RepoDigests)),
        sizeBytes: Math.max(before?.sizeBytes ?? 0, Size ?? 0),
        labels: { ...before?.labels, ...Labels },
        user: '',
      });
    }
    const users = await this.#users.of(client, [...listed.keys()], signal);
    const wanted = filter?.image?.image ?? '';
    const name = wanted === '' ? undefined : givenImage(wanted);
    return [...listed.values()]
      .filter((image) => name === undefined || namesImage(name, image))
      .map((image) =>
        criImage(
          { ...image, user: users.get(image.imageId) ?? '' },
          this.isPinned(image, image.labels),
        ),
      );
  }
}

const union = (a: readonly string[] = [], b: readonly string[]): string[] => [
  ...new Set([...a, ...b]),
];
