import { PodSandboxConfig } from '@stowage/cri-proto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { EngineInfo } from '../engine/engine-client';
import { oomScoreAdj } from './oom-score-adj';
import { checkedConfig, sandboxContainer } from './sandbox-container';

type Given = Parameters<typeof PodSandboxConfig.fromPartial>[0];
const metadata = { name: 'web-0', namespace: 'shop', uid: '8f2a', attempt: 0 };
const options = { image: 'pause:1', networkMode: 'bridge', restrictOomScoreAdj: false } as const;
const body = (
  given: Given,
  {
    info = {},
    handler = '',
    networkMode = 'bridge',
  }: { info?: EngineInfo; handler?: string; networkMode?: 'bridge' | 'cni' } = {},
) =>
  sandboxContainer(
    checkedConfig(PodSandboxConfig.fromPartial({ metadata, ...given })),
    handler,
    info,
    { ...options, networkMode },
  );
/** With the security context, and what the engine says of itself. */
const secured = async (context: object, info: EngineInfo = {}) =>
  body({ linux: { securityContext: context } }, { info });
const [POD, CONTAINER, NODE] = [0, 1, 2];

it('is as small as can be where nothing is asked for', async () => {
  const { Labels, ...rest } = await body({ hostname: 'web-0' });
  expect(Labels).toMatchObject({ 'io.kubernetes.docker.type': 'podsandbox' });
  expect(rest).toEqual({
    Image: 'pause:1',
    Hostname: 'web-0',
    ExposedPorts: {},
    HostConfig: {
      NetworkMode: 'default',
      IpcMode: 'shareable',
      SecurityOpt: ['no-new-privileges'],
      GroupAdd: [],
      PortBindings: {},
      Sysctls: {},
      CpuShares: 2,
      OomScoreAdj: -998,
      RestartPolicy: { Name: 'no' },
    },
  });
});

it.each([
  ['the host’s namespaces', { network: NODE, pid: NODE, ipc: NODE }, 'host', 'host', 'host'],
  ['its own', { network: POD, pid: CONTAINER, ipc: POD }, 'default', undefined, 'shareable'],
])('%s', async (_what, namespaceOptions, network, pid, ipc) => {
  const { HostConfig, Hostname } = await body({
    hostname: 'web-0',
    linux: { securityContext: { namespaceOptions } },
  });
  expect([HostConfig?.NetworkMode, HostConfig?.PidMode, HostConfig?.IpcMode]).toEqual([
    network,
    pid,
    ipc,
  ]);
  expect(Hostname).toBe(network === 'host' ? undefined : 'web-0');
});

describe('ports', () => {
  const portMappings = [
    { protocol: 0, containerPort: 80, hostPort: 8080, hostIp: '' },
    { protocol: 0, containerPort: 80, hostPort: 8081, hostIp: '::1' },
    { protocol: 1, containerPort: 53, hostPort: 5353, hostIp: '127.0.0.1' },
    { protocol: 2, containerPort: 9, hostPort: 9, hostIp: '' },
    { protocol: 0, containerPort: 90, hostPort: 0, hostIp: '' },
  ];

  it('are opened by the engine on its bridge', async () => {
    const { ExposedPorts, HostConfig } = await body({ portMappings });
    expect(ExposedPorts).toEqual({ '80/tcp': {}, '53/udp': {}, '9/sctp': {} });
    expect(HostConfig?.PortBindings).toEqual({
      '80/tcp': [
        { HostIp: '', HostPort: '8080' },
        { HostIp: '::1', HostPort: '8081' },
      ],
      '53/udp': [{ HostIp: '127.0.0.1', HostPort: '5353' }],
      '9/sctp': [{ HostIp: '', HostPort: '9' }],
    });
  });

  it.each([
    ['plugins make the network', {}, 'cni'],
    ['the pod is on the host', { namespaceOptions: { network: NODE } }, 'bridge'],
  ] as const)('are no concern of the engine where %s', async (_what, context, networkMode) => {
    const { ExposedPorts, HostConfig } = await body(
      { portMappings, linux: { securityContext: context } },
      { networkMode },
    );
    expect([ExposedPorts, HostConfig?.PortBindings]).toEqual([{}, {}]);
    expect(HostConfig?.NetworkMode).toBe(networkMode === 'cni' ? 'none' : 'host');
  });
});

describe('control groups', () => {
  const parent = (cgroupParent: string, CgroupDriver: 'systemd' | 'cgroupfs') =>
    body({ linux: { cgroupParent } }, { info: { CgroupDriver } });

  it.each([
    ['/kubepods/burstable/pod1', 'cgroupfs', '/kubepods/burstable/pod1'],
    ['/kubepods.slice/kubepods-pod1.slice', 'systemd', 'kubepods-pod1.slice'],
    ['kubepods-pod1.slice/', 'systemd', 'kubepods-pod1.slice'],
    ['', 'systemd', undefined],
  ] as const)('%j by %s', async (given, driver, expected) => {
    expect((await parent(given, driver)).HostConfig?.CgroupParent).toBe(expected);
  });

  it('what is no slice is refused under systemd', async () => {
    await expect(parent('/kubepods/pod1', 'systemd')).rejects.toThrow(
      'linux.cgroup_parent: "/kubepods/pod1" is not allowed',
    );
  });
});

it.each([
  ['', undefined],
  ['docker', undefined],
  ['runsc', 'runsc'],
])('handler %j runs with %s', async (handler, runtime) => {
  expect((await body({}, { handler })).HostConfig?.Runtime).toBe(runtime);
});

describe('security', () => {
  const hasAppArmor = { SecurityOptions: ['name=apparmor', 'name=seccomp,profile=default'] };

  it.each<[string, object, object]>([
    ['a user', { runAsUser: { value: 1000n } }, { User: '1000' }],
    [
      'a user and a group',
      { runAsUser: { value: 1000n }, runAsGroup: { value: 1001n }, supplementalGroups: [5n, 6n] },
      { User: '1000:1001', HostConfig: { GroupAdd: ['5', '6'] } },
    ],
    [
      'a user without groups of the image',
      { runAsUser: { value: 0n }, supplementalGroupsPolicy: 1 },
      { User: '0:0' },
    ],
    [
      'a group of the pod, and nobody named',
      { supplementalGroups: [5n], supplementalGroupsPolicy: 1 },
      { User: undefined, HostConfig: { GroupAdd: ['5'] } },
    ],
    ['nobody named', {}, { HostConfig: { GroupAdd: [], ReadonlyRootfs: false } }],
    ['a read-only root', { readonlyRootfs: true }, { HostConfig: { ReadonlyRootfs: true } }],
  ])('%s', async (_what, context, expected) => {
    expect(await secured(context)).toMatchObject(expected);
  });

  it.each<[string, object, EngineInfo, string[]]>([
    ['the default seccomp profile', { seccomp: { profileType: 0 } }, {}, []],
    ['no seccomp', { seccomp: { profileType: 1 } }, {}, ['seccomp=unconfined']],
    [
      'no seccomp, in the older form',
      { seccompProfilePath: 'unconfined' },
      {},
      ['seccomp=unconfined'],
    ],
    ['the default, in the older form', { seccompProfilePath: 'runtime/default' }, {}, []],
    [
      'the field rather than the older form',
      { seccomp: { profileType: 0 }, seccompProfilePath: 'unconfined' },
      {},
      [],
    ],
    ['no AppArmor', { apparmor: { profileType: 1 } }, hasAppArmor, ['apparmor=unconfined']],
    ['no AppArmor on a host without', { apparmor: { profileType: 1 } }, {}, []],
    [
      'a profile of AppArmor',
      { apparmor: { profileType: 2, localhostRef: 'mine' } },
      hasAppArmor,
      ['apparmor=mine'],
    ],
    [
      'SELinux',
      { selinuxOptions: { user: 'u', role: '', type: 't', level: 's0:c1,c2' } },
      {},
      ['label=user:u', 'label=type:t', 'label=level:s0:c1,c2'],
    ],
    ['a privileged pod', { privileged: true }, {}, []],
  ])('%s', async (_what, context, info, expected) => {
    const { HostConfig } = await secured(context, info);
    expect(HostConfig?.SecurityOpt).toEqual(['no-new-privileges', ...expected]);
    expect(HostConfig?.Privileged).toBeUndefined();
  });

  it('is in the user namespace of the host where it shares others with it', async () => {
    const info = { SecurityOptions: ['name=userns'] };
    for (const [mode, expected] of [
      [POD, undefined],
      [NODE, 'host'],
    ]) {
      const { HostConfig } = await secured({ namespaceOptions: { ipc: mode } }, info);
      expect(HostConfig?.UsernsMode).toBe(expected);
    }
  });

  it('refuses a profile of AppArmor on a host without', async () => {
    await expect(
      secured({ apparmor: { profileType: 2, localhostRef: 'mine' } }),
    ).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
  });

  describe('a seccomp profile of the node', () => {
    let folder: string;
    let file: string;
    beforeEach(() => {
      folder = mkdtempSync(path.join(tmpdir(), 'seccomp-'));
      file = path.join(folder, 'profile.json');
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));
    const profile = (localhostRef: string) =>
      secured({ seccomp: { profileType: 2, localhostRef } });

    it('goes to the engine as it is, in both forms', async () => {
      writeFileSync(file, '{ "defaultAction":\n"SCMP_ACT_ALLOW" }');
      const expected = 'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}';
      for (const { HostConfig } of [
        await profile(file),
        await secured({ seccompProfilePath: `localhost/${file}` }),
      ]) {
        expect(HostConfig?.SecurityOpt).toContain(expected);
      }
    });

    it.each([
      ['absent', 'INVALID_ARGUMENT', () => file],
      ['not named in full', 'INVALID_ARGUMENT', () => 'profile.json'],
      [
        'no JSON',
        'INVALID_ARGUMENT',
        () => {
          writeFileSync(file, 'x');
          return file;
        },
      ],
    ])('is refused when it is %s', async (_what, grpcStatus, make) => {
      const name = make();
      await expect(profile(name)).rejects.toMatchObject({
        grpcStatus,
        message: expect.stringContaining(name) as string,
      });
    });
  });
});

it('the score for the lack of memory is not below that of this process where that is asked for', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'oom-score-'));
  try {
    const own = path.join(folder, 'oom_score_adj');
    writeFileSync(own, '-17\n');
    expect(oomScoreAdj(-998, false, own)).toBe(-998);
    expect(oomScoreAdj(-998, true, own)).toBe(-17);
    expect(oomScoreAdj(500, true, own)).toBe(500);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
