import type { ConformanceAdapter, ConformanceCase, ConformanceOutcome } from '@stowage/conformance';
import { createCredential } from '../../libs/registry-auth/src/credential';
import {
  decodeAuthField,
  decodeDockerConfigJson,
  decodeDockercfg,
  encodeDockerConfigEntry,
  readEntry,
  type DockerConfigEntry,
} from '../../libs/registry-auth/src/docker-config';
import { checkedJson } from '../../libs/registry-auth/src/json-object';
import { concatKeyrings, type Keyring } from '../../libs/registry-auth/src/keyring';
import { pullSecretKeyring, type PullSecret } from '../../libs/registry-auth/src/pull-secrets';

interface AuthFieldCase extends ConformanceCase {
  readonly in: string;
  readonly want?: object;
  readonly error?: boolean;
  readonly error_text?: string;
}

interface EntryCase extends ConformanceCase {
  readonly in: string;
  readonly want: object;
  readonly error: boolean;
}

interface FileCase extends ConformanceCase {
  readonly in: string;
  readonly format: 'dockerconfigjson' | 'dockercfg';
  readonly want?: object | null;
  readonly error_text?: string;
}

interface EncodeCase extends ConformanceCase {
  readonly username: string;
  readonly password: string;
  readonly email: string;
  readonly want_json: string;
}

interface SecretCase extends ConformanceCase {
  readonly image: string;
  readonly secrets: readonly (PullSecret & { readonly data: Readonly<Record<string, string>> })[];
  /** What the node's own keyring finds; null for nothing. */
  readonly node_keyring: readonly { username: string; password: string }[] | null;
  readonly want_in_order?: readonly {
    readonly username: string;
    readonly password: string;
    readonly from_secret?: object;
    readonly sha256_hex?: string;
  }[];
  readonly want_error?: boolean;
}

/** The fields that kubelet reads. */
const kubeletFields = ({ username, password, email }: DockerConfigEntry): object => ({
  username,
  password,
  email,
});

/** What kubelet's decoder has filled in when it stops, and whether it failed. */
function decodeEntry(text: string): { entry: object; error: boolean } {
  const empty = { username: '', password: '' };
  try {
    const { entry, auth } = readEntry(checkedJson(text));
    if (auth === '') return { entry: kubeletFields(entry), error: false };
    try {
      return { entry: kubeletFields({ ...entry, ...decodeAuthField(auth) }), error: false };
    } catch {
      return { entry: kubeletFields({ ...entry, ...empty }), error: true };
    }
  } catch {
    return { entry: { ...empty, email: '' }, error: true };
  }
}

const errorText = (run: () => unknown): { value: unknown } | { error: string } => {
  try {
    return { value: run() };
  } catch (error) {
    return { error: (error as Error).message };
  }
};

async function secretOutcome(testCase: SecretCase): Promise<ConformanceOutcome> {
  const { image, secrets, node_keyring, want_in_order = [], want_error = false } = testCase;
  const nodeKeyring: Keyring = {
    lookup: () =>
      Promise.resolve(
        (node_keyring ?? []).map((auth) =>
          createCredential(auth, { kind: 'docker-config', path: '/config.json' }),
        ),
      ),
  };
  let keyring: Keyring;
  try {
    keyring = concatKeyrings([pullSecretKeyring(secrets, { undecodable: 'fail' }), nodeKeyring]);
  } catch {
    return { want: want_error, got: true };
  }
  const credentials = await keyring.lookup(image);
  return {
    want: { error: want_error, credentials: want_in_order },
    got: {
      error: false,
      credentials: credentials.map(({ auth, source, hash }, index) => {
        const wanted = want_in_order[index];
        const { kind, ...coordinates } = source;
        return {
          username: auth.username ?? '',
          password: auth.password ?? '',
          from_secret: wanted?.from_secret == null || kind !== 'secret' ? undefined : coordinates,
          sha256_hex: wanted?.sha256_hex == null ? undefined : hash,
        };
      }),
    },
  };
}

export const conformance: ConformanceAdapter = {
  file: 'dockerconfig-decode',
  sections: {
    auth_field: ({ in: field, want, error, error_text }: AuthFieldCase) => {
      const got = errorText(() => decodeAuthField(field));
      const isErrorWanted = error === true || error_text != null;
      if (!isErrorWanted || 'value' in got) {
        return { want: isErrorWanted ? { error: error_text ?? true } : { value: want }, got };
      }
      return { want: error_text ?? true, got: error_text == null ? true : got.error };
    },
    one_entry: ({ in: text, want, error }: EntryCase) => ({
      want: { entry: want, error },
      got: decodeEntry(text),
    }),
    whole_file: ({ in: text, format, want, error_text }: FileCase) => ({
      want: error_text == null ? { value: want } : { error: error_text },
      got: errorText(() => {
        const entries =
          format === 'dockercfg' ? decodeDockercfg(text) : decodeDockerConfigJson(text).entries;
        if (entries == null) return null;
        return Object.fromEntries([...entries].map(([key, entry]) => [key, kubeletFields(entry)]));
      }),
    }),
    encode: ({ username, password, email, want_json }: EncodeCase) => ({
      want: want_json,
      got: encodeDockerConfigEntry({ username, password, email }),
    }),
    pull_secrets: secretOutcome,
  },
};
