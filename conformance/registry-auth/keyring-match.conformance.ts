import type { ConformanceAdapter, ConformanceCase } from '@stowage/conformance';
import { credentialHash, hashedJson } from '../../libs/registry-auth/src/credential';
import { CredentialIndex } from '../../libs/registry-auth/src/credential-index';
import type { DockerConfigEntry } from '../../libs/registry-auth/src/docker-config';
import { isDockerHubName, registryMatches } from '../../libs/registry-auth/src/match-registry';

interface PatternCase extends ConformanceCase {
  readonly pattern: string;
  readonly target: string;
  readonly match: boolean;
}

interface HitCase extends ConformanceCase {
  readonly config_keys: readonly string[];
  readonly image: string;
  readonly hit: boolean;
}

interface HubCase extends ConformanceCase {
  readonly image: string;
  readonly is_hub: boolean;
}

interface OrderCase extends ConformanceCase {
  readonly config: readonly (Partial<DockerConfigEntry> & { readonly key: string })[];
  readonly image: string;
  readonly usernames_in_try_order: readonly string[];
  readonly found: boolean;
}

interface HashCase extends ConformanceCase {
  readonly username?: string;
  readonly password?: string;
  readonly email?: string;
  readonly sha256_hex: string;
  readonly hashed_json?: string;
}

const source = { kind: 'docker-config', path: '/config.json' } as const;

const entry = (given: Partial<DockerConfigEntry>): DockerConfigEntry => {
  const { username = '', password = '', email = '' } = given;
  return { username, password, email, identityToken: '', registryToken: '' };
};

export const conformance: ConformanceAdapter = {
  file: 'keyring-match',
  sections: {
    pattern_vs_target: ({ pattern, target, match }: PatternCase) => ({
      want: match,
      got: registryMatches(pattern, target),
    }),
    config_key_vs_image: ({ config_keys, image, hit }: HitCase) => {
      const index = new CredentialIndex();
      index.add(source, new Map(config_keys.map((key) => [key, entry({ username: 'u' })])));
      return { want: hit, got: index.lookup(image).length > 0 };
    },
    hub_fallback_name_test: ({ image, is_hub }: HubCase) => ({
      want: is_hub,
      got: isDockerHubName(image),
    }),
    try_order: ({ config, image, usernames_in_try_order, found }: OrderCase) => {
      const index = new CredentialIndex();
      for (const given of config) index.add(source, new Map([[given.key, entry(given)]]));
      const credentials = index.lookup(image);
      const usernames = credentials.map(({ auth }) => auth.username ?? '');
      return {
        want: { usernames: usernames_in_try_order, found },
        got: { usernames, found: credentials.length > 0 },
      };
    },
    credential_hash: ({ username, password, email, sha256_hex, hashed_json }: HashCase) => ({
      want: { hash: sha256_hex, hashed_json },
      got: {
        hash: credentialHash({ username, password }, email),
        hashed_json: hashed_json == null ? undefined : hashedJson({ username, password }, email),
      },
    }),
  },
};
