import { eventFilter, parseEvent, type StowageEvent } from '@stowage/events';
import { isHexIdentifier } from '@stowage/image-ref';
import type { ImageHints } from './image-hints';
import type { ImageRecordStore } from './records/record-store';

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
  readonly store: Pick<ImageRecordStore, 'images' | 'used' | 'pulled' | 'forget' | 'setHolds'>;
  /** Brings the records up to date with removals of our own, so that an image that comes back gets a record of its own. */
  readonly settleRemovals: () => void;
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
      eventFilter({ node, name: 'ContainerCreated' }),
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
        hints.pullStarted(pullId, [reference, requestedReference], at);
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
        // Whoever removed it has said so: it is not to be told again as vanished.
        if (event.app !== 'gc-worker') this.removed(event.data.imageId, at);
        break;
      case 'ContainerCreated': {
        const { imageId } = event.data.image;
        if (imageId !== undefined) this.used(imageId, at);
        break;
      }
      default:
    }
  }

  private used(imageId: string, at: number): void {
    const { hints, store, settleRemovals } = this.parts;
    settleRemovals();
    if (!store.used(this.recordedId(imageId), at)) hints.usedBeforeDetection(imageId, at);
  }

  /** The id as the record of the image has it: CRI-O's list has ids without `sha256:`, others may write it. */
  private recordedId(imageId: string): string {
    const images = this.parts.store.images();
    if (images.has(imageId)) return imageId;
    const other = isHexIdentifier(imageId) ? `sha256:${imageId}` : imageId.replace(/^sha256:/, '');
    return images.has(other) ? other : imageId;
  }

  /** An image that was detected or used after its removal is there again: its record stays. */
  private removed(imageId: string | undefined, at: number): void {
    const { store, settleRemovals } = this.parts;
    settleRemovals();
    const record = imageId === undefined ? undefined : store.images().get(this.recordedId(imageId));
    if (record === undefined) return;
    const lastSeen = Math.max(record.firstDetected ?? -Infinity, record.lastUsed ?? -Infinity);
    if (lastSeen <= at) store.forget([record.imageId]);
  }

  private hold(names: readonly string[], until: string | undefined): void {
    if (until === undefined) return;
    const { hints, store, now } = this.parts;
    hints.hold(names, Date.parse(until));
    store.setHolds(hints.heldNames(now()));
  }
}

const present = (names: readonly (string | undefined)[]): string[] =>
  names.filter((name) => name !== undefined);
