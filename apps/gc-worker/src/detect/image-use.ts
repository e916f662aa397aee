import { idBeginning, imageKeys, isHexIdentifier, referenceKey } from '@stowage/image-ref';
import type { KubeletDifferences } from '../policy/differences';
import type { ListedImage, ContainerUse } from '../runtime/runtime';
import type { ImageUser } from '../records/image-record';

/**
 * Finds the listed images that references mean, by the comparison of image-ref. Holds what is looked for, not all there is: a node has ten
 * names an image and few containers.
 */
export class ReferenceSearch {
  /** Keys that are looked for, with the ids of the images found: one, which is nearly always so, or several. */
  private readonly found = new Map<string, string | readonly string[] | undefined>();
  /** Beginnings of ids that are looked for; hardly ever any. */
  private readonly beginnings = new Set<string>();

  constructor(references: Iterable<string>) {
    for (const reference of references) {
      if (reference === '') continue;
      const key = keyOf(reference);
      if (!this.found.has(key)) this.found.set(key, undefined);
      const beginning = idBeginning(reference);
      if (beginning !== undefined && beginning.length < idLength) this.beginnings.add(beginning);
    }
  }

  /** Takes note of the images. */
  look(images: readonly ListedImage[]): this {
    if (this.found.size === 0) return this;
    for (const image of images) {
      const { imageId } = image;
      for (const key of imageKeys(image)) if (this.found.has(key)) this.note(key, imageId);
      for (const beginning of this.beginnings) {
        if (referenceKey(imageId).startsWith(beginning)) this.note(beginning, imageId);
      }
    }
    return this;
  }

  /** Ids of the images that a reference means; empty when none. It must be one of those looked for. */
  find(reference: string): readonly string[] {
    if (reference === '') return [];
    // As runtimes do: what is no name of an image may be the beginning of an id.
    const found = this.found.get(keyOf(reference)) ?? this.found.get(idBeginning(reference) ?? '');
    if (found === undefined) return [];
    return typeof found === 'string' ? [found] : found;
  }

  private note(key: string, imageId: string): void {
    const known = this.found.get(key);
    if (known === undefined) {
      this.found.set(key, imageId);
      return;
    }
    const ids = typeof known === 'string' ? [known] : known;
    if (!ids.includes(imageId)) this.found.set(key, [...ids, imageId]);
  }
}

/** `sha256:` and 64 hexadecimal digits. */
const idLength = 71;

/** Names of containers come again at every look; parsing each costs more than all the rest of it. */
const keys = new Map<string, string>();
const maxKeys = 50_000;

function keyOf(reference: string): string {
  let key = keys.get(reference);
  if (key === undefined) {
    key = referenceKey(reference);
    if (keys.size >= maxKeys) keys.clear();
    keys.set(reference, key);
  }
  return key;
}

/**
 * Image id to its users. By `any-reference` a container keeps every image that one of its names means; by `image-id` only
 * the image whose id the runtime reports for it, as kubelet does; one id with and without `sha256:` is the same id.
 */
export function findUsers(
  images: readonly ListedImage[],
  containers: readonly ContainerUse[],
  match: KubeletDifferences['inUseMatch'],
): Map<string, ImageUser[]> {
  const imagesOf = match === 'image-id' ? byImageId(images) : byAnyReference(images, containers);
  const users = new Map<string, ImageUser[]>();
  const add = (imageId: string, user: ImageUser) => {
    const known = users.get(imageId);
    if (known === undefined) users.set(imageId, [user]);
    else known.push(user);
  };
  for (const container of containers) {
    const { containerId, containerName, podNamespace, podName } = container;
    const user = { containerId, containerName, podNamespace, podName };
    const { own, mounted } = imagesOf(container);
    for (const imageId of own) add(imageId, { as: 'container', ...user });
    for (const imageId of mounted) add(imageId, { as: 'image-volume', ...user });
  }
  return users;
}

type ImagesOf = (container: ContainerUse) => {
  own: Iterable<string>;
  mounted: Iterable<string>;
};

function byImageId(images: readonly ListedImage[]): ImagesOf {
  const ids = new Map(images.map(({ imageId }) => [inFull(imageId), imageId]));
  const listed = (references: readonly string[]) =>
    new Set(
      references.map((reference) => ids.get(inFull(reference))).filter((id) => id !== undefined),
    );
  return ({ imageId, imageRef, imageVolumes }) => ({
    own: listed([imageId === '' ? imageRef : imageId]),
    mounted: listed(imageVolumes),
  });
}

const inFull = (id: string): string => (isHexIdentifier(id) ? `sha256:${id}` : id);

function byAnyReference(
  images: readonly ListedImage[],
  containers: readonly ContainerUse[],
): ImagesOf {
  // Most references are ids: only the others need a search.
  const ids = new Set(images.map(({ imageId }) => imageId));
  const search = new ReferenceSearch(referencesNotIn(ids, containers)).look(images);
  const findAll = (references: readonly string[]): Iterable<string> => {
    const found = new Set<string>();
    for (const reference of references) {
      if (ids.has(reference)) found.add(reference);
      else for (const id of search.find(reference)) found.add(id);
    }
    return found;
  };
  return (container) => ({
    own: findAll(ownReferences(container)),
    mounted: container.imageVolumes.length === 0 ? [] : findAll(container.imageVolumes),
  });
}

const ownReferences = ({ imageId, imageRef, imageNames }: ContainerUse): string[] => [
  imageId,
  imageRef,
  ...imageNames,
];

function referencesNotIn(
  ids: ReadonlySet<string>,
  containers: readonly ContainerUse[],
): Set<string> {
  const others = new Set<string>();
  for (const container of containers) {
    for (const reference of [...ownReferences(container), ...container.imageVolumes]) {
      if (!ids.has(reference)) others.add(reference);
    }
  }
  return others;
}
