const mib = 2 ** 20;
const gib = 2 ** 30;

/** Lower bounds (exclusive) of kubelet's size classes, largest first. */
const classes: readonly (readonly [number, string])[] = [
  [100 * gib, 'GT100GB'],
  [60 * gib, '60GB-100GB'],
  [40 * gib, '40GB-60GB'],
  [30 * gib, '30GB-40GB'],
  [20 * gib, '20GB-30GB'],
  [10 * gib, '10GB-20GB'],
  [5 * gib, '5GB-10GB'],
  [gib, '1GB-5GB'],
  [500 * mib, '500MB-1GB'],
  [100 * mib, '100MB-500MB'],
  [10 * mib, '10MB-100MB'],
  [0, '0-10MB'],
];

/**
 * Kubelet's label of an image size for its pull duration histogram; `N/A` for a size that is not
 * known.
 */
export function pullSizeClass(sizeBytes: number): string {
  return classes.find(([lowerBound]) => sizeBytes > lowerBound)?.[1] ?? 'N/A';
}
