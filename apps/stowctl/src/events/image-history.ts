import type { StowageEvent } from '@stowage/events';
import { idBeginning, namesImage, referenceKey } from '@stowage/image-ref';

/** Events in which an image has a part. */
export const imageEvents = [
  'ImagePullStarted',
  'ImagePulled',
  'ImagePullFailed',
  'ImageEnsured',
  'ImageDetected',
  'ImageRemoved',
  'ImageHeld',
  'ImageReleased',
  'ContainerCreated',
  'ContainerStarted',
  'ContainerStopped',
  'ContainerRemoved',
] as const;

/** Names by which an event speaks of an image. */
interface Spoken {
  readonly imageId?: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

const present = (...texts: (string | undefined)[]): string[] =>
  texts.filter((text) => text !== undefined);

const isImageEvent = (event: StowageEvent): event is StowageEvent<(typeof imageEvents)[number]> =>
  (imageEvents as readonly string[]).includes(event.name);

function spokenOf(event: StowageEvent): Spoken | undefined {
  if (!isImageEvent(event)) return undefined;
  switch (event.name) {
    case 'ImagePullStarted': {
      const { reference, requestedReference } = event.data;
      return { repoTags: [reference, requestedReference], repoDigests: [] };
    }
    case 'ImagePullFailed': {
      const { reference, requestedReference } = event.data;
      return { repoTags: present(reference, requestedReference), repoDigests: [] };
    }
    case 'ImagePulled':
    case 'ImageEnsured': {
      const { imageId, reference, requestedReference, repoDigest } = event.data;
      return {
        imageId,
        repoTags: [reference, requestedReference],
        repoDigests: present(repoDigest),
      };
    }
    case 'ImageDetected':
      return event.data;
    case 'ImageRemoved': {
      const { imageId, repoTags, repoDigests, requestedReference } = event.data;
      return { imageId, repoTags: [...repoTags, ...present(requestedReference)], repoDigests };
    }
    case 'ImageHeld': {
      const { imageId, repoTags, repoDigests, requestedReference } = event.data;
      return { imageId, repoTags: [...repoTags, requestedReference], repoDigests };
    }
    case 'ImageReleased': {
      const { imageId, requestedReference } = event.data;
      return { imageId, repoTags: [requestedReference], repoDigests: [] };
    }
    case 'ContainerCreated':
    case 'ContainerStarted':
    case 'ContainerStopped':
    case 'ContainerRemoved': {
      const { image } = event.data;
      if (image === undefined) return undefined;
      const { imageId, reference, userSpecifiedReference } = image;
      return { imageId, repoTags: present(reference, userSpecifiedReference), repoDigests: [] };
    }
  }
}

/**
 * The events of one image, oldest first. A tag may have been on several images: the ids that it had
 * are looked for too, so that events with the id alone belong to the history as well.
 */
export function historyOf(wanted: string, events: readonly StowageEvent[]): StowageEvent[] {
  const ids = new Set<string>();
  const spoken = events.map((event) => ({ event, names: spokenOf(event) }));
  const isNamed = (names: Spoken): boolean =>
    namesImage(wanted, { ...names, imageId: names.imageId ?? '' }) ||
    names.repoTags.some((tag) => referenceKey(tag) === referenceKey(wanted));
  const isId = idBeginning(wanted) !== undefined;
  for (const { names } of spoken) {
    if (names?.imageId !== undefined && isNamed(names)) ids.add(names.imageId);
  }
  const isOf = (names: Spoken): boolean =>
    (names.imageId !== undefined && ids.has(names.imageId)) ||
    names.repoTags.some((tag) => ids.has(tag)) ||
    (!isId && isNamed(names));
  return spoken.flatMap(({ event, names }) => (names !== undefined && isOf(names) ? [event] : []));
}
