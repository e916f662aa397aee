import * as z from 'zod';
import { openWord } from '../fields';

/**
 * Where gc-worker decides otherwise than kubelet 1.36: the values of each option, gc-worker's
 * default first, then kubelet's. docs/kubelet-differences.md gives the reason for each default.
 */
export const differenceValues = {
  /**
   * What the idle time of the maximum age counts from. `last-use-or-detection`: the later of both,
   * so an image is never older than the time it has been here. `last-use` (kubelet): an image never
   * seen in use is infinitely idle.
   */
  maxAgeCountsFrom: ['last-use-or-detection', 'last-use'],
  /** `at-once`, or `after-max-age-of-uptime` (kubelet, which forgets all ages at a restart). */
  maxAgeStarts: ['at-once', 'after-max-age-of-uptime'],
  /** A failed removal by age: `go-on` to the disk check, or `stop` the collection (kubelet). */
  afterAgeRemovalError: ['go-on', 'stop'],
  /**
   * Nothing to free although the threshold is reached (rounding, high = low = 100): `remove-none`,
   * or `remove-one` (kubelet).
   */
  nothingToFree: ['remove-none', 'remove-one'],
  /**
   * Freed bytes are `measured` on the file system, or the sum of reported `image-size`s (kubelet).
   */
  freedBytes: ['measured', 'image-size'],
  /**
   * A removal that failed although enough was freed: `reported`, or `fails-the-collection`
   * (kubelet).
   */
  removalError: ['reported', 'fails-the-collection'],
  /**
   * Which images a collection names as remaining: `all-that-remain`, or only those
   * `scanned-and-kept` (kubelet's hooks).
   */
  remainingImages: ['all-that-remain', 'scanned-and-kept'],
  /**
   * `all` image file systems, each with its own threshold, or the `first` of the runtime's list
   * (kubelet).
   */
  imageFileSystems: ['all', 'first'],
  /**
   * One container's status error during detection: `keep-images` that it may mount, which is every
   * image not known to be kept anyway, or `abort-detection` (kubelet).
   */
  containerStatusError: ['keep-images', 'abort-detection'],
  /**
   * A container that is not listed any more and whose removal was not seen: `kept-for-a-while`, or
   * `gone` (kubelet).
   */
  lostContainers: ['kept-for-a-while', 'gone'],
  /**
   * Images are matched to containers by `any-reference` (id, digest, name), or by `image-id` alone
   * (kubelet).
   */
  inUseMatch: ['any-reference', 'image-id'],
  /**
   * The runtime's sandbox image: `kept` also where the runtime does not report it pinned, or
   * `only-if-pinned` (kubelet).
   */
  sandboxImage: ['kept', 'only-if-pinned'],
  /** Use is checked `before-each-removal`, or only `once` when the collection begins (kubelet). */
  useCheck: ['before-each-removal', 'once'],
  /**
   * A collection starts `when-mark-is-crossed` and every period, or only every `period` (kubelet).
   */
  collectionStart: ['when-mark-is-crossed', 'period'],
  /**
   * Failures are published for `every` failed collection, or from the `second-in-a-row` (kubelet's
   * ImageGCFailed).
   */
  failureEvents: ['every', 'second-in-a-row'],
  /** Ages and last use are kept `on-disk`, or `in-memory` only (kubelet). */
  records: ['on-disk', 'in-memory'],
} as const;

const values = differenceValues;

/** The differences as replies have them. */
export const differences = z
  .object({
    maxAgeCountsFrom: openWord(values.maxAgeCountsFrom, 'Start of the idle time.'),
    maxAgeStarts: openWord(values.maxAgeStarts, 'When images go for their age.'),
    afterAgeRemovalError: openWord(
      values.afterAgeRemovalError,
      'After a removal by age that failed.',
    ),
    nothingToFree: openWord(values.nothingToFree, 'A threshold reached, nothing to free.'),
    freedBytes: openWord(values.freedBytes, 'How freed bytes are counted.'),
    removalError: openWord(values.removalError, 'A removal that failed although enough came free.'),
    remainingImages: openWord(values.remainingImages, 'Images that count as remaining.'),
    imageFileSystems: openWord(values.imageFileSystems, 'Image file systems that are watched.'),
    containerStatusError: openWord(
      values.containerStatusError,
      'A container whose status cannot be read.',
    ),
    lostContainers: openWord(
      values.lostContainers,
      'A container that is not listed and was not seen removed.',
    ),
    inUseMatch: openWord(values.inUseMatch, 'How images match containers.'),
    sandboxImage: openWord(values.sandboxImage, 'The image that pods start with.'),
    useCheck: openWord(values.useCheck, 'When use is checked.'),
    collectionStart: openWord(values.collectionStart, 'When a collection starts.'),
    failureEvents: openWord(values.failureEvents, 'Failures that give an event.'),
    records: openWord(values.records, 'Where ages are kept.'),
  })
  .describe('Differences from kubelet, each with the value that counts.');
