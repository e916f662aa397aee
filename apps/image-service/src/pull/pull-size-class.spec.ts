import { pullSizeClass } from './pull-size-class';

const mib = 2 ** 20;
const gib = 2 ** 30;

describe('size class', () => {
  it.each([
    [0, 'N/A'],
    [1, '0-10MB'],
    [10 * mib, '0-10MB'],
    [10 * mib + 1, '10MB-100MB'],
    [100 * mib + 1, '100MB-500MB'],
    [500 * mib + 1, '500MB-1GB'],
    [gib, '500MB-1GB'],
    [gib + 1, '1GB-5GB'],
    [5 * gib + 1, '5GB-10GB'],
    [10 * gib + 1, '10GB-20GB'],
    [20 * gib + 1, '20GB-30GB'],
    [30 * gib + 1, '30GB-40GB'],
    [40 * gib + 1, '40GB-60GB'],
    [60 * gib + 1, '60GB-100GB'],
    [100 * gib + 1, 'GT100GB'],
  ])('of %d bytes is %s, as kubelet says it', (sizeBytes, label) =>
    expect(pullSizeClass(sizeBytes)).toBe(label),
  );
});
