import type { EngineInfo } from './engine-client';

/** Where an engine keeps its images: with its own drivers, or with containerd's snapshotters. */
export function imageStore(info: EngineInfo): 'graph-driver' | 'containerd' {
  const isSnapshotter = (info.DriverStatus ?? []).some(
    ([name, value]) => name === 'driver-type' && value === 'io.containerd.snapshotter.v1',
  );
  return isSnapshotter || info.Driver === 'overlayfs' ? 'containerd' : 'graph-driver';
}
