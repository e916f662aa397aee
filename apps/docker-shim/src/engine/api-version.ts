/**
 * Versions of the engine's API that the shim speaks. Raising the highest is a change to be
 * reviewed: features are found by version.
 */
export const spokenApi = { lowest: '1.41', highest: '1.54' } as const;

/** What the shim does by the version of the API in use. */
const firstWith = {
  /** `type` of `/system/df`: one kind of objects is measured alone. */
  diskUsageByType: '1.42',
  /** `/system/df` has `ImageUsage` in the place of `LayersSize` and `Images`. */
  diskUsageTotals: '1.52',
  /** A missing source of a bind is made when the mount says so. */
  createMountpoint: '1.42',
  /** Read-only binds take what is mounted below them along, unless told otherwise. */
  recursiveReadOnly: '1.44',
  /** Devices by CDI name. */
  cdi: '1.44',
  /** Images as mounts. */
  imageMounts: '1.48',
} as const;

export type ApiFeature = keyof typeof firstWith;

/** Whether a version of the API has a feature. */
export const hasFeature = (api: string, feature: ApiFeature): boolean =>
  compareApi(api, firstWith[feature]) >= 0;

/** Negative when `a` is older than `b`, positive when it is newer. */
export function compareApi(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.split('.').map(Number);
  return majorA - majorB || minorA - minorB;
}

/** Why an engine cannot be used, as the condition RuntimeReady names it. */
export type NotReadyReason = 'DockerDaemonNotReady' | 'DockerApiTooOld' | 'DockerApiTooNew';

export type Negotiated =
  | { readonly api: string }
  | { readonly reason: Exclude<NotReadyReason, 'DockerDaemonNotReady'>; readonly message: string };

/**
 * The version of the API to speak with an engine that speaks `lowest` to `highest`: the newest that
 * both know.
 */
export function negotiateApi(
  server: { readonly lowest: string; readonly highest: string },
  ours: { readonly lowest: string; readonly highest: string } = spokenApi,
): Negotiated {
  const all =
    `Docker Engine speaks API ${server.lowest} to ${server.highest}, ` +
    `docker-shim ${ours.lowest} to ${ours.highest}`;
  if (compareApi(server.highest, ours.lowest) < 0) {
    return {
      reason: 'DockerApiTooOld',
      message: `${all}: upgrade the engine to one that speaks ${ours.lowest} (20.10 or later)`,
    };
  }
  if (compareApi(server.lowest, ours.highest) > 0) {
    return {
      reason: 'DockerApiTooNew',
      message: `${all}: set the engine's min-api-version to ${ours.highest}, or upgrade docker-shim`,
    };
  }
  return { api: compareApi(server.highest, ours.highest) < 0 ? server.highest : ours.highest };
}
