import { createCredential, DockerConfigFiles } from '@stowage/registry-auth';
import type { Credential, Keyring, SourceProblem } from '@stowage/registry-auth';
import type { CredentialSource, NodeCredentials, PullAuth, PullCredential } from './credentials';

/** Where the node's docker config is looked for. */
export interface NodeCredentialsOptions {
  readonly configJsonDirs: readonly string[];
  readonly dockercfgDirs: readonly string[];
  /** A file that cannot be used; the pull goes on without it. */
  readonly onProblem: (problem: SourceProblem) => void;
}

/** The credentials of the node's docker config files, matched and ordered as in kubelet's keyring. */
export function nodeCredentials({ onProblem, ...search }: NodeCredentialsOptions): NodeCredentials {
  const keyring: Keyring = new DockerConfigFiles(search, { onProblem });
  return {
    forRepository: async (repository, options) =>
      (await keyring.lookup(repository, options)).map(pullCredential),
  };
}

/** Kubelet's hash of a credential that came with a request. */
export function requestHash(auth: PullAuth): string {
  return createCredential(auth, { kind: 'request' }).hash;
}

/** The words of the events for the kinds of the keyring. */
const sources: Record<Credential['source']['kind'], CredentialSource> = {
  request: 'request',
  'docker-config': 'docker-config',
  secret: 'kubernetes-secret',
  'credential-helper': 'credential-helper',
  'credential-provider': 'credential-provider',
};

function pullCredential({ auth, label }: Credential): PullCredential {
  const { kind, name, hash } = label;
  return { auth, label: { source: sources[kind], name, hash } };
}
