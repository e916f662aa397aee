import { createHash } from 'node:crypto';
import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { StowageError } from '@stowage/errors';
import { KubernetesYamlError, parseKubernetesYaml } from '@stowage/kubernetes-yaml';
import * as z from 'zod';
import { errorCode } from './file-signature';
import { parseGoDuration } from '@stowage/go-duration';
import { parseSchemeless } from './registry-url';

/** One credential provider plugin, validated. */
export interface CredentialProvider {
  readonly name: string;
  /** Path of the program. */
  readonly program: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheMs: number;
  readonly apiVersion: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly tokenAttributes?: TokenAttributes;
}

/** How a plugin wants the service account's token. */
export interface TokenAttributes {
  readonly serviceAccountTokenAudience: string;
  /** Whether an answer is kept for the token or for the service account. */
  readonly cacheType: 'Token' | 'ServiceAccount';
  readonly requireServiceAccount: boolean;
  readonly requiredServiceAccountAnnotationKeys: readonly string[];
  readonly optionalServiceAccountAnnotationKeys: readonly string[];
}

export interface CredentialProviderConfig {
  /** In the order they are asked. */
  readonly providers: readonly CredentialProvider[];
  /** `sha256:` and the hash of all configuration files, as in kubelet's metric. */
  readonly hash: string;
  /** What the author of the files should know; a sentence each. */
  readonly warnings: readonly string[];
}

/**
 * The plugin configuration cannot be used. The message names the file or field and what is wanted.
 */
export class CredentialProviderConfigError extends StowageError {
  constructor(message: string) {
    super(message, { code: 'CREDENTIAL_PROVIDER_CONFIG', grpcStatus: 'INVALID_ARGUMENT' });
  }
}

const group = 'kubelet.config.k8s.io';
const configVersions = [`${group}/v1`, `${group}/v1alpha1`, `${group}/v1beta1`];
const pluginGroup = 'credentialprovider.kubelet.k8s.io';
const pluginVersions = [`${pluginGroup}/v1`, `${pluginGroup}/v1alpha1`, `${pluginGroup}/v1beta1`];

const tokenAttributesSchema = z.strictObject({
  serviceAccountTokenAudience: z.string().default(''),
  cacheType: z.string().default(''),
  requireServiceAccount: z.boolean().nullish(),
  requiredServiceAccountAnnotationKeys: z.array(z.string()).nullish(),
  optionalServiceAccountAnnotationKeys: z.array(z.string()).nullish(),
});

const providerSchema = z.strictObject({
  name: z.string().default(''),
  matchImages: z.array(z.string()).nullish(),
  defaultCacheDuration: z.string().nullish(),
  apiVersion: z.string().default(''),
  args: z.array(z.string()).nullish(),
  env: z.array(z.strictObject({ name: z.string(), value: z.string().default('') })).nullish(),
  tokenAttributes: tokenAttributesSchema.nullish(),
});

const configSchema = z.strictObject({
  kind: z.literal('CredentialProviderConfig'),
  apiVersion: z.enum(configVersions),
  providers: z.array(providerSchema).nullish(),
});

type RawProvider = z.infer<typeof providerSchema>;

/**
 * Reads kubelet's credential provider configuration: a file, or a folder whose `*.json`, `*.yaml`
 * and `*.yml` (not of sub-folders) are taken in the order of their names. Throws
 * CredentialProviderConfigError.
 */
export function loadCredentialProviderConfig(
  configPath: string,
  binDir: string,
): CredentialProviderConfig {
  if (configPath === '') {
    throw new CredentialProviderConfigError('credential provider config path is empty');
  }
  if (statOf(binDir)?.isDirectory() !== true) {
    throw new CredentialProviderConfigError(`plugin binary directory ${binDir} did not exist`);
  }
  const files = configFiles(configPath);
  const hash = createHash('sha256');
  const providers: RawProvider[] = [];
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const file of files) {
    const content = readConfig(file);
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(content.length));
    hash.update(length).update(content);
    const parsed = parseConfig(file, content.toString('utf8'), warnings);
    problems.push(...validate(parsed.providers ?? [], parsed.apiVersion));
    for (const provider of parsed.providers ?? []) {
      if (files.length > 1 && providers.some(({ name }) => name === provider.name)) {
        throw new CredentialProviderConfigError(
          `duplicate provider name ${JSON.stringify(provider.name)} found in configuration file(s)`,
        );
      }
      providers.push(provider);
    }
  }
  if (problems.length > 0) {
    const text = problems.length === 1 ? problems.join() : `[${problems.join(', ')}]`;
    throw new CredentialProviderConfigError(
      `failed to validate credential provider config: ${text}`,
    );
  }
  return {
    providers: providers.map((provider) => withProgram(provider, binDir)),
    hash: `sha256:${hash.digest('hex')}`,
    warnings,
  };
}

function configFiles(configPath: string): string[] {
  const stat = statOf(configPath);
  if (stat == null) {
    throw new CredentialProviderConfigError(
      `credential provider config ${JSON.stringify(configPath)} does not exist`,
    );
  }
  if (!stat.isDirectory()) return [configPath];
  const files = readdirSync(configPath, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && /\.(json|ya?ml)$/.test(entry.name))
    .map(({ name }) => path.join(configPath, name))
    .sort((a, b) => (a < b ? -1 : 1));
  if (files.length === 0) {
    throw new CredentialProviderConfigError(
      `no configuration files found in directory ${JSON.stringify(configPath)}`,
    );
  }
  return files;
}

function readConfig(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new CredentialProviderConfigError(
      `credential provider config ${JSON.stringify(file)} cannot be read: ${errorCode(error)}`,
    );
  }
}

/**
 * Kubelet reads this file strictly, so a key that stands twice is an error; a second document is
 * none.
 */
function parseConfig(file: string, text: string, warnings: string[]): z.infer<typeof configSchema> {
  const refuse = (reason: string): CredentialProviderConfigError =>
    new CredentialProviderConfigError(
      `error decoding credential provider config ${JSON.stringify(file)}: ${reason}`,
    );
  let content: unknown;
  try {
    const parsed = parseKubernetesYaml(text);
    const [duplicate] = parsed.duplicateKeys;
    if (duplicate !== undefined) throw refuse(`the key ${duplicate} stands twice`);
    content = parsed.value ?? null;
    warnings.push(...parsed.warnings.map((warning) => `${file}: ${warning}`));
  } catch (error) {
    throw error instanceof KubernetesYamlError ? refuse(error.message) : error;
  }
  const result = configSchema.safeParse(content);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue?.path.join('.') ?? '';
  throw refuse(`${where === '' ? '' : `${where}: `}${issue?.message ?? 'not valid'}`);
}

/** What is wrong with the providers of one file, in kubelet's words. */
function validate(providers: readonly RawProvider[], configVersion: string): string[] {
  if (providers.length === 0) {
    return ['providers: Required value: at least 1 item in plugins is required'];
  }
  const seen = new Set<string>();
  return providers.flatMap((provider) => {
    const isDuplicate = seen.has(provider.name);
    seen.add(provider.name);
    return [
      ...validateName(provider.name, isDuplicate),
      ...validateApiVersion(provider.apiVersion),
      ...validateMatchImages(provider.matchImages ?? []),
      ...validateCacheDuration(provider.defaultCacheDuration ?? undefined),
      ...validateTokenAttributes(provider, configVersion),
    ];
  });
}

const invalid = (field: string, value: unknown, reason: string): string =>
  `${field}: Invalid value: ${JSON.stringify(value)}: ${reason}`;

function validateName(name: string, isDuplicate: boolean): string[] {
  const field = 'providers.name';
  if (name === '') return [`${field}: Required value`];
  return [
    name.includes('/') && invalid(field, name, "provider name cannot contain '/'"),
    name.includes(' ') && invalid(field, name, 'provider name cannot contain spaces'),
    (name === '.' || name === '..') && invalid(field, name, `provider name cannot be '${name}'`),
    isDuplicate && `${field}: Duplicate value: ${JSON.stringify(name)}`,
  ].filter((problem) => problem !== false);
}

function validateApiVersion(apiVersion: string): string[] {
  const field = 'providers.apiVersion';
  if (apiVersion === '') return [`${field}: Required value`];
  if (pluginVersions.includes(apiVersion)) return [];
  const supported = pluginVersions.map((version) => JSON.stringify(version)).join(', ');
  return [
    `${field}: Unsupported value: ${JSON.stringify(apiVersion)}: supported values: ${supported}`,
  ];
}

function validateMatchImages(matchImages: readonly string[]): string[] {
  const field = 'providers.matchImages';
  if (matchImages.length === 0) {
    return [`${field}: Required value: at least 1 item in matchImages is required`];
  }
  return matchImages
    .filter((pattern) => parseSchemeless(pattern) == null)
    .map((pattern) => invalid(field, pattern, 'match image is invalid: not a host with a path'));
}

function validateCacheDuration(duration: string | undefined): string[] {
  const field = 'providers.defaultCacheDuration';
  if (duration == null) return [`${field}: Required value`];
  const durationMs = parseGoDuration(duration);
  if (durationMs == null) return [invalid(field, duration, 'must be a duration like 10m')];
  return durationMs < 0 ? [invalid(field, duration, 'must be greater than or equal to 0')] : [];
}

/** `prefix/name` or `name` as Kubernetes allows them for annotation keys. */
const qualifiedName =
  /^(?=[^/]{1,253}\/|[^/]*$)([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?(?=[^/]{1,63}$)([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

function validateTokenAttributes(provider: RawProvider, configVersion: string): string[] {
  const attributes = provider.tokenAttributes;
  if (attributes == null) return [];
  const field = 'providers.tokenAttributes';
  if (configVersion !== `${group}/v1` || provider.apiVersion !== `${pluginGroup}/v1`) {
    return [
      `${field}: Forbidden: tokenAttributes is only supported for ${group}/v1 and ${pluginGroup}/v1`,
    ];
  }
  const { serviceAccountTokenAudience, cacheType, requireServiceAccount } = attributes;
  const required = attributes.requiredServiceAccountAnnotationKeys ?? [];
  const optional = attributes.optionalServiceAccountAnnotationKeys ?? [];
  return [
    serviceAccountTokenAudience === '' && `${field}.serviceAccountTokenAudience: Required value`,
    cacheType === ''
      ? `${field}.cacheType: Required value`
      : cacheType !== 'Token' &&
        cacheType !== 'ServiceAccount' &&
        `${field}.cacheType: Unsupported value: ${JSON.stringify(cacheType)}: supported values: "ServiceAccount", "Token"`,
    requireServiceAccount == null && `${field}.requireServiceAccount: Required value`,
    requireServiceAccount === false &&
      required.length > 0 &&
      `${field}.requiredServiceAccountAnnotationKeys: Forbidden: requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set`,
    ...validateKeys(`${field}.requiredServiceAccountAnnotationKeys`, required, []),
    ...validateKeys(`${field}.optionalServiceAccountAnnotationKeys`, optional, required),
  ].filter((problem) => problem !== false);
}

function validateKeys(field: string, keys: readonly string[], taken: readonly string[]): string[] {
  return keys.flatMap((key, index) => [
    ...(qualifiedName.test(key) ? [] : [invalid(field, key, 'must be a qualified name')]),
    ...(keys.indexOf(key) < index ? [`${field}: Duplicate value: ${JSON.stringify(key)}`] : []),
    ...(taken.includes(key)
      ? [invalid(field, key, 'annotation key cannot be both required and optional')]
      : []),
  ]);
}

function withProgram(provider: RawProvider, binDir: string): CredentialProvider {
  const program = path.join(binDir, provider.name);
  if (!isExecutable(program)) {
    throw new CredentialProviderConfigError(`plugin binary executable ${program} did not exist`);
  }
  const { tokenAttributes } = provider;
  return {
    name: provider.name,
    program,
    matchImages: provider.matchImages ?? [],
    defaultCacheMs: parseGoDuration(provider.defaultCacheDuration ?? '') ?? 0,
    apiVersion: provider.apiVersion,
    args: provider.args ?? [],
    env: Object.fromEntries((provider.env ?? []).map(({ name, value }) => [name, value])),
    ...(tokenAttributes != null && {
      tokenAttributes: {
        serviceAccountTokenAudience: tokenAttributes.serviceAccountTokenAudience,
        cacheType: tokenAttributes.cacheType === 'Token' ? 'Token' : 'ServiceAccount',
        requireServiceAccount: tokenAttributes.requireServiceAccount ?? false,
        requiredServiceAccountAnnotationKeys:
          tokenAttributes.requiredServiceAccountAnnotationKeys ?? [],
        optionalServiceAccountAnnotationKeys:
          tokenAttributes.optionalServiceAccountAnnotationKeys ?? [],
      },
    }),
  };
}

function isExecutable(program: string): boolean {
  try {
    accessSync(program, constants.X_OK);
    return statSync(program).isFile();
  } catch {
    return false;
  }
}

function statOf(file: string): ReturnType<typeof statSync> | undefined {
  return statSync(file, { throwIfNoEntry: false });
}
