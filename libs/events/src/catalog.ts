import type * as z from 'zod';
import { collectionPausedV1 } from './collection-paused/v1';
import { collectionResumedV1 } from './collection-resumed/v1';
import { containerCreatedV1 } from './container-created/v1';
import { containerCreationStartedV1 } from './container-creation-started/v1';
import { containerRemovedV1 } from './container-removed/v1';
import { containerStartedV1 } from './container-started/v1';
import { containerStoppedV1 } from './container-stopped/v1';
import type { EventDefinition } from './define-event';
import { eventsDroppedV1 } from './events-dropped/v1';
import { garbageCollectedV1 } from './garbage-collected/v1';
import { garbageCollectionFailedV1 } from './garbage-collection-failed/v1';
import { garbageCollectionShadowedV1 } from './garbage-collection-shadowed/v1';
import { imageDetectedV1 } from './image-detected/v1';
import { imageEnsuredV1 } from './image-ensured/v1';
import { imageHeldV1 } from './image-held/v1';
import { imagePullFailedV1 } from './image-pull-failed/v1';
import { imagePullProgressV1 } from './image-pull-progress/v1';
import { imagePullStartedV1 } from './image-pull-started/v1';
import { imagePulledV1 } from './image-pulled/v1';
import { imageReleasedV1 } from './image-released/v1';
import { imageRemovedV1 } from './image-removed/v1';
import { podSandboxRemovedV1 } from './pod-sandbox-removed/v1';
import { podSandboxStartedV1 } from './pod-sandbox-started/v1';
import { podSandboxStoppedV1 } from './pod-sandbox-stopped/v1';
import { runtimeRecoveredV1 } from './runtime-recovered/v1';
import { runtimeUnavailableV1 } from './runtime-unavailable/v1';
import { thresholdExceededV1 } from './threshold-exceeded/v1';
import { thresholdRecoveredV1 } from './threshold-recovered/v1';

/** Every event of the suite by name, in the order of the reference. */
export const eventCatalog = {
  ImagePullStarted: imagePullStartedV1,
  ImagePullProgress: imagePullProgressV1,
  ImagePulled: imagePulledV1,
  ImagePullFailed: imagePullFailedV1,
  ImageEnsured: imageEnsuredV1,
  ImageDetected: imageDetectedV1,
  ImageRemoved: imageRemovedV1,
  ThresholdExceeded: thresholdExceededV1,
  ThresholdRecovered: thresholdRecoveredV1,
  GarbageCollected: garbageCollectedV1,
  GarbageCollectionFailed: garbageCollectionFailedV1,
  GarbageCollectionShadowed: garbageCollectionShadowedV1,
  CollectionPaused: collectionPausedV1,
  CollectionResumed: collectionResumedV1,
  ImageHeld: imageHeldV1,
  ImageReleased: imageReleasedV1,
  PodSandboxStarted: podSandboxStartedV1,
  PodSandboxStopped: podSandboxStoppedV1,
  PodSandboxRemoved: podSandboxRemovedV1,
  ContainerCreationStarted: containerCreationStartedV1,
  ContainerCreated: containerCreatedV1,
  ContainerStarted: containerStartedV1,
  ContainerStopped: containerStoppedV1,
  ContainerRemoved: containerRemovedV1,
  RuntimeUnavailable: runtimeUnavailableV1,
  RuntimeRecovered: runtimeRecoveredV1,
  EventsDropped: eventsDroppedV1,
} as const;

/** Name of an event, as in `ImagePulled`. */
export type EventName = keyof typeof eventCatalog;

/** All event names, in the order of the reference. */
export const eventNames = Object.keys(eventCatalog) as readonly EventName[];

/** Whether a text is the name of an event of this catalogue. */
export function isEventName(name: string): name is EventName {
  return Object.hasOwn(eventCatalog, name);
}

/**
 * An object type without the index signature that loose schemas infer, so that a misspelt field is
 * a type error.
 */
type Known<T> = T extends string | number | boolean | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? Known<Item>[]
    : T extends object
      ? string extends keyof T
        ? KnownFields<T> extends Record<string, never>
          ? T
          : KnownFields<T>
        : { [K in keyof T]: Known<T[K]> }
      : T;
type KnownFields<T> = { [K in keyof T as string extends K ? never : K]: Known<T[K]> };

/** Data of an event, as its schema says; fields that a later version adds are not in the type. */
export type EventData<N extends EventName> = Known<z.infer<(typeof eventCatalog)[N]['data']>>;

/** The definition of an event, typed loosely for code that treats all events alike. */
export function eventDefinition(name: EventName): EventDefinition {
  return eventCatalog[name];
}
