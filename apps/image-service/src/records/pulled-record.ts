import type {
  PullCredential,
  SecretCoordinates,
  ServiceAccountCoordinates,
} from '../credentials/credentials';

/** Which credentials brought an image: who may use it. */
export interface PulledWith {
  /** Everybody on the node may: it was pulled without credentials, or with those of the node. */
  readonly nodePodsAccessible: boolean;
  readonly kubernetesSecrets: readonly SecretCoordinates[];
  readonly kubernetesServiceAccounts: readonly ServiceAccountCoordinates[];
}

/** Kubelet's ImagePulledRecord: what is known about the pulls of one image content. */
export interface PulledRecord {
  /** Changes with the content only; whole seconds. */
  readonly lastUpdatedTime: Date;
  readonly imageRef: string;
  /** By image without tag and digest. */
  readonly credentialMapping: Readonly<Record<string, PulledWith>>;
}

/** No one: a record that only says that the image was pulled. */
const nobody: PulledWith = {
  nodePodsAccessible: false,
  kubernetesSecrets: [],
  kubernetesServiceAccounts: [],
};

/** What a successful pull proves. */
export function pulledWith(owner: PullCredential['owner']): PulledWith {
  if (owner?.secret !== undefined) return { ...nobody, kubernetesSecrets: [owner.secret] };
  if (owner?.serviceAccount !== undefined) {
    return { ...nobody, kubernetesServiceAccounts: [owner.serviceAccount] };
  }
  return { ...nobody, nodePodsAccessible: true };
}

/** Kubelet's merge of what one more pull of an image proves; undefined when that is nothing new. */
export function mergePulledWith(
  old: PulledWith | undefined,
  added: PulledWith | undefined,
): PulledWith | undefined {
  if (added === undefined || isEmpty(added)) return undefined;
  if (old === undefined) return added;
  if (old.nodePodsAccessible) return undefined;
  if (added.nodePodsAccessible) return { ...nobody, nodePodsAccessible: true };
  const secrets = mergeByCoordinates(old.kubernetesSecrets, added.kubernetesSecrets);
  const accounts = mergeByCoordinates(
    old.kubernetesServiceAccounts,
    added.kubernetesServiceAccounts,
  );
  if (secrets === undefined && accounts === undefined) return undefined;
  return {
    nodePodsAccessible: false,
    kubernetesSecrets: secrets ?? old.kubernetesSecrets,
    kubernetesServiceAccounts: accounts ?? old.kubernetesServiceAccounts,
  };
}

const isEmpty = (entry: PulledWith): boolean =>
  !entry.nodePodsAccessible &&
  entry.kubernetesSecrets.length === 0 &&
  entry.kubernetesServiceAccounts.length === 0;

interface Coordinates extends ServiceAccountCoordinates {
  readonly credentialHash?: string;
}

/**
 * Both lists, sorted by namespace, name and uid, the hash of the later one; undefined when nothing
 * is new.
 */
export function mergeByCoordinates<T extends Coordinates>(
  old: readonly T[],
  added: readonly T[],
): readonly T[] | undefined {
  const byCoordinates = new Map(old.map((one) => [coordinates(one), one]));
  const changed = added.filter((one) => {
    const known = byCoordinates.get(coordinates(one));
    byCoordinates.set(coordinates(one), one);
    return known === undefined || known.credentialHash !== one.credentialHash;
  });
  if (changed.length === 0) return undefined;
  return [...byCoordinates.values()].sort(
    (a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name) || compare(a.uid, b.uid),
  );
}

const coordinates = ({ namespace, name, uid }: Coordinates): string =>
  JSON.stringify([namespace, name, uid]);

/** Whether two are the same secret or account. */
export const sameCoordinates = (a: Coordinates, b: Coordinates): boolean =>
  coordinates(a) === coordinates(b);

const compare = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
