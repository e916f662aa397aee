import { InvalidImageNameError } from '@stowage/errors';
import {
  applyDefaultTag,
  ImageReferenceError,
  isShortName,
  parseAnyReference,
  parseImageName,
  parsePullReference,
  referenceToString,
  withoutUserInfo,
} from '@stowage/image-ref';

/** What a pull calls an image. */
export interface ImageNames {
  /** As the caller wrote it. */
  readonly image: string;
  /** The string that goes to the runtime. */
  readonly tagged: string;
  /** For events: normalised, but for a short name whose registry only the runtime knows. */
  readonly reference: string;
  /**
   * By which credentials are looked up; absent when it is not certain at which registry the image
   * is.
   */
  readonly repository?: string;
}

/**
 * The names of an image. `isHubShort`: whether the runtime takes a name without a registry for one
 * of Docker Hub, see {@link ShortNames}. Throws ImageReferenceError.
 */
export function imageNames(image: string, isHubShort: boolean): ImageNames {
  const tagged = applyDefaultTag(image);
  if (isShortName(image) && !isHubShort) return { image, tagged, reference: tagged };
  return {
    image,
    tagged,
    reference: referenceToString(parsePullReference(image)),
    repository: parseImageName(image).repository,
  };
}

/** Refuses what is neither a reference nor an image id, with the rule it breaks. */
export function checkImageArgument(image: string): void {
  try {
    parseAnyReference(image);
  } catch (error) {
    if (!(error instanceof ImageReferenceError)) throw error;
    throw new InvalidImageNameError(withoutUserInfo(image), error.rule, { cause: error });
  }
}
