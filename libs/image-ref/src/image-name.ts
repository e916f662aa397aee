import { ImageReferenceError } from './image-reference-error';
import { defaultTag, normalizeReference } from './normalize-reference';
import { parseReference } from './parse-reference';
import { repositoryName } from './print-reference';
import { quote } from './quote';
import type { ImageName, ImageReference } from './types';

/**
 * Splits an image string as kubelet does: Docker Hub rewriting, and the tag `latest` only where
 * there is neither tag nor digest. Throws ImageReferenceError with kubelet's text, `couldn't parse
 * image name "X": <cause>`.
 */
export function parseImageName(image: string): ImageName {
  const { tag, digest, ...name } = kubeletParsed(image, () => normalizeReference(image));
  return {
    repository: repositoryName(name),
    tag: tag ?? (digest == null ? defaultTag : ''),
    digest: digest ?? '',
  };
}

/**
 * The image string kubelet hands to the runtime: with `:latest` when it has neither tag nor digest.
 * A short name stays short, because which registry it stands for is the runtime's decision. Throws
 * ImageReferenceError as parseImageName.
 */
export function applyDefaultTag(image: string): string {
  const { tag, digest } = parseImageName(image);
  return digest === '' && !image.endsWith(`:${tag}`) ? `${image}:${tag}` : image;
}

/**
 * The image string without tag and digest and without Docker Hub rewriting: the key in kubelet's
 * pull records. Throws ImageReferenceError as parseImageName.
 */
export function trimTagAndDigest(image: string): string {
  return repositoryName(kubeletParsed(image, () => parseReference(image)));
}

function kubeletParsed(image: string, parse: () => ImageReference): ImageReference {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ImageReferenceError)) throw error;
    const message = `couldn't parse image name ${quote(image)}: ${error.message}`;
    throw new ImageReferenceError(error.code, message, image, error.rule, { cause: error });
  }
}
