import type {
  PullCredential,
  SecretCoordinates,
  ServiceAccountCoordinates,
} from '../credentials/credentials';

/**
 * What of a caller's credentials is compared with the records of earlier pulls. Those of the node
 * itself do not count.
 */
export interface CallerCredentials {
  readonly secrets: readonly SecretCoordinates[];
  readonly serviceAccount?: ServiceAccountCoordinates;
}

/**
 * Who may use which image that is on the node already, from the records of the pulls; kubelet's
 * image pull manager.
 */
export interface PullRecords {
  /** Notes that a pull begins. Throws when it cannot be noted: then there must be no pull. */
  recordIntent(image: string): Promise<void>;
  /**
   * Notes that the image came, with the owner of the credential that brought it, and ends one
   * intent. Does not throw.
   */
  recordPulled(image: string, imageRef: string, owner: PullCredential['owner']): Promise<void>;
  /** Ends one intent without an image. Does not throw. */
  recordFailed(image: string): Promise<void>;
  /**
   * Whether the caller has to prove by a pull that it may use the image. Throws what `credentials`
   * throws.
   */
  mustAttemptPull(
    image: string,
    imageRef: string,
    credentials: () => Promise<CallerCredentials>,
  ): Promise<boolean>;
}

/**
 * The credentials of a caller that have a source of their own: all secrets, and the first service
 * account.
 */
export function callerCredentials(credentials: readonly PullCredential[]): CallerCredentials {
  return {
    secrets: credentials.flatMap(({ owner }) =>
      owner?.secret === undefined ? [] : [owner.secret],
    ),
    serviceAccount: credentials.find(({ owner }) => owner?.serviceAccount !== undefined)?.owner
      ?.serviceAccount,
  };
}
