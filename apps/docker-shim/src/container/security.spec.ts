import {
  LinuxContainerSecurityContext,
  SecurityProfile,
  SecurityProfile_ProfileType,
  SELinuxOption,
} from '@stowage/cri-proto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { privileges } from './privileges';
import { nodeSecurity, securityOptions, type NodeSecurity } from './security';

const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
const context = (fields: Parameters<typeof LinuxContainerSecurityContext.fromPartial>[0]) =>
  LinuxContainerSecurityContext.fromPartial(fields);
const profile = (profileType: SecurityProfile_ProfileType, localhostRef = '') =>
  SecurityProfile.fromPartial({ profileType, localhostRef });
const node = (appArmor: boolean): NodeSecurity => ({
  appArmor,
  readProfile: (file) =>
    file === '/profiles/good.json'
      ? Promise.resolve('{\n "defaultAction": "SCMP_ACT_ALLOW"\n}')
      : file === '/profiles/bad.json'
        ? Promise.resolve('secret words')
        : Promise.reject(new Error('ENOENT')),
  loadedProfiles: () => Promise.resolve(new Set(['web'])),
});
const runtimeDefault = profile(RuntimeDefault);

describe('securityOptions', () => {
  it.each([
    ['nothing', {}, ['seccomp=unconfined']],
    ['the default profile', { seccomp: runtimeDefault }, []],
    ['no profile', { seccomp: profile(Unconfined) }, ['seccomp=unconfined']],
    [
      'a profile of the node',
      { seccomp: profile(Localhost, '/profiles/good.json') },
      ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'],
    ],
    ['the older default', { seccompProfilePath: 'runtime/default' }, []],
    ['an older none', { seccompProfilePath: 'unconfined' }, ['seccomp=unconfined']],
    [
      'an older profile',
      { seccompProfilePath: 'localhost//profiles/good.json' },
      ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'],
    ],
    [
      'both forms: the newer counts',
      { seccomp: runtimeDefault, seccompProfilePath: 'unconfined' },
      [],
    ],
    ['no new privileges', { seccomp: runtimeDefault, noNewPrivs: true }, ['no-new-privileges']],
    [
      'SELinux',
      {
        seccomp: runtimeDefault,
        selinuxOptions: SELinuxOption.fromPartial({ type: 't', level: 's0:c1,c2' }),
      },
      ['label=type:t', 'label=level:s0:c1,c2'],
    ],
    [
      'a privileged container with profiles',
      { privileged: true, seccomp: runtimeDefault, apparmor: profile(Localhost, 'none') },
      ['seccomp=unconfined'],
    ],
  ] as const)('understands %s', async (_what, fields, options) => {
    const given = { ...context({}), ...fields };
    expect(await securityOptions(given, node(false), 'unconfined')).toEqual(options);
  });

  it("leaves a sandbox that names no seccomp profile to the engine's own", async () => {
    expect(await securityOptions(context({}), node(false), 'default')).toEqual([]);
  });

  it.each([
    [{ apparmor: runtimeDefault }, true, []],
    [{ apparmor: profile(Unconfined) }, true, ['apparmor=unconfined']],
    [{ apparmor: profile(Localhost, 'web') }, true, ['apparmor=web']],
    [{ apparmor: profile(Localhost, 'localhost/web') }, true, ['apparmor=web']],
    [{ apparmorProfile: 'localhost/web' }, true, ['apparmor=web']],
    [{ apparmorProfile: 'unconfined' }, true, ['apparmor=unconfined']],
    [{ apparmor: runtimeDefault, apparmorProfile: 'unconfined' }, true, []],
    [{ apparmor: profile(Unconfined) }, false, []],
    [{ apparmor: runtimeDefault }, false, []],
  ])(
    'reads the AppArmor profile of %j where the node has AppArmor: %j',
    async (fields, has, all) => {
      const given = { ...context({ seccomp: runtimeDefault }), ...fields };
      expect(await securityOptions(given, node(has), 'unconfined')).toEqual(all);
    },
  );

  it.each([
    [
      { seccomp: profile(Localhost, '/profiles/gone.json') },
      'seccomp.localhost_ref: "/profiles/gone.json" is not allowed; allowed: a profile that can be read (ENOENT)',
    ],
    [
      { seccomp: profile(Localhost, 'gone.json') },
      'seccomp.localhost_ref: "gone.json" is not allowed; allowed: an absolute path',
    ],
    [
      { seccomp: profile(Localhost, '/profiles/bad.json') },
      'seccomp.localhost_ref: "/profiles/bad.json" is not allowed; allowed: a file that holds a JSON object',
    ],
    [
      { seccompProfilePath: 'other' },
      'seccomp_profile_path: "other" is not allowed; allowed: runtime/default, unconfined, localhost/<profile>',
    ],
    [
      { seccomp: profile(JSON.parse('7') as SecurityProfile_ProfileType) },
      'seccomp.profile_type: 7 is not allowed; allowed: RuntimeDefault, Unconfined, Localhost',
    ],
    [
      { apparmor: profile(Localhost, 'gone') },
      'apparmor.localhost_ref: "gone" is not allowed; allowed: a profile that is loaded',
    ],
  ])('refuses %j', async (fields, message) => {
    const given = { ...context({}), ...fields };
    await expect(securityOptions(given, node(true), 'unconfined')).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
      message,
    });
  });

  it('leaves an AppArmor profile to the engine where it is not known which are loaded', async () => {
    const given = context({ seccomp: runtimeDefault, apparmor: profile(Localhost, 'gone') });
    const unknown = { ...node(true), loadedProfiles: () => Promise.resolve(undefined) };
    expect(await securityOptions(given, unknown, 'unconfined')).toEqual(['apparmor=gone']);
  });

  it('refuses an AppArmor profile where there is no AppArmor', async () => {
    const given = context({ apparmor: profile(Localhost, 'web') });
    await expect(securityOptions(given, node(false), 'unconfined')).rejects.toThrow(
      'apparmor.localhost_ref: "web" is not allowed; allowed: none, since this node has no AppArmor',
    );
  });
});

describe('nodeSecurity', () => {
  it('knows from the engine whether there is AppArmor', () => {
    expect(nodeSecurity({ SecurityOptions: ['name=seccomp', 'name=apparmor'] }).appArmor).toBe(
      true,
    );
    expect(nodeSecurity({ SecurityOptions: null }).appArmor).toBe(false);
  });

  it('reads profiles of a mebibyte at most', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'security-'));
    try {
      const file = path.join(folder, 'profile.json');
      writeFileSync(file, '{}');
      expect(await nodeSecurity({}).readProfile(file)).toBe('{}');
      writeFileSync(file, ' '.repeat(1024 * 1024 + 1));
      await expect(nodeSecurity({}).readProfile(file)).rejects.toThrow('longer than 1048576 bytes');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('privileges', () => {
  it('sends nothing where nothing is said', () => {
    expect(privileges(undefined)).toEqual({});
  });

  it('sends empty lists of paths, which unmask everything', () => {
    expect(privileges(context({}))).toEqual({
      ReadonlyRootfs: false,
      CapAdd: [],
      CapDrop: [],
      MaskedPaths: [],
      ReadonlyPaths: [],
    });
  });

  it('sends capabilities and paths as they are', () => {
    expect(
      privileges(
        context({
          capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['ALL'] },
          readonlyRootfs: true,
          maskedPaths: ['/proc/kcore'],
          readonlyPaths: ['/proc/sys'],
        }),
      ),
    ).toEqual({
      ReadonlyRootfs: true,
      CapAdd: ['NET_ADMIN'],
      CapDrop: ['ALL'],
      MaskedPaths: ['/proc/kcore'],
      ReadonlyPaths: ['/proc/sys'],
    });
  });

  it('leaves the rest out for a privileged container', () => {
    const given = context({ privileged: true, maskedPaths: ['/a'], readonlyPaths: ['/b'] });
    expect(privileges(given)).toEqual({ Privileged: true, ReadonlyRootfs: false });
  });

  it('refuses ambient capabilities', () => {
    const given = context({ capabilities: { addAmbientCapabilities: ['CHOWN'] } });
    expect(() => privileges(given)).toThrow(
      'security_context.capabilities.add_ambient_capabilities: Docker Engine has no ambient capabilities',
    );
  });
});
