import { isDigestOnly, parseAnyReference, referenceToString } from '@stowage/image-ref';
import type { KubeletDifferences } from './differences';
import type { ListedImage } from './records/apply-detection';
import type { ImageUser } from './types';

/** A container in any state, with every name under which the runtime tells its image. */
export interface ContainerUse {
  readonly containerId: string;
  /** `Container.image_id`; empty where the runtime has no such field (CRI before Kubernetes 1.30). */
  readonly imageId: string;
  /** `Container.image_ref`: an id, or a digested reference. */
  readonly imageRef: string;
  /** `Container.image.image` and `user_specified_image`: what it was created with. */
  readonly imageNames: readonly string[];
  /** References of the images it mounts as volumes. */
  readonly imageVolumes: readonly string[];
  readonly containerName?: string;
  readonly podNamespace?: string;
  readonly podName?: string;
}

/**
 * Finds the listed images that references (id, bare hex, digest, name in any form) mean. Holds what is looked for, not all there is: a node has
 * ten names an image and few containers.
 */
export class ReferenceSearch {
  /** What is looked for, with the ids of the images found: one, which is nearly always so, or several. */
  private readonly found = new Map<string, string | readonly string[] | undefined>();

  constructor(references: Iterable<string>) {
    for (const reference of references) {
      if (reference === '' || this.found.has(reference)) continue;
      this.found.set(reference, undefined);
      const full = normalized(reference);
      if (!this.found.has(full)) this.found.set(full, undefined);
    }
  }

  /** Takes note of the images. */
  look(images: readonly ListedImage[]): this {
    if (this.found.size === 0) return this;
    for (const { imageId, repoTags, repoDigests } of images) {
      this.note(imageId, imageId);
      const colon = imageId.indexOf(':');
      if (colon >= 0) this.note(imageId.slice(colon + 1), imageId);
      for (const reference of repoTags) this.noteName(reference, imageId);
      for (const reference of repoDigests) this.noteName(reference, imageId);
    }
    return this;
  }

  /** Ids of the images that a reference means; empty when none. It must be one of those looked for. */
  find(reference: string): readonly string[] {
    if (reference === '') return [];
    const found = this.found.get(reference) ?? this.found.get(normalized(reference));
    if (found === undefined) return [];
    return typeof found === 'string' ? [found] : found;
  }

  private noteName(reference: string, imageId: string): void {
    this.note(reference, imageId);
    if (mayBeFamiliar(reference)) this.note(normalized(reference), imageId);
    const at = reference.indexOf('@');
    if (at >= 0) this.note(reference.slice(at + 1), imageId);
  }

  private note(reference: string, imageId: string): void {
    if (!this.found.has(reference)) return;
    const known = this.found.get(reference);
    if (known === undefined) {
      this.found.set(reference, imageId);
      return;
    }
    const ids = typeof known === 'string' ? [known] : known;
    if (!ids.includes(imageId)) this.found.set(reference, [...ids, imageId]);
  }
}

/** False for references whose first component is a registry host already, which most runtimes list. */
function mayBeFamiliar(reference: string): boolean {
  const slash = reference.indexOf('/');
  return slash < 0 || !/[.:]/.test(reference.slice(0, slash));
}

/** Names of containers come again at every look; parsing each costs more than all the rest of it. */
const fullForms = new Map<string, string>();
const maxFullForms = 50_000;

/** A name in full form with a tag or digest; what does not parse stays as it is. */
function normalized(reference: string): string {
  let full = fullForms.get(reference);
  if (full === undefined) {
    full = parsedForm(reference);
    if (fullForms.size >= maxFullForms) fullForms.clear();
    fullForms.set(reference, full);
  }
  return full;
}

function parsedForm(reference: string): string {
  try {
    const parsed = parseAnyReference(reference);
    if (isDigestOnly(parsed)) return referenceToString(parsed);
    const { tag, digest } = parsed;
    return referenceToString(
      tag === undefined && digest === undefined ? { ...parsed, tag: 'latest' } : parsed,
    );
  } catch {
    return reference;
  }
}

/**
 * Image id to its users. By `any-reference` a container keeps every image that one of its names means; by `image-id` only
 * the image whose id the runtime reports for it, as kubelet does.
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
  const ids = new Set(images.map(({ imageId }) => imageId));
  return ({ imageId, imageRef, imageVolumes }) => {
    const id = imageId === '' ? imageRef : imageId;
    return {
      own: ids.has(id) ? [id] : [],
      mounted: new Set(imageVolumes.filter((reference) => ids.has(reference))),
    };
  };
}

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
