import { namesImage } from '@stowage/image-ref';
import type { PullCredential } from '../credentials/credentials';
import type { ImageRuntime } from '../runtime/image-runtime';
import {
  mergePulledWith,
  pulledWith,
  sameCoordinates,
  type PulledRecord,
  type PulledWith,
} from './pulled-record';
import type { CallerCredentials, PullRecords } from './pull-records';
import type { RecordCounts, RecordStore } from './record-store';
import { withoutTagAndDigest, type VerificationPolicy } from './verification-policy';

/**
 * Recorded secrets from which on a rotated secret is not known again by its name, and no more are
 * added on a look.
 */
const maxRecordedSecrets = 100;

/** Why a pull is demanded or not, in kubelet's words; a closed set. */
export type MustPullResult =
  'credentialPolicyAllowed' | 'credentialRecordFound' | 'mustAuthenticate' | 'error';

/** Observes the records: metrics and log. Must not throw. */
export interface RecordListener {
  checked?(result: MustPullResult): void;
  /** A record that could not be read or written; the pull goes on. */
  problem?(what: string, error: unknown): void;
}

/** Kubelet's image pull manager over a store of records. */
export class ImagePullRecords implements PullRecords {
  /** Pulls that are going on, by image. */
  readonly #intents = new Map<string, number>();
  /**
   * When pulls of this process were last recorded, by image ref; those that the last pruning has
   * seen are forgotten.
   */
  readonly #recordedAt = new Map<string, number>();

  constructor(
    private readonly store: RecordStore,
    private readonly needsVerification: VerificationPolicy,
    private readonly listener: RecordListener = {},
    private readonly now: () => number = Date.now,
  ) {}

  /** Pulls of an image that have been noted and have not ended. */
  intentsOf(image: string): number {
    return this.#intents.get(image) ?? 0;
  }

  /** Records that there are. Throws when they cannot be listed. */
  counts(): RecordCounts {
    return this.store.counts();
  }

  recordIntent(image: string): Promise<void> {
    return settle(() => {
      this.store.writeIntent(image);
      this.#intents.set(image, this.intentsOf(image) + 1);
    });
  }

  recordPulled(image: string, imageRef: string, owner: PullCredential['owner']): Promise<void> {
    return settle(() => this.recordPulledWith(image, imageRef, pulledWith(owner)));
  }

  /**
   * As `recordPulled`, with any proof. When the record cannot be written, the intent stays: then
   * the image still counts as pulled, and the next start makes a record of it.
   */
  recordPulledWith(image: string, imageRef: string, proof: PulledWith | undefined): void {
    try {
      this.#merge(image, imageRef, proof);
    } catch (error) {
      this.listener.problem?.('a pulled record could not be written', error);
      return;
    }
    this.#endIntent(image);
  }

  recordFailed(image: string): Promise<void> {
    return settle(() => this.#endIntent(image));
  }

  async mustAttemptPull(
    image: string,
    imageRef: string,
    credentials: () => Promise<CallerCredentials>,
  ): Promise<boolean> {
    let result: MustPullResult = 'error';
    try {
      result = await this.#check(image, imageRef, credentials);
    } finally {
      this.listener.checked?.(result);
    }
    return result === 'mustAuthenticate' || result === 'error';
  }

  async #check(
    image: string,
    imageRef: string,
    credentials: () => Promise<CallerCredentials>,
  ): Promise<MustPullResult> {
    if (imageRef === '') return 'mustAuthenticate';
    let record: PulledRecord | undefined;
    let isPulledByUs: boolean;
    try {
      record = this.store.pulledRecord(imageRef);
      isPulledByUs =
        record !== undefined || this.intentsOf(image) > 0 || this.store.hasIntent(image);
    } catch (error) {
      this.listener.problem?.('a pull record could not be read', error);
      return 'error';
    }
    if (!this.needsVerification(image, isPulledByUs)) return 'credentialPolicyAllowed';
    const name = withoutTagAndDigest(image);
    const entry = name === undefined ? undefined : entryOf(record, name);
    if (entry === undefined) return 'mustAuthenticate';
    if (entry.nodePodsAccessible) return 'credentialRecordFound';
    if (entry.kubernetesSecrets.length + entry.kubernetesServiceAccounts.length === 0) {
      return 'mustAuthenticate';
    }
    return this.#matches(image, imageRef, entry, await credentials())
      ? 'credentialRecordFound'
      : 'mustAuthenticate';
  }

  #matches(
    image: string,
    imageRef: string,
    entry: PulledWith,
    { secrets, serviceAccount }: CallerCredentials,
  ): boolean {
    const isRoomy = entry.kubernetesSecrets.length < maxRecordedSecrets;
    for (const secret of secrets) {
      for (const recorded of entry.kubernetesSecrets) {
        const sameHash =
          secret.credentialHash !== '' && secret.credentialHash === recorded.credentialHash;
        const same = sameCoordinates(secret, recorded);
        if (!sameHash && !(same && isRoomy)) continue;
        const isNew = !same || secret.credentialHash !== recorded.credentialHash;
        if (isNew && isRoomy) this.#noteSecret(image, imageRef, secret);
        return true;
      }
    }
    return (
      serviceAccount !== undefined &&
      entry.kubernetesServiceAccounts.some((recorded) => sameCoordinates(serviceAccount, recorded))
    );
  }

  /** The next check finds it at once. Does not end an intent: nothing was pulled. */
  #noteSecret(image: string, imageRef: string, secret: CallerCredentials['secrets'][number]): void {
    try {
      this.#merge(image, imageRef, pulledWith({ secret }));
    } catch (error) {
      this.listener.problem?.('a pulled record could not be written', error);
    }
  }

  #merge(image: string, imageRef: string, proof: PulledWith | undefined): void {
    const name = withoutTagAndDigest(image);
    if (name === undefined) throw new Error(`invalid image name ${JSON.stringify(image)}`);
    // Also when it changes nothing: an image that was removed and pulled again has a record of the
    // first pull's time.
    this.#recordedAt.set(imageRef, this.now());
    let record: PulledRecord | undefined;
    try {
      record = this.store.pulledRecord(imageRef);
    } catch (error) {
      this.listener.problem?.('a pull record could not be read, and is replaced', error);
    }
    const merged = record === undefined ? proof : mergePulledWith(entryOf(record, name), proof);
    if (record !== undefined && merged === undefined) return;
    const credentialMapping = { ...record?.credentialMapping };
    if (merged !== undefined) credentialMapping[name] = merged;
    this.store.writePulledRecord({
      lastUpdatedTime: new Date(Math.floor(this.now() / 1000) * 1000),
      imageRef,
      credentialMapping,
    });
  }

  #endIntent(image: string): void {
    const left = this.intentsOf(image) - 1;
    if (left > 0) {
      this.#intents.set(image, left);
      return;
    }
    try {
      this.store.deleteIntent(image);
    } catch (error) {
      this.listener.problem?.('a pull intent could not be removed', error);
      return;
    }
    this.#intents.delete(image);
  }

  /**
   * After a start: of the pulls that an earlier process began and did not end, those that brought
   * their image get a record without credentials, so that the next use is verified. Intents whose
   * image the runtime does not have stay, as in kubelet.
   */
  async recover(
    runtime: Pick<ImageRuntime, 'listImages'>,
    options: { signal: AbortSignal },
  ): Promise<void> {
    const { items, errors } = this.store.intents();
    for (const error of errors) this.listener.problem?.('a pull intent could not be read', error);
    if (items.length === 0) return;
    const { images } = await runtime.listImages({}, options);
    for (const image of items) {
      // Begun by this process in the meantime.
      if (this.intentsOf(image) > 0) continue;
      const found = images.find(({ id: imageId, repoTags, repoDigests }) =>
        namesImage(image, { imageId, repoTags, repoDigests }),
      );
      if (found !== undefined) this.recordPulledWith(image, found.id, undefined);
    }
  }

  /**
   * Drops records older than `before` of images that the runtime no longer has. `imageRefs` must be
   * all it has, taken after `before`. What was pulled since then stays: without its record it would
   * count as there without a pull, free for all.
   */
  prune(imageRefs: Iterable<string>, before: Date): void {
    const known = new Set(imageRefs);
    // Times in records have no fractions.
    const wholeSecond = new Date(Math.floor(before.getTime() / 1000) * 1000);
    const { items, errors } = this.store.pulledRecords();
    for (const error of errors) this.listener.problem?.('a pull record could not be read', error);
    for (const { imageRef, lastUpdatedTime } of items) {
      if (known.has(imageRef) || lastUpdatedTime >= wholeSecond) continue;
      if ((this.#recordedAt.get(imageRef) ?? -Infinity) >= before.getTime()) continue;
      try {
        this.store.deletePulledRecord(imageRef);
      } catch (error) {
        this.listener.problem?.('a pull record could not be removed', error);
      }
    }
    for (const [imageRef, at] of this.#recordedAt) {
      if (at < before.getTime()) this.#recordedAt.delete(imageRef);
    }
  }
}

function entryOf(record: PulledRecord | undefined, name: string): PulledWith | undefined {
  const mapping = record?.credentialMapping ?? {};
  return Object.hasOwn(mapping, name) ? mapping[name] : undefined;
}

/** What a synchronous call throws becomes a rejection. */
async function settle(call: () => void): Promise<void> {
  await Promise.resolve();
  call();
}
