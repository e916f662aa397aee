import {
  applyDefaultTag,
  isShortName,
  parseImageName,
  parsePullReference,
  referenceToString,
} from '@stowage/image-ref';

/** What a pull calls an image. */
export interface ImageNames {
  /** The string that goes to the runtime. */
  readonly tagged: string;
  /** What is told: normalised, but for a short name whose registry only the runtime knows. */
  readonly reference: string;
  /** By which credentials are looked up; absent when it is not certain at which registry the image is. */
  readonly repository?: string;
}

/**
 * The names of an image. `isHubShort`: whether the runtime takes a name without a registry for one of Docker Hub, see
 * {@link ShortNames}. Throws ImageReferenceError.
 */
export function imageNames(image: string, isHubShort: boolean): ImageNames {
  const tagged = applyDefaultTag(image);
  if (isShortName(image) && !isHubShort) return { tagged, reference: tagged };
  return {
    tagged,
    reference: referenceToString(parsePullReference(image)),
    repository: parseImageName(image).repository,
  };
}
