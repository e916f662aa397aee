/**
 * The part of a runtime's Version answer that says whether its event stream can be read beside
 * others.
 */
export interface RuntimeIdentity {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
}

/**
 * Runtimes whose GetContainerEvents gives each event to one reader only, up to the version named: a
 * second reader would take events away from kubelet. containerd: issue 7318, fixed in 2.0; CRI-O:
 * issue 6466, fixed in 1.28.
 */
const sharedUpTo: Readonly<Record<string, readonly [major: number, minor: number]>> = {
  containerd: [2, 0],
  'cri-o': [1, 28],
};

/** Whether every reader of this runtime's event stream gets every event. */
export function broadcastsEvents({ runtimeName, runtimeVersion }: RuntimeIdentity): boolean {
  const fixed = sharedUpTo[runtimeName.toLowerCase()];
  if (fixed === undefined) return true;
  const [, major = '', minor = ''] = /^v?(\d+)\.(\d+)/.exec(runtimeVersion) ?? [];
  if (major === '') return false;
  return Number(major) > fixed[0] || (Number(major) === fixed[0] && Number(minor) >= fixed[1]);
}
