export {
  type Credential,
  credentialHash,
  type CredentialLabel,
  type CredentialSource,
  type CredentialSourceKind,
  createCredential,
  type RegistryAuth,
  type ServiceAccountRef,
} from './credential';
export { type CredentialHelperOptions } from './credential-helper';
export {
  type CredentialProvider,
  type CredentialProviderConfig,
  CredentialProviderConfigError,
  loadCredentialProviderConfig,
  type TokenAttributes,
} from './credential-provider-config';
export {
  CredentialProviders,
  type CredentialProvidersOptions,
  type ProviderRun,
} from './credential-providers';
export {
  DockerConfigFiles,
  type DockerConfigFilesOptions,
  type DockerConfigInUse,
  type DockerConfigSearch,
  kubeletSearch,
} from './docker-config-files';
export {
  concatKeyrings,
  type Keyring,
  type LookupOptions,
  type PodServiceAccount,
  type ProblemListener,
  type SourceProblem,
} from './keyring';
export {
  type PullSecret,
  PullSecretError,
  pullSecretKeyring,
  type PullSecretOptions,
} from './pull-secrets';
export { redactSecrets, secretTexts } from './redact';
export { PullSecretDirectory } from './pull-secret-directory';
