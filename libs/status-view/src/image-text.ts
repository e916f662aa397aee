/** Names of an image as services list it. */
interface Named {
  readonly imageId: string;
  readonly repoTags: readonly string[];
  readonly repoDigests?: readonly string[];
}

/** The id as people compare it: 12 hexadecimal digits. */
export const shortId = (imageId: string): string => imageId.replace(/^sha256:/, '').slice(0, 12);

/** What a person calls the image: its first tag, else its name by digest, else its id. */
export function imageName({ imageId, repoTags, repoDigests = [] }: Named): string {
  const [tag, ...others] = repoTags;
  if (tag !== undefined) return others.length === 0 ? tag : `${tag} (+${others.length})`;
  const [digest] = repoDigests;
  if (digest === undefined) return shortId(imageId);
  const [name = '', hash = ''] = digest.split('@');
  return `${name}@${hash.slice(0, 19)}`;
}

/** A plan by its id; ids of this release begin with the word. */
export const planText = (planId: string): string =>
  planId.startsWith('plan-') ? planId : `plan ${planId}`;
