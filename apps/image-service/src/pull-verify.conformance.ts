import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Image } from '@stowage/cri-proto';
import type { ConformanceAdapter, ConformanceCase, ConformanceOutcome } from '@stowage/conformance';
import { ImagePullRecords } from './records/image-pull-records';
import { mergeByCoordinates, mergePulledWith } from './records/pulled-record';
import type { PulledRecord, PulledWith } from './records/pulled-record';
import type { SecretCoordinates, ServiceAccountCoordinates } from './credentials/credentials';
import { decodePulledRecord, recordFileName } from './records/record-files';
import { FsRecordStore } from './records/record-store';
import { MemoryRecordStore } from './testing/memory-record-store';
import {
  parseAllowlist,
  verificationPolicy,
  VerificationPolicyError,
} from './records/verification-policy';

interface Secret {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly hash: string;
}

interface Entry {
  readonly node: boolean;
  readonly secrets: readonly Secret[];
  readonly service_accounts: readonly ServiceAccountCoordinates[];
}

type Entries = Readonly<Record<string, Entry>>;

interface MustPullCase extends ConformanceCase {
  readonly policy: string;
  readonly allowlist?: readonly string[];
  readonly image: string;
  readonly image_ref: string;
  readonly pulled_records: readonly { readonly image_ref: string; readonly by_image: Entries }[];
  readonly pull_intents: readonly { readonly image: string }[];
  readonly pod_secrets: readonly Secret[];
  readonly pod_service_account: ServiceAccountCoordinates | null;
  readonly want: {
    readonly must_pull: boolean;
    readonly pod_credentials_looked_up: boolean;
    readonly record_written: boolean;
    readonly record_after?: Entries;
  };
}

interface AllowlistCase extends ConformanceCase {
  readonly image: string;
  readonly allowlist: readonly string[];
  readonly pulled_by_kubelet?: boolean;
  readonly must_verify?: boolean;
  readonly config_error?: string;
  readonly exact_entries?: number;
  readonly prefix_entries?: number;
}

interface MergeCase extends ConformanceCase {
  readonly old?: Entry | null;
  readonly new?: Entry | null;
  readonly old_service_accounts?: readonly ServiceAccountCoordinates[] | null;
  readonly new_service_accounts?: readonly ServiceAccountCoordinates[] | null;
  readonly old_secrets?: readonly Secret[] | null;
  readonly new_secrets?: readonly Secret[] | null;
  readonly want: unknown;
  readonly changed: boolean;
}

interface PruneCase extends ConformanceCase {
  readonly records: readonly { readonly image_ref: string; readonly last_updated: string }[];
  readonly images_reported: readonly string[];
  readonly gc_started: string;
  readonly records_left: readonly string[];
}

interface StartupCase extends ConformanceCase {
  readonly runtime_images: readonly {
    readonly id: string;
    readonly tags: readonly string[];
    readonly digests: readonly string[];
  }[];
  readonly intents: readonly string[];
  readonly pulled_records: readonly string[];
  readonly intents_after: readonly string[];
  readonly pulled_after: readonly string[];
}

interface RecordPulledCase extends ConformanceCase {
  readonly image: string;
  readonly image_ref: string;
  readonly creds: Entry | null;
  readonly existing_record: Entries | null;
  readonly pulls_in_flight_before: number;
  readonly record_file: string;
  readonly want_record: Entries;
  readonly time_updated: boolean;
  readonly intent_file_removed?: string | null;
}

interface IntentCase extends ConformanceCase {
  readonly image: string;
  readonly file: string;
  readonly counter_before: number;
  readonly counter_after: number;
}

interface FileCase extends ConformanceCase {
  readonly directory: string;
  readonly name: string;
  readonly content: string;
}

const { signal } = new AbortController();
const long = new Date('2024-10-21T12:26:40Z');
const later = Date.parse('2024-12-25T00:01:00Z');

const ourSecret = ({ hash, ...where }: Secret): SecretCoordinates => ({
  ...where,
  credentialHash: hash,
});

const theirSecret = ({ credentialHash, ...where }: SecretCoordinates): Secret => ({
  ...where,
  hash: credentialHash,
});

const ours = (entry: Entry): PulledWith => ({
  nodePodsAccessible: entry.node,
  kubernetesSecrets: entry.secrets.map(ourSecret),
  kubernetesServiceAccounts: entry.service_accounts,
});

const theirs = (entry: PulledWith): Entry => ({
  node: entry.nodePodsAccessible,
  secrets: entry.kubernetesSecrets.map(theirSecret),
  service_accounts: entry.kubernetesServiceAccounts,
});

const record = (imageRef: string, entries: Entries, lastUpdatedTime = long): PulledRecord => ({
  lastUpdatedTime,
  imageRef,
  credentialMapping: Object.fromEntries(
    Object.entries(entries).map(([image, entry]) => [image, ours(entry)]),
  ),
});

const entriesOf = (found: PulledRecord | undefined): Entries =>
  Object.fromEntries(
    Object.entries(found?.credentialMapping ?? {}).map(([image, entry]) => [image, theirs(entry)]),
  );

/** Counts the records that are written. */
class CountingStore extends MemoryRecordStore {
  written = 0;

  override writePulledRecord(written: PulledRecord): void {
    this.written++;
    super.writePulledRecord(written);
  }
}

async function mustPull(testCase: MustPullCase): Promise<ConformanceOutcome> {
  const store = new CountingStore();
  for (const { image_ref, by_image } of testCase.pulled_records) {
    store.writePulledRecord(record(image_ref, by_image));
  }
  for (const { image } of testCase.pull_intents) store.writeIntent(image);
  store.written = 0;
  const policy = verificationPolicy(testCase.policy, testCase.allowlist);
  const records = new ImagePullRecords(store, policy, {}, () => later);
  let isLookedUp = false;
  const must_pull = await records.mustAttemptPull(testCase.image, testCase.image_ref, () => {
    isLookedUp = true;
    return Promise.resolve({
      secrets: testCase.pod_secrets.map(ourSecret),
      serviceAccount: testCase.pod_service_account ?? undefined,
    });
  });
  const after = entriesOf(store.pulledRecord(testCase.image_ref));
  return {
    want: testCase.want,
    got: {
      must_pull,
      pod_credentials_looked_up: isLookedUp,
      record_written: store.written > 0,
      record_after: testCase.want.record_after === undefined ? undefined : after,
    },
  };
}

function allowlist(testCase: AllowlistCase): ConformanceOutcome {
  const { image, config_error, must_verify, exact_entries, prefix_entries } = testCase;
  try {
    const { exact, prefixes } = parseAllowlist(testCase.allowlist);
    const policy = verificationPolicy('NeverVerifyAllowlistedImages', testCase.allowlist);
    return {
      want: { must_verify, exact_entries, prefix_entries, config_error },
      got: {
        must_verify: policy(image, testCase.pulled_by_kubelet ?? false),
        exact_entries: exact_entries === undefined ? undefined : exact.size,
        prefix_entries: prefix_entries === undefined ? undefined : prefixes.length,
      },
    };
  } catch (error) {
    if (!(error instanceof VerificationPolicyError)) throw error;
    return { want: { config_error }, got: { config_error: error.message } };
  }
}

function merge(testCase: MergeCase): ConformanceOutcome {
  const { want, changed } = testCase;
  if (testCase.new_service_accounts !== undefined) {
    const old = testCase.old_service_accounts ?? [];
    const merged = mergeByCoordinates(old, testCase.new_service_accounts ?? []);
    return { want: { want, changed }, got: { want: merged ?? old, changed: merged !== undefined } };
  }
  if (testCase.new_secrets !== undefined) {
    const old = (testCase.old_secrets ?? []).map(ourSecret);
    const merged = mergeByCoordinates(old, (testCase.new_secrets ?? []).map(ourSecret));
    return {
      want: { want, changed },
      got: { want: (merged ?? old).map(theirSecret), changed: merged !== undefined },
    };
  }
  const old = testCase.old == null ? undefined : ours(testCase.old);
  const merged = mergePulledWith(old, testCase.new == null ? undefined : ours(testCase.new));
  const now = merged ?? old;
  return {
    want: { want, changed },
    got: { want: now === undefined ? null : theirs(now), changed: merged !== undefined },
  };
}

function prune(testCase: PruneCase): ConformanceOutcome {
  const store = new MemoryRecordStore();
  for (const { image_ref, last_updated } of testCase.records) {
    store.writePulledRecord(record(image_ref, {}, new Date(last_updated)));
  }
  const records = new ImagePullRecords(store, verificationPolicy('AlwaysVerify'));
  records.prune(testCase.images_reported, new Date(testCase.gc_started));
  return {
    want: [...testCase.records_left].sort(),
    got: store
      .pulledRecords()
      .items.map(({ imageRef }) => imageRef)
      .sort(),
  };
}

async function startup(testCase: StartupCase): Promise<ConformanceOutcome> {
  const store = new MemoryRecordStore();
  for (const image of testCase.intents) store.writeIntent(image);
  for (const imageRef of testCase.pulled_records) store.writePulledRecord(record(imageRef, {}));
  const records = new ImagePullRecords(store, verificationPolicy('AlwaysVerify'));
  const images = testCase.runtime_images.map(({ id, tags, digests }) =>
    Image.fromPartial({ id, repoTags: [...tags], repoDigests: [...digests] }),
  );
  await records.recover({ listImages: () => Promise.resolve({ images }) }, { signal });
  return {
    want: {
      intents: [...testCase.intents_after].sort(),
      pulled: [...testCase.pulled_after].sort(),
    },
    got: {
      intents: [...store.intents().items].sort(),
      pulled: store
        .pulledRecords()
        .items.map(({ imageRef }) => imageRef)
        .sort(),
    },
  };
}

/** A plain list: that of node:fs belongs to another realm in tests. */
const namesIn = (dir: string, folder: string): string[] => [...readdirSync(path.join(dir, folder))];

/** Runs with a folder that is gone afterwards. */
async function inFolder<T>(run: (dir: string) => T | Promise<T>): Promise<T> {
  const dir = mkdtempSync(path.join(tmpdir(), 'pull-verify-'));
  try {
    return await run(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function recordPulled(testCase: RecordPulledCase): Promise<ConformanceOutcome> {
  return inFolder(async (dir) => {
    const { image, image_ref, existing_record, creds } = testCase;
    const store = new FsRecordStore(dir);
    if (existing_record != null) store.writePulledRecord(record(image_ref, existing_record));
    const records = new ImagePullRecords(
      store,
      verificationPolicy('AlwaysVerify'),
      {},
      () => later,
    );
    for (let count = 0; count < testCase.pulls_in_flight_before; count++) {
      await records.recordIntent(image);
    }
    const before = namesIn(dir, 'pulling');
    records.recordPulledWith(image, image_ref, creds == null ? undefined : ours(creds));
    const left = namesIn(dir, 'pulling');
    const written = store.pulledRecord(image_ref);
    return {
      want: {
        files: [testCase.record_file],
        record: testCase.want_record,
        time_updated: testCase.time_updated,
        removed: testCase.intent_file_removed == null ? [] : [testCase.intent_file_removed],
      },
      got: {
        files: namesIn(dir, 'pulled'),
        record: entriesOf(written),
        time_updated: written?.lastUpdatedTime.getTime() !== long.getTime(),
        removed: before.filter((name) => !left.includes(name)),
      },
    };
  });
}

function intent(testCase: IntentCase): Promise<ConformanceOutcome> {
  return inFolder(async (dir) => {
    const { image, counter_before } = testCase;
    const store = new FsRecordStore(dir);
    const records = new ImagePullRecords(store, verificationPolicy('AlwaysVerify'));
    for (let count = 0; count < counter_before; count++) await records.recordIntent(image);
    await records.recordIntent(image);
    return {
      want: { files: [testCase.file], counter: testCase.counter_after },
      got: { files: namesIn(dir, 'pulling'), counter: records.intentsOf(image) },
    };
  });
}

function files({ directory, name, content }: FileCase): Promise<ConformanceOutcome> {
  return inFolder((dir) => {
    const store = new FsRecordStore(path.join(dir, 'image_manager'));
    const given = JSON.parse(content) as { kind: string; image?: string; imageRef?: string };
    const isIntent = given.kind === 'ImagePullIntent';
    if (isIntent) store.writeIntent(given.image ?? '');
    else store.writePulledRecord(decodePulledRecord(content).value);
    const folder = isIntent ? 'image_manager/pulling' : 'image_manager/pulled';
    const file = recordFileName((isIntent ? given.image : given.imageRef) ?? '');
    return {
      want: { directory, name, content },
      got: {
        directory: folder,
        name: file,
        content: readFileSync(path.join(dir, folder, file), 'utf8'),
      },
    };
  });
}

/** Kubelet's image pull manager: KEP-2535. */
export const conformance: ConformanceAdapter = {
  file: 'pull-verify',
  sections: {
    must_pull: mustPull,
    allowlist,
    merge,
    prune,
    startup,
    record_pulled: recordPulled,
    intent,
    files,
  },
};
