import { eventFilter, parseEvent, type StowageEvent } from '@stowage/events';
import { isHexIdentifier } from '@stowage/image-ref';
import type { ImageHints } from './image-hints';
import type { ImageRecordStore } from '../records/record-store';

/** What the worker needs of a NATS connection; the nats package's fits. */
export interface EventConnection {
  subscribe(
    subject: string,
    options: { callback: (error: Error | null, message: { data: Uint8Array }) => void },
  ): { unsubscribe(): void };
}

export interface ImageEventsParts {
  readonly nodeName: string;
  readonly hints: ImageHints;
  readonly store: Pick<ImageRecordStore, 'images' | 'used' | 'pulled' | 'setHolds'>;
  /** Hears that a container was removed. */
  readonly containerRemoved: (containerId: string) => void;
  /** Tells the removal of this image, if it is one of our own not told yet, so that an image that comes back gets a record of its own. */
  readonly settleRemovals: (imageId: string) => void;
  readonly now: () => number;
}

/**
 * Listens to what image-service and runtime-gateway of this node say about images. Only hints: a missed event costs nothing but a
 * later detection, because use comes from the runtime. They may come late and twice, so the time is the event's own.
 */
export class ImageEvents {
  constructor(private readonly parts: ImageEventsParts) {}

  /**
   * Subscribes on a connection; it stays subscribed over the connection's own reconnects. `changed` is called when images came or
   * went, so that a detection is worth while.
   */
  subscribe(connection: EventConnection, changed: () => void): void {
    const { nodeName: node } = this.parts;
    const filters = [
      eventFilter({ node, name: 'ImagePullStarted' }),
      eventFilter({ node, name: 'ImagePulled' }),
      eventFilter({ node, name: 'ImagePullFailed' }),
      eventFilter({ node, name: 'ImageEnsured' }),
      eventFilter({ node, name: 'ImageRemoved' }),
      eventFilter({ node, name: 'ContainerCreationStarted' }),
      eventFilter({ node, name: 'ContainerCreated' }),
      eventFilter({ node, name: 'ContainerRemoved' }),
    ];
    for (const filter of filters) {
      connection.subscribe(filter, {
        callback: (error, message) => {
          if (error == null && this.received(message.data)) changed();
        },
      });
    }
  }

  /** Takes in one message; what is not an event of this version is left alone. True when images came or went. */
  received(data: Uint8Array): boolean {
    let event: StowageEvent;
    try {
      event = parseEvent(data);
    } catch {
      return false;
    }
    // What another node says of its images says nothing of ours.
    if (event.node !== this.parts.nodeName) return false;
    this.handle(event);
    return event.app !== 'gc-worker' && ['ImagePulled', 'ImageRemoved'].includes(event.name);
  }

  private handle(event: StowageEvent): void {
    const { hints, store, now } = this.parts;
    const at = Math.min(event.time.getTime(), now());
    // eslint-disable-next-line @typescript-eslint/switch-exhaustiveness-check -- all other events say nothing about use
    switch (event.name) {
      case 'ImagePullStarted': {
        const { pullId, reference, requestedReference, holdUntil } = event.data;
        hints.pullStarted(pullId, [reference, requestedReference], at, now());
        this.hold([reference], holdUntil);
        break;
      }
      case 'ImagePulled': {
        const { pullId, reference, imageId, repoDigest, holdUntil } = event.data;
        hints.pullEnded(pullId);
        this.hold(present([imageId, reference, repoDigest]), holdUntil);
        if (imageId !== undefined) {
          this.used(imageId, at);
          const { durationMs, sizeBytes = null } = event.data;
          const facts = { durationMs, sizeBytes };
          if (!store.pulled(this.recordedId(imageId), facts))
            hints.pulledBeforeDetection(imageId, facts);
        }
        break;
      }
      case 'ImagePullFailed':
        hints.pullEnded(event.data.pullId);
        break;
      case 'ImageEnsured': {
        const { imageId, reference, holdUntil } = event.data;
        this.hold([imageId, reference], holdUntil);
        this.used(imageId, at);
        break;
      }
      case 'ImageRemoved':
        if (event.app !== 'gc-worker') this.removed(event.data.imageId, at);
        break;
      case 'ContainerCreated': {
        const { imageId } = event.data.image;
        if (imageId !== undefined) this.used(imageId, at);
        hints.creationEnded(creationKey(event.data));
        break;
      }
      case 'ContainerCreationStarted': {
        const { image, volumeImages = [] } = event.data;
        const references = [image, ...volumeImages].flatMap(
          ({ reference, userSpecifiedReference, imageId }) =>
            present([reference, userSpecifiedReference, imageId]),
        );
        hints.creationStarted(creationKey(event.data), references, at, now());
        break;
      }
      case 'ContainerRemoved':
        // A listing saw only what a listing shows, which is just what is not believed at once.
        if (event.data.observedBy !== 'listing')
          this.parts.containerRemoved(event.data.containerId);
        break;
      default:
    }
  }

  private used(imageId: string, at: number): void {
    const { hints, store, settleRemovals } = this.parts;
    const recorded = this.recordedId(imageId);
    settleRemovals(recorded);
    if (!store.used(recorded, at)) hints.usedBeforeDetection(imageId, at);
  }

  /** The id as the record of the image has it: CRI-O's list has ids without `sha256:`, others may write it. */
  private recordedId(imageId: string): string {
    const images = this.parts.store.images();
    if (images.has(imageId)) return imageId;
    const other = isHexIdentifier(imageId) ? `sha256:${imageId}` : imageId.replace(/^sha256:/, '');
    return images.has(other) ? other : imageId;
  }

  /**
   * Whoever removed an image has said so, and it is not told again as vanished. Its record stays until the runtime does not list it any
   * more: a removal may have taken one of its names only, or have been refused.
   */
  private removed(imageId: string | undefined, at: number): void {
    if (imageId === undefined) return;
    const { hints, store } = this.parts;
    const recorded = this.recordedId(imageId);
    if (store.images().has(recorded)) hints.removedByOther(recorded, at);
  }

  private hold(names: readonly string[], until: string | undefined): void {
    if (until === undefined) return;
    const { hints, store, now } = this.parts;
    store.setHolds(hints.hold(names, Date.parse(until), now()));
  }
}

/** Tells the creation of one container from others; nothing else links its events. */
const creationKey = (data: { podSandboxId: string; name?: string; attempt?: number }): string =>
  JSON.stringify([data.podSandboxId, data.name, data.attempt]);

const present = (names: readonly (string | undefined)[]): string[] =>
  names.filter((name) => name !== undefined);
