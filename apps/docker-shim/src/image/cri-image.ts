import { Image } from '@stowage/cri-proto';
import type { ListedNames } from '@stowage/image-ref';

/** An image as the engine has it, whatever call it came from. */
export interface EngineImage extends ListedNames {
  readonly sizeBytes: number;
  readonly labels: Readonly<Record<string, string>>;
  /** `user[:group]` of its configuration, ids or names; empty for none. */
  readonly user: string;
}

/** What the engine lists of an image without a tag or digest. */
const nameless = ['<none>:<none>', '<none>@<none>'];

/**
 * Names of an image, of a list that may be null, without those that stand for none. Each once:
 * Docker Engine 26 with containerd's images lists a digest for the tag and again for the digest.
 */
export const listedNames = (names: readonly string[] | null | undefined): string[] => [
  ...new Set((names ?? []).filter((name) => !nameless.includes(name))),
];

/** Of these the tags: with containerd's images, engines list digests among them. */
export const listedTags = (names: readonly string[] | null | undefined): string[] =>
  listedNames(names).filter((name) => !name.includes('@'));

/** An image of the engine in the words of the CRI. */
export function criImage(image: EngineImage, pinned: boolean): Image {
  const { imageId, repoTags, repoDigests, sizeBytes, user } = image;
  const [name = ''] = user.split(':');
  const isUid = /^\d+$/.test(name);
  return Image.fromPartial({
    id: imageId,
    repoTags: [...repoTags],
    repoDigests: [...repoDigests],
    size: BigInt(sizeBytes),
    uid: isUid ? { value: BigInt(name) } : undefined,
    username: isUid ? '' : name,
    spec: { image: imageId },
    pinned,
  });
}
