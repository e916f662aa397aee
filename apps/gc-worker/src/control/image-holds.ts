import { InvalidArgumentError, NotFoundError, ResourceExhaustedError } from '@stowage/errors';
import { boundedText } from '@stowage/events';
import { withoutUserInfo } from '@stowage/image-ref';
import { ReferenceSearch } from '../detect/image-use';
import type { Publish } from '../publish';
import type { ImageRecord } from '../records/image-record';
import type { ControlFile, Hold } from './control-file';

export interface ImageHoldsParts {
  readonly file: Pick<ControlFile, 'holds' | 'setHolds'>;
  /** Images as of the last detection. */
  readonly images: () => ReadonlyMap<string, ImageRecord>;
  /** Longest hold, milliseconds. */
  readonly maxHoldMs: number;
  readonly publish: Publish;
  readonly metrics: { held(images: number): void };
  readonly log: { info(fields: object, message: string): void };
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Images that are held at once. */
const maxHolds = 1000;

/** Longest time between two looks at the clock, which may be set. Milliseconds. */
const lookMs = 30_000;

const minuteMs = 60_000;

/**
 * Images that an operator asked to keep for a while. A hold is of the content: it stays with the
 * image id when a tag moves on. It survives a restart and ends by itself.
 */
export class ImageHolds {
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly parts: ImageHoldsParts) {
    this.#look();
  }

  /** What holds an image; undefined when nothing does. */
  of(imageId: string): Hold | undefined {
    const hold = this.parts.file.holds.find((known) => known.imageId === imageId);
    return hold !== undefined && hold.until > this.parts.now() ? hold : undefined;
  }

  /** Whether the last detection found an image of that name or id. */
  knows(image: string): boolean {
    return this.#named(image).length > 0;
  }

  /** All holds, the first that ends first. */
  list(): readonly Hold[] {
    const at = this.parts.now();
    return this.parts.file.holds
      .filter(({ until }) => until > at)
      .toSorted((a, b) => a.until - b.until);
  }

  /**
   * Holds the image of that name or id, or gives its hold another end. Throws NotFoundError when
   * the last detection did not find it, InvalidArgumentError for a hold that is too long, and
   * ResourceExhaustedError when there are too many.
   */
  hold({ image, minutes, reason }: { image: string; minutes: number; reason: string }): Hold[] {
    const { file, publish, log, maxHoldMs, now } = this.parts;
    const holdMs = minutes * minuteMs;
    if (holdMs > maxHoldMs) {
      const allowed = `at most ${Math.floor(maxHoldMs / minuteMs)} (configuration key maxHold)`;
      throw new InvalidArgumentError('minutes', minutes, allowed);
    }
    const records = this.#named(image);
    if (records.length === 0) throw new NotFoundError('image', withoutUserInfo(image));
    const at = now();
    const before = new Map(file.holds.map((hold) => [hold.imageId, hold]));
    const asked = boundedText(withoutUserInfo(image));
    const held = records.map(({ imageId }) => {
      const since = before.get(imageId)?.since ?? at;
      return { imageId, image: asked, since, until: at + holdMs, reason };
    });
    const ids = new Set(held.map(({ imageId }) => imageId));
    const others = file.holds.filter(({ imageId }) => !ids.has(imageId));
    if (others.length + held.length > maxHolds) {
      throw new ResourceExhaustedError('list of held images', maxHolds);
    }
    file.setHolds([...others, ...held]);
    for (const [index, { imageId, since, until }] of held.entries()) {
      log.info({ imageId, until: time(until), reason }, 'image is held');
      publish('ImageHeld', imageId, {
        imageId,
        repoTags: [...(records[index]?.repoTags ?? [])],
        repoDigests: [...(records[index]?.repoDigests ?? [])],
        requestedReference: asked,
        since: time(since),
        until: time(until),
        reason,
      });
    }
    this.#look();
    return held;
  }

  /**
   * Ends the holds of the image of that name or id; those that there were. An image that is gone
   * meanwhile is found by its id, and by the name that it was held by.
   */
  release(image: string): Hold[] {
    const asked = withoutUserInfo(image);
    const ids = new Set(this.#named(image).map(({ imageId }) => imageId));
    const isMeant = ({ imageId, image: name }: Hold) =>
      ids.has(imageId) || imageId === asked || name === asked;
    const released = this.list().filter(isMeant);
    this.#end(released, 'command');
    return released;
  }

  /** Images of the last detection with that name or id. */
  #named(image: string): ImageRecord[] {
    const images = this.parts.images();
    const search = new ReferenceSearch([image]).look([...images.values()]);
    return search.find(image).flatMap((imageId) => images.get(imageId) ?? []);
  }

  /** Ends the waiting. The holds themselves go on with the next process. */
  close(): void {
    clearTimeout(this.#timer);
  }

  /** Ends holds whose time is over, and waits for the next one. */
  #look(): void {
    clearTimeout(this.#timer);
    const { file, metrics, now } = this.parts;
    const at = now();
    this.#end(
      file.holds.filter(({ until }) => until <= at),
      'time',
    );
    metrics.held(file.holds.length);
    if (file.holds.length === 0) return;
    const nextMs = Math.min(...file.holds.map(({ until }) => until)) - at;
    this.#timer = setTimeout(() => this.#look(), Math.min(nextMs, lookMs)).unref();
  }

  #end(holds: readonly Hold[], cause: 'command' | 'time'): void {
    if (holds.length === 0) return;
    const { file, publish, metrics, log } = this.parts;
    file.setHolds(file.holds.filter((hold) => !holds.includes(hold)));
    metrics.held(file.holds.length);
    for (const { imageId, image, since, until, reason } of holds) {
      log.info({ imageId, cause, reason }, 'image is no longer held');
      publish('ImageReleased', imageId, {
        imageId,
        requestedReference: image,
        heldSince: time(since),
        heldUntil: time(until),
        reason,
        cause,
      });
    }
  }
}

const time = (ms: number): string => new Date(ms).toISOString();
