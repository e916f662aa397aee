/**
 * Where the worker decides otherwise than kubelet 1.36. Each entry is one setting of its own; the `kubelet` value
 * reproduces kubelet's behaviour. docs/kubelet-differences.md gives the reason for each default.
 */
export interface KubeletDifferences {
  /**
   * What the idle time of the maximum age counts from. `last-use-or-detection`: the later of both, so an image is never
   * older than the time it has been here. `last-use` (kubelet): an image never seen in use is infinitely idle.
   */
  readonly maxAgeCountsFrom: 'last-use-or-detection' | 'last-use';
  /** `at-once`, or `after-max-age-of-uptime` (kubelet, which forgets all ages at a restart). */
  readonly maxAgeStarts: 'at-once' | 'after-max-age-of-uptime';
  /** A failed removal by age: `go-on` to the disk check, or `stop` the collection (kubelet). */
  readonly afterAgeRemovalError: 'go-on' | 'stop';
  /** Nothing to free although the mark is reached (rounding, high = low = 100): `remove-none`, or `remove-one` (kubelet). */
  readonly nothingToFree: 'remove-none' | 'remove-one';
  /** Freed bytes are `measured` on the file system, or the sum of reported `image-size`s (kubelet). */
  readonly freedBytes: 'measured' | 'image-size';
  /** A removal that failed although enough was freed: `reported`, or `fails-the-collection` (kubelet). */
  readonly removalError: 'reported' | 'fails-the-collection';
  /** Which images a collection names as remaining: `all-that-remain`, or only those `scanned-and-kept` (kubelet's hooks). */
  readonly remainingImages: 'all-that-remain' | 'scanned-and-kept';
  /** `all` image file systems, each with its own mark, or the `first` of the runtime's list (kubelet). */
  readonly imageFileSystems: 'all' | 'first';
  /**
   * One container's status error during detection: `keep-images` that it may mount, which is every image not known to be kept anyway, or
   * `abort-detection` (kubelet).
   */
  readonly containerStatusError: 'keep-images' | 'abort-detection';
  /** A container that is not listed any more and whose removal was not seen: `kept-for-a-while`, or `gone` (kubelet). */
  readonly lostContainers: 'kept-for-a-while' | 'gone';
  /** Images are matched to containers by `any-reference` (id, digest, name), or by `image-id` alone (kubelet). */
  readonly inUseMatch: 'any-reference' | 'image-id';
  /** The runtime's sandbox image: `kept` also where the runtime does not report it pinned, or `only-if-pinned` (kubelet). */
  readonly sandboxImage: 'kept' | 'only-if-pinned';
  /** Use is checked `before-each-removal`, or only `once` when the collection begins (kubelet). */
  readonly useCheck: 'before-each-removal' | 'once';
  /** A collection starts `when-mark-is-crossed` and every period, or only every `period` (kubelet). */
  readonly collectionStart: 'when-mark-is-crossed' | 'period';
  /** Failures are published for `every` failed collection, or from the `second-in-a-row` (kubelet's ImageGCFailed). */
  readonly failureEvents: 'every' | 'second-in-a-row';
  /** Ages and last use are kept `on-disk`, or `in-memory` only (kubelet). */
  readonly records: 'on-disk' | 'in-memory';
}

/** The defaults. */
export const stowageDifferences: KubeletDifferences = {
  maxAgeCountsFrom: 'last-use-or-detection',
  maxAgeStarts: 'at-once',
  afterAgeRemovalError: 'go-on',
  nothingToFree: 'remove-none',
  freedBytes: 'measured',
  removalError: 'reported',
  remainingImages: 'all-that-remain',
  imageFileSystems: 'all',
  containerStatusError: 'keep-images',
  lostContainers: 'kept-for-a-while',
  inUseMatch: 'any-reference',
  sandboxImage: 'kept',
  useCheck: 'before-each-removal',
  collectionStart: 'when-mark-is-crossed',
  failureEvents: 'every',
  records: 'on-disk',
};

/** Every difference at kubelet's value. */
export const kubeletDifferences: KubeletDifferences = {
  maxAgeCountsFrom: 'last-use',
  maxAgeStarts: 'after-max-age-of-uptime',
  afterAgeRemovalError: 'stop',
  nothingToFree: 'remove-one',
  freedBytes: 'image-size',
  removalError: 'fails-the-collection',
  remainingImages: 'scanned-and-kept',
  imageFileSystems: 'first',
  containerStatusError: 'abort-detection',
  lostContainers: 'gone',
  inUseMatch: 'image-id',
  sandboxImage: 'only-if-pinned',
  useCheck: 'once',
  collectionStart: 'period',
  failureEvents: 'second-in-a-row',
  records: 'in-memory',
};
