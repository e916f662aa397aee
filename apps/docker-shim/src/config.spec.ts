import os from 'node:os';
import { loadConfig } from '@stowage/service-kit';
import { config, type ShimConfig } from './config';

async function load(env: Record<string, string>): Promise<ShimConfig | string> {
  const outcome = (await loadConfig(config, {
    argv: [],
    env: { STOWAGE_STATE_DIR: '/s', ...env },
    version: '0',
  })) as { config?: ShimConfig };
  return outcome.config ?? JSON.stringify(outcome);
}

const { networkMode, cniBinDirs, podCidr } = config.keys;

it('kubenet is refused, and the error says that it is not offered', () => {
  expect(networkMode.schema.safeParse('cni').data).toBe('cni');
  expect(networkMode.schema.safeParse('bridge').data).toBe('bridge');
  expect(networkMode.schema.safeParse('kubenet').success).toBe(false);
  expect(networkMode.allowed).toContain('kubenet is not offered');
});

it('searches no home where the user has none, as a number may not in a container', async () => {
  const homedir = jest.spyOn(os, 'homedir').mockImplementation(() => {
    throw new Error('ENOENT: no such file or directory, uv_os_homedir');
  });
  const loaded = await load({});
  homedir.mockRestore();
  expect(loaded).toMatchObject({
    dockerConfigDirs: ['/var/lib/kubelet', '/.docker'],
    dockercfgDirs: ['/var/lib/kubelet', '/'],
  });
});

it.each([
  ['/opt/cni/bin,/usr/lib/cni', true],
  ['', false],
  ['cni', false],
  ['/opt/a:/opt/b', false],
])('folders of plugins: %j', (text, allowed) => {
  expect(cniBinDirs.schema.safeParse(text).success).toBe(allowed);
});

it.each([
  ['', true],
  ['10.1.0.0/24,fd00:1::/64', true],
  ['10.1.0.0', false],
  ['10.1.0.0/33', false],
])('ranges of pods: %j', (text, allowed) => {
  expect(podCidr.schema.safeParse(text).success).toBe(allowed);
});

describe('configuration of streaming', () => {
  // D04
  it('listens on loopback without TLS by default', async () => {
    expect(await load({})).toMatchObject({
      streamingAddress: '127.0.0.1:0',
      streamingTlsCert: '',
      streamingTlsKey: '',
      streamingIdleTimeoutMs: 14_400_000,
      streamingMaxSessions: 256,
      execOrphanGraceMs: 10_000,
    });
  });

  it.each([
    ['never', undefined],
    ['0s', 0],
    ['1m30s', 90_000],
  ])('kills commands without a client after %s', async (text, value) => {
    const loaded = (await load({ STOWAGE_EXEC_ORPHAN_GRACE: text })) as ShimConfig;
    expect(loaded.execOrphanGraceMs).toBe(value);
  });

  it.each([
    [{ STOWAGE_EXEC_ORPHAN_GRACE: 'ever' }, /ORPHAN_GRACE .*, or never/],
    [{ STOWAGE_STREAMING_ADDRESS: 'unix:///run/x' }, /STREAMING_ADDRESS .*port 0/],
    [{ STOWAGE_STREAMING_ADDRESS: '127.0.0.1' }, /STREAMING_ADDRESS/],
    [{ STOWAGE_STREAMING_TLS_CERT: '/tls.crt' }, /streamingTlsKey/],
    [{ STOWAGE_STREAMING_TLS_KEY: '/tls.key' }, /streamingTlsKey/],
  ])('refuses %j', async (env, words) => {
    expect(await load(env as Record<string, string>)).toMatch(words);
  });
});
