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

/** Finds listed images by any way to refer to them. */
export class ImageIndex {
  /** One id, which is nearly always so, or several. */
  private readonly byReference = new Map<string, string | readonly string[]>();
  private readonly ids = new Set<string>();

  constructor(images: readonly ListedImage[]) {
    for (const { imageId, repoTags, repoDigests } of images) {
      this.ids.add(imageId);
      this.add(imageId, imageId);
      const hex = imageId.split(':', 2)[1];
      if (hex !== undefined) this.add(hex, imageId);
      for (const reference of [...repoTags, ...repoDigests]) {
        this.add(reference, imageId);
        if (mayBeFamiliar(reference)) this.add(normalized(reference), imageId);
        const digest = reference.split('@', 2)[1];
        if (digest !== undefined) this.add(digest, imageId);
      }
    }
  }

  /** Whether an image of exactly this id is listed. */
  hasId(imageId: string): boolean {
    return this.ids.has(imageId);
  }

  /** Ids of the images that a reference (id, bare hex, digest, name in any form) means; empty when none. */
  find(reference: string): readonly string[] {
    if (reference === '') return [];
    const found = this.byReference.get(reference) ?? this.byReference.get(normalized(reference));
    if (found === undefined) return [];
    return typeof found === 'string' ? [found] : found;
  }

  private add(reference: string, imageId: string): void {
    const known = this.byReference.get(reference);
    if (known === undefined) {
      this.byReference.set(reference, imageId);
      return;
    }
    const ids = typeof known === 'string' ? [known] : known;
    if (!ids.includes(imageId)) this.byReference.set(reference, [...ids, imageId]);
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
  const index = new ImageIndex(images);
  const users = new Map<string, ImageUser[]>();
  const add = (imageId: string, user: ImageUser) => {
    const known = users.get(imageId);
    if (known === undefined) users.set(imageId, [user]);
    else known.push(user);
  };
  for (const container of containers) {
    const { containerId, containerName, podNamespace, podName } = container;
    const user = { containerId, containerName, podNamespace, podName };
    for (const imageId of imagesOf(container, index, match)) {
      add(imageId, { as: 'container', ...user });
    }
    const volumes = container.imageVolumes.flatMap((reference) =>
      match === 'image-id' ? (index.hasId(reference) ? [reference] : []) : index.find(reference),
    );
    for (const imageId of new Set(volumes)) add(imageId, { as: 'image-volume', ...user });
  }
  return users;
}

function imagesOf(
  { imageId, imageRef, imageNames }: ContainerUse,
  index: ImageIndex,
  match: KubeletDifferences['inUseMatch'],
): Iterable<string> {
  if (match === 'image-id') {
    const id = imageId === '' ? imageRef : imageId;
    return index.hasId(id) ? [id] : [];
  }
  const found = new Set<string>();
  for (const reference of [imageId, imageRef, ...imageNames]) {
    for (const id of index.find(reference)) found.add(id);
  }
  return found;
}
