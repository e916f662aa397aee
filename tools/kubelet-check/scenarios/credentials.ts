import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { connect } from 'nats';
import { Kubelet, type KubeletVariant, type Pod } from '../kubelet';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

const namespace = 'private';
const running = 'Running; main: running, ready';
const refused = 'Pending; main: ImagePullBackOff';

const pod = (name: string, image: string, imagePullPolicy = 'IfNotPresent'): Pod => ({
  metadata: { name, namespace },
  spec: {
    terminationGracePeriodSeconds: 2,
    containers: [
      {
        ...{ name: 'main', image, imagePullPolicy },
        command: ['sh', '-c', "trap 'exit 0' TERM; while :; do sleep 0.2; done"],
      },
    ],
  },
});

/** kubelet with its own verification of who may use an image that is there (KEP-2535). */
const verifying: KubeletVariant = {
  config: {
    featureGates: { KubeletEnsureSecretPulledImages: true },
    imagePullCredentialsVerificationPolicy: 'AlwaysVerify',
  },
};

/**
 * A credential-provider plugin that knows the registry with a password, and where it is configured.
 */
function makePlugin(lab: Lab): { config: string; binDir: string } {
  const { auth } = lab.stack.registry;
  const dir = path.join(lab.stack.dir, 'credential-provider');
  mkdirSync(dir, { recursive: true });
  const answer = {
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    kind: 'CredentialProviderResponse',
    cacheKeyType: 'Registry',
    cacheDuration: '0s',
    auth: { [auth.host]: { username: auth.username, password: auth.password } },
  };
  const program = path.join(dir, 'provider');
  writeFileSync(program, `#!/bin/sh\ncat <<'END'\n${JSON.stringify(answer)}\nEND\n`);
  chmodSync(program, 0o700);
  const config = path.join(dir, 'config.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [
        {
          name: 'provider',
          matchImages: [auth.host],
          defaultCacheDuration: '0s',
          apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
        },
      ],
    }),
  );
  return { config, binDir: dir };
}

/** kubelet's records of who has pulled what, without times. */
function recordsOf(lab: Lab): string {
  const folder = path.join(lab.kubelet.rootDir, 'image_manager', 'pulled');
  if (!existsSync(folder)) return 'none';
  return readdirSync(folder)
    .map((file) => readFileSync(path.join(folder, file), 'utf8'))
    .map((text) => lab.normalise(text.replace(/"lastUpdatedTime":"[^"]*",?/, '')).trim())
    .filter((text) => text.includes('PRIVATE'))
    .sort()
    .join('\n');
}

/** Whether image-service lets a caller use an image that is there. */
async function ensure(lab: Lab, image: string, auth?: object): Promise<string> {
  const nats = await connect({ servers: lab.stack.nats.url });
  try {
    const input = JSON.stringify({ image, pullPolicy: 'IfNotPresent', auth });
    const subject = `stowage.cmd.${Kubelet.node}.image-service.ensure`;
    const reply = await nats.request(subject, input, { timeout: 60_000 });
    return reply.json<{ ok: boolean }>().ok ? 'allowed' : 'refused';
  } finally {
    await nats.close();
  }
}

export const credentials: Scenario = {
  name: 'credentials',
  text: 'private images by a credential-provider plugin, and records of pulls that kubelet and image-service read of each other',
  expected: {
    'a plugin of kubelet': running,
    'no credential': refused,
    'the record of kubelet': /"nodePodsAccessible":true/,
    'stowage: a plugin of image-service': running,
    'stowage: image-service and an image that kubelet has recorded for all': 'allowed',
    'stowage: image-service and an image without a record': 'refused',
    'stowage: image-service and an image that a credential has brought, with that': 'allowed',
    'stowage: kubelet and an image that image-service has recorded for that credential': refused,
  },
  async play(lab) {
    const push = (name: string) =>
      lab.stack.pushImage({ name, tag: '1', to: 'auth', labels: { name } });
    const plugin = makePlugin(lab);
    const flags = [
      ...['--image-credential-provider-config', plugin.config],
      ...['--image-credential-provider-bin-dir', plugin.binDir],
    ];
    const seen: Record<string, string> = {};
    const ofKubelet = (await push('team/kubelet')).reference;
    await lab.restartKubelet({ ...verifying, flags });
    lab.addPod(pod('plugin', ofKubelet));
    seen['a plugin of kubelet'] = await lab.stateOf('plugin', running);
    seen['the record of kubelet'] = recordsOf(lab);

    await lab.restartKubelet(verifying);
    lab.addPod(pod('none', (await push('team/none')).reference));
    seen['no credential'] = await lab.stateOf('none', refused);

    if (lab.way.services.includes('image-service')) {
      const recordsDir = path.join(lab.kubelet.rootDir, 'image_manager');
      await lab.restartService('image-service', 'stop', {
        STOWAGE_IMAGE_CREDENTIAL_PROVIDER_CONFIG: plugin.config,
        STOWAGE_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR: plugin.binDir,
      });
      lab.addPod(pod('service', (await push('team/service')).reference));
      seen['stowage: a plugin of image-service'] = await lab.stateOf('service', running);

      await lab.restartService('image-service', 'stop', {
        STOWAGE_IMAGE_PULL_RECORDS_DIR: recordsDir,
        STOWAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY: 'AlwaysVerify',
      });
      const { username, password } = lab.stack.registry.auth;
      const past = (await push('team/past')).reference;
      await lab.pullImage(past, { username, password });
      seen['stowage: image-service and an image that kubelet has recorded for all'] = await ensure(
        lab,
        ofKubelet,
      );
      seen['stowage: image-service and an image without a record'] = await ensure(lab, past);
      const brought = (await push('team/brought')).reference;
      await ensure(lab, brought, { username, password });
      seen['stowage: image-service and an image that a credential has brought, with that'] =
        await ensure(lab, brought, { username, password });
      // kubelet reads what others have recorded when it starts.
      await lab.restartKubelet(verifying);
      lab.addPod(pod('brought', brought));
      seen['stowage: kubelet and an image that image-service has recorded for that credential'] =
        await lab.stateOf('brought', refused);
      await lab.restartService('image-service');
    }
    await lab.restartKubelet();
    return seen;
  },
};
