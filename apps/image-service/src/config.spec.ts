import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os, { tmpdir } from 'node:os';
import path from 'node:path';
import { loadConfig } from '@stowage/service-kit';
import { config, credentialSources, pullLimits, type ImageServiceConfig } from './config';

const dir = mkdtempSync(path.join(tmpdir(), 'image-config-'));
const kubeletFile = path.join(dir, 'kubelet.yaml');
afterAll(() => rmSync(dir, { recursive: true }));

async function load(env: Record<string, string>, kubelet?: object) {
  const args: string[] = [];
  if (kubelet !== undefined) {
    const kind = { kind: 'KubeletConfiguration', apiVersion: 'kubelet.config.k8s.io/v1beta1' };
    writeFileSync(kubeletFile, JSON.stringify({ ...kind, ...kubelet }));
    args.push('--kubelet-config', kubeletFile);
  }
  const outcome = (await loadConfig(config, { argv: args, env, version: '0' })) as {
    config?: ImageServiceConfig;
  };
  if (outcome.config === undefined) throw new Error(JSON.stringify(outcome));
  return outcome.config;
}

describe('configuration', () => {
  it('limits nothing and verifies nothing by default', async () => {
    const loaded = await load({ STOWAGE_STATE_DIR: '/s' });
    expect(pullLimits(loaded)).toEqual({
      maxParallel: Infinity,
      qps: 0,
      burst: 10,
      qpsMaxWaitMs: 120_000,
      maxWaiting: 1000,
    });
    expect(loaded.imagePullCredentialsVerificationPolicy).toBe('Off');
    expect(loaded.imagePullRecordsDir).toBe('/s/image_manager');
    expect(credentialSources(loaded)).toMatchObject({ undecodable: 'skip' });
    expect(credentialSources(loaded).helpers).toBeUndefined();
  });

  it('searches no home where the user has none, as a number may not in a container', async () => {
    const homedir = jest.spyOn(os, 'homedir').mockImplementation(() => {
      throw new Error('ENOENT: no such file or directory, uv_os_homedir');
    });
    const { dockerConfigDirs, dockercfgDirs } = await load({});
    homedir.mockRestore();
    expect(dockerConfigDirs).toEqual(['/var/lib/kubelet', '/.docker']);
    expect(dockercfgDirs).toEqual(['/var/lib/kubelet', '/']);
  });

  it("takes kubelet's own keys from its file", async () => {
    const loaded = await load(
      {},
      {
        serializeImagePulls: false,
        maxParallelImagePulls: 4,
        registryPullQPS: 5,
        registryBurst: 7,
        imagePullCredentialsVerificationPolicy: 'NeverVerifyAllowlistedImages',
        preloadedImagesVerificationAllowlist: ['reg.io/team/*'],
      },
    );
    expect(pullLimits(loaded)).toMatchObject({ maxParallel: 4, qps: 5, burst: 7 });
    expect(loaded.preloadedImagesVerificationAllowlist).toEqual(['reg.io/team/*']);
    expect(pullLimits(await load({ STOWAGE_SERIALIZE_IMAGE_PULLS: 'true' })).maxParallel).toBe(1);
  });

  it.each([
    [
      { STOWAGE_SERIALIZE_IMAGE_PULLS: 'true', STOWAGE_MAX_PARALLEL_IMAGE_PULLS: '2' },
      /maxParallel/,
    ],
    [
      { STOWAGE_PRELOADED_IMAGES_VERIFICATION_ALLOWLIST: 'a/*' },
      /preloadedImagesVerificationAllowlist/,
    ],
    [
      {
        STOWAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY: 'NeverVerifyAllowlistedImages',
        STOWAGE_PRELOADED_IMAGES_VERIFICATION_ALLOWLIST: 'a*',
      },
      /prefixes that end in/,
    ],
    [{ STOWAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY: 'Maybe' }, /AlwaysVerify/],
    [{ STOWAGE_IMAGE_CREDENTIAL_PROVIDER_CONFIG: '/c' }, /imageCredentialProviderBinDir/],
  ])('refuses %j', async (env, message) => {
    await expect(load(env as unknown as Record<string, string>)).rejects.toThrow(message);
  });
});
