import { verbsOf } from '@stowage/commands';
import path from 'node:path';
import {
  booleanKey,
  commonKeys,
  defineConfig,
  dockerConfigKeys,
  durationKey,
  enumKey,
  integerKey,
  listenKey,
  listKey,
  pathKey,
  takeOverKeys,
  type ConfigOf,
} from '@stowage/service-kit/config';
import * as z from 'zod';
import type { CredentialSources } from './credentials/node-credentials';
import { pullSecretsScopes } from './credentials/pull-secrets-scope';
import type { ProgressSettings } from './pull/progress/open-progress';
import type { PullLimits } from './pull/pull-queue';
import type { RecordSettings } from './records/keep-pull-records';
import {
  parseAllowlist,
  verificationPolicies,
  VerificationPolicyError,
} from './records/verification-policy';

/** Configuration of image-service. */
export const config = defineConfig({
  app: 'image-service',
  summary: 'CRI ImageService endpoint: pulls with credentials, ensures, removals and their events.',
  keys: {
    ...commonKeys({
      httpAddr: '127.0.0.1:9471',
      ...verbsOf('image-service'),
    }),
    listen: listenKey('/run/stowage/image.sock'),
    ...takeOverKeys(),
    runtimeRequestTimeoutMs: durationKey({
      default: 120_000,
      minMs: 1000,
      maxMs: 3_600_000,
      meaning: 'Time limit of calls to the runtime; pulls have none.',
      kubelet: { key: 'runtimeRequestTimeout', kind: 'string', zeroIsUnset: true },
    }),
    ...dockerConfigKeys('docker credentials'),
    serializeImagePulls: booleanKey({
      default: false,
      meaning:
        'One pull at a time. (kubelet does so by default; here pulls are parallel by default.)',
      kubelet: { key: 'serializeImagePulls', kind: 'boolean' },
    }),
    maxParallelImagePulls: integerKey({
      default: 0,
      min: 0,
      max: 1000,
      meaning:
        'Pulls at the same time; more wait, by priority and then in the order they came. 0 is no limit.',
      kubelet: { key: 'maxParallelImagePulls', kind: 'number' },
    }),
    registryPullQPS: integerKey({
      default: 0,
      min: 0,
      max: 10_000,
      meaning: 'Pulls started a second on average; 0 is no limit.',
      kubelet: { key: 'registryPullQPS', kind: 'number' },
    }),
    registryBurst: integerKey({
      default: 10,
      min: 0,
      max: 100_000,
      meaning: 'Pulls that may start at once before registryPullQPS counts.',
      kubelet: { key: 'registryBurst', kind: 'number' },
    }),
    registryPullQPSMaxWaitMs: durationKey({
      default: 120_000,
      minMs: 0,
      maxMs: 3_600_000,
      meaning:
        'How long a pull waits for registryPullQPS before it fails; 0 fails at once with "pull QPS exceeded", as kubelet does.',
    }),
    maxWaitingImagePulls: integerKey({
      default: 1000,
      min: 1,
      max: 100_000,
      meaning: 'Pulls that may wait for their turn; more are refused with RESOURCE_EXHAUSTED.',
    }),
    imagePullProgressDeadlineMs: durationKey({
      default: 300_000,
      minMs: 0,
      maxMs: 86_400_000,
      meaning:
        'A pull that brings no bytes for so long is cancelled; 0 is off. Counts where the bytes can be seen, see imagePullProgressSource.',
    }),
    imagePullProgressIntervalMs: durationKey({
      default: 10_000,
      minMs: 0,
      maxMs: 3_600_000,
      meaning: 'Shortest time between two ImagePullProgress events of one pull; 0 is none at all.',
    }),
    imagePullProgressSource: enumKey({
      default: 'auto',
      values: ['auto', 'image-fs'],
      meaning:
        "auto: containerd's content store, and where its files cannot be read ImageFsInfo, for events alone. image-fs: ImageFsInfo, for the deadline too; it sees what is unpacked, not what is downloaded. Where ImageFsInfo does not count the images (CRI-O), there is no progress and no deadline.",
    }),
    containerdContentDir: pathKey({
      default: '',
      emptyAllowed: true,
      meaning:
        "containerd's folder io.containerd.content.v1.content; empty: beside the snapshots that ImageFsInfo names.",
    }),
    imagePullCredentialsVerificationPolicy: enumKey({
      default: 'Off',
      values: ['Off', ...verificationPolicies],
      meaning:
        "Whether ensure lets a caller use an image that is there already without proof (KEP-2535): Off keeps no records, the others are kubelet's.",
      kubelet: { key: 'imagePullCredentialsVerificationPolicy', kind: 'string', zeroIsUnset: true },
    }),
    preloadedImagesVerificationAllowlist: listKey({
      default: [],
      item: z.string().superRefine((pattern, context) => {
        try {
          parseAllowlist([pattern]);
        } catch (error) {
          if (!(error instanceof VerificationPolicyError)) throw error;
          context.addIssue({ code: 'custom', message: error.message });
        }
      }),
      allowed:
        'image names without tag and digest, and prefixes that end in /*, such as reg.io/team/*',
      meaning: 'Images that NeverVerifyAllowlistedImages leaves alone.',
      kubelet: { key: 'preloadedImagesVerificationAllowlist', kind: 'list' },
    }),
    imagePullRecordsDir: pathKey({
      default: (context) => path.join(String(context.value('stateDir')), 'image_manager'),
      defaultText: '<stateDir>/image_manager',
      meaning:
        "Folder of pull intents and pulled records, in kubelet's format; kubelet's own is /var/lib/kubelet/image_manager.",
    }),
    imagePullRecordsPruneIntervalMs: durationKey({
      default: 600_000,
      minMs: 100,
      maxMs: 86_400_000,
      meaning: 'How often the pulled records of images that are gone are dropped.',
    }),
    pullSecretsDir: pathKey({
      default: '',
      emptyAllowed: true,
      meaning:
        'Folder of mounted pull secrets: <name>/ or <namespace>/<name>/ with .dockerconfigjson or .dockercfg. Read again when it changes.',
    }),
    pullSecretsScope: enumKey({
      default: 'namespace',
      values: pullSecretsScopes,
      meaning:
        'Whom the mounted pull secrets serve. namespace: <namespace>/<name>/ only pods of that namespace, <name>/ everybody. node: everybody. named: only ensure with credentialsRef, which reaches any of them whatever this key says.',
    }),
    credentialHelpers: booleanKey({
      default: false,
      meaning:
        'Ask the docker credential helpers that config.json names (credHelpers, credsStore).',
    }),
    credentialHelperDir: pathKey({
      default: '',
      emptyAllowed: true,
      meaning: 'Folder of the docker-credential-* programs; empty looks into PATH.',
    }),
    imageCredentialProviderConfig: pathKey({
      default: '',
      emptyAllowed: true,
      meaning: "kubelet's CredentialProviderConfig: a file, or a folder of them.",
    }),
    imageCredentialProviderBinDir: pathKey({
      default: '',
      emptyAllowed: true,
      meaning: 'Folder of the credential-provider plugins.',
    }),
    undecodablePullSecrets: enumKey({
      default: 'skip',
      values: ['skip', 'fail'],
      meaning:
        'A pull secret that does not decode is reported and skipped, or fails every pull, as kubelet does for the pods that name it.',
    }),
  },
  checks: [
    ({ listen, imageEndpoint, runtimeEndpoint }) =>
      [imageEndpoint, runtimeEndpoint].includes(`unix://${listen}`)
        ? { key: 'listen', allowed: "another path than the runtime's own sockets" }
        : undefined,
    // kubelet's own rule and words.
    ({ serializeImagePulls, maxParallelImagePulls }) =>
      serializeImagePulls && maxParallelImagePulls > 1
        ? {
            key: 'maxParallelImagePulls',
            allowed:
              'a number larger than 1 only with serializeImagePulls (--serialize-image-pulls) set to false',
          }
        : undefined,
    ({ imagePullCredentialsVerificationPolicy, preloadedImagesVerificationAllowlist }) =>
      imagePullCredentialsVerificationPolicy !== 'NeverVerifyAllowlistedImages' &&
      preloadedImagesVerificationAllowlist.length > 0
        ? {
            key: 'preloadedImagesVerificationAllowlist',
            allowed:
              'a list only with imagePullCredentialsVerificationPolicy NeverVerifyAllowlistedImages',
          }
        : undefined,
    ({ imageCredentialProviderConfig, imageCredentialProviderBinDir }) =>
      (imageCredentialProviderConfig === '') !== (imageCredentialProviderBinDir === '')
        ? {
            key:
              imageCredentialProviderConfig === ''
                ? 'imageCredentialProviderConfig'
                : 'imageCredentialProviderBinDir',
            allowed:
              'a path where the other of imageCredentialProviderConfig and imageCredentialProviderBinDir is set',
          }
        : undefined,
  ],
});

/** The values of {@link config}. */
export type ImageServiceConfig = ConfigOf<typeof config.keys>;

/** The limits of pulls that a configuration asks for. */
export function pullLimits(config: ImageServiceConfig): PullLimits {
  const cap = config.maxParallelImagePulls === 0 ? Infinity : config.maxParallelImagePulls;
  return {
    maxParallel: config.serializeImagePulls ? 1 : cap,
    qps: config.registryPullQPS,
    burst: config.registryBurst,
    qpsMaxWaitMs: config.registryPullQPSMaxWaitMs,
    maxWaiting: config.maxWaitingImagePulls,
  };
}

const orNone = (text: string): string | undefined => (text === '' ? undefined : text);

/** How a configuration has the progress of pulls watched. */
export function progressSettings(config: ImageServiceConfig): ProgressSettings {
  return {
    deadlineMs: config.imagePullProgressDeadlineMs,
    intervalMs: config.imagePullProgressIntervalMs,
    source: config.imagePullProgressSource,
    contentDir: orNone(config.containerdContentDir),
  };
}

/** The pull records that a configuration asks for; undefined when it wants none. */
export function recordSettings(config: ImageServiceConfig): RecordSettings | undefined {
  const policy = config.imagePullCredentialsVerificationPolicy;
  if (policy === 'Off') return undefined;
  return {
    dir: config.imagePullRecordsDir,
    policy,
    allowlist: config.preloadedImagesVerificationAllowlist,
  };
}

/** Where a configuration takes the node's credentials from. */
export function credentialSources(config: ImageServiceConfig): CredentialSources {
  const plugins = orNone(config.imageCredentialProviderConfig);
  return {
    pullSecretsDir: orNone(config.pullSecretsDir),
    pullSecretsScope: config.pullSecretsScope,
    undecodable: config.undecodablePullSecrets,
    configJsonDirs: config.dockerConfigDirs,
    dockercfgDirs: config.dockercfgDirs,
    helpers: config.credentialHelpers ? { binDir: config.credentialHelperDir } : undefined,
    providers:
      plugins === undefined
        ? undefined
        : { config: plugins, binDir: config.imageCredentialProviderBinDir },
  };
}
