import {
  concatKeyrings,
  createCredential,
  CredentialProviders,
  DockerConfigFiles,
  loadCredentialProviderConfig,
  PullSecretDirectory,
  type Credential,
  type Keyring,
  type ProviderRun,
  type SourceProblem,
} from '@stowage/registry-auth';
import { maxCredentialProblems } from '@stowage/events';
import type {
  CredentialProblem,
  CredentialSource,
  NodeCredentials,
  PullAuth,
  PullCredential,
} from './credentials';
import type { PullSecretsScope } from './pull-secrets-scope';

/** Where the node's credentials come from. */
export interface CredentialSources {
  /** Folder of mounted pull secrets. */
  readonly pullSecretsDir?: string;
  readonly pullSecretsScope?: PullSecretsScope;
  /** What a pull secret that does not decode does to a pull. */
  readonly undecodable: 'skip' | 'fail';
  readonly configJsonDirs: readonly string[];
  readonly dockercfgDirs: readonly string[];
  /** Absent: `credHelpers` and `credsStore` are left out, as in kubelet. */
  readonly helpers?: { readonly binDir: string };
  /** kubelet's exec plugins. */
  readonly providers?: { readonly config: string; readonly binDir: string };
}

/** Is notified of what happens with the sources. */
export interface CredentialSourceListener {
  /** A source that cannot be used; the pull goes on without it. */
  readonly onProblem: (problem: SourceProblem) => void;
  readonly onProviderRun?: (run: ProviderRun) => void;
  /** A sentence about a file that was read, but not as its author may think. */
  readonly onWarning?: (warning: string) => void;
}

/**
 * The node's credentials, matched and ordered as in kubelet's keyring: pull secrets, docker config,
 * plugins. Throws CredentialProviderConfigError when the configuration of the plugins cannot be
 * used.
 */
export function nodeCredentials({
  onProblem: report,
  onProviderRun,
  onWarning,
  ...sources
}: CredentialSources & CredentialSourceListener): NodeCredentials {
  const {
    pullSecretsDir,
    pullSecretsScope = 'namespace',
    undecodable,
    helpers,
    providers,
  } = sources;
  let unreported: CredentialProblem[] = [];
  const onProblem = (problem: SourceProblem) => {
    const { kind, name, reason } = problem;
    if (unreported.length < maxCredentialProblems) {
      unreported.push({ source: sourceWords[kind], name, reason });
    }
    report(problem);
  };
  const secrets =
    pullSecretsDir === undefined
      ? undefined
      : new PullSecretDirectory(pullSecretsDir, { onProblem, undecodable });
  const others: Keyring[] = [new DockerConfigFiles(sources, { onProblem, helpers })];
  if (providers !== undefined) {
    const config = loadCredentialProviderConfig(providers.config, providers.binDir);
    for (const warning of config.warnings) onWarning?.(warning);
    others.push(new CredentialProviders(config, { onProblem, onRun: onProviderRun }));
  }
  const unnamed =
    secrets === undefined || pullSecretsScope === 'named' ? others : [secrets, ...others];
  const all = concatKeyrings(unnamed);
  return {
    dividesNamespaces: secrets !== undefined && pullSecretsScope === 'namespace',
    forRepository: async (repository, { signal, secretName, namespace = '' }) => {
      if (secretName === undefined) {
        const scope = pullSecretsScope === 'namespace' ? { namespace } : {};
        return (await all.lookup(repository, { signal, ...scope })).map(pullCredential);
      }
      return ((await secrets?.lookupIn(secretName, repository)) ?? []).map(pullCredential);
    },
    takeProblems: () => {
      const taken = unreported;
      unreported = [];
      return taken;
    },
  };
}

/** Kubelet's hash of a credential that came with a request. */
export function requestHash(auth: PullAuth): string {
  return createCredential(auth, { kind: 'request' }).hash;
}

/** The words of the events for the kinds of the keyring. */
const sourceWords: Record<Credential['source']['kind'], CredentialSource> = {
  request: 'request',
  'docker-config': 'docker-config',
  secret: 'kubernetes-secret',
  'credential-helper': 'credential-helper',
  'credential-provider': 'credential-provider',
};

function pullCredential({ auth, label, source }: Credential): PullCredential {
  const { kind, name, hash } = label;
  return { auth, label: { source: sourceWords[kind], name, hash }, owner: ownerOf(source, hash) };
}

/** Docker config and plugins that were not given a service account belong to the node. */
function ownerOf(source: Credential['source'], credentialHash: string): PullCredential['owner'] {
  if (source.kind === 'secret') {
    const { uid, namespace, name } = source;
    return { secret: { uid, namespace, name, credentialHash } };
  }
  if (source.kind === 'credential-provider' && source.serviceAccount !== undefined) {
    const { uid, namespace, name } = source.serviceAccount;
    return { serviceAccount: { uid, namespace, name } };
  }
  return undefined;
}
