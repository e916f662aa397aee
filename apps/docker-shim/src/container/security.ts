import {
  SecurityProfile_ProfileType,
  type SecurityProfile,
  type SELinuxOption,
} from '@stowage/cri-proto';
import { errorMessage, InvalidArgumentError } from '@stowage/errors';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { EngineInfo } from '../engine/engine-client';

/** What the security contexts of sandboxes and of containers have in common. */
export interface AskedSecurity {
  readonly privileged: boolean;
  /** Absent in the context of a sandbox, which always gets it. */
  readonly noNewPrivs?: boolean;
  readonly seccomp?: SecurityProfile | undefined;
  /** Older form of `seccomp`. */
  readonly seccompProfilePath: string;
  readonly apparmor?: SecurityProfile | undefined;
  /** Older form of `apparmor`; sandboxes have none. */
  readonly apparmorProfile?: string;
  readonly selinuxOptions?: SELinuxOption | undefined;
}

/** What the node has. */
export interface NodeSecurity {
  readonly appArmor: boolean;
  /** The content of a seccomp profile. */
  readonly readProfile: (file: string) => Promise<string>;
  /** Names of the AppArmor profiles that are loaded; undefined where that cannot be read. */
  readonly loadedProfiles: () => Promise<ReadonlySet<string> | undefined>;
}

/** Longest seccomp profile, bytes. */
const maxProfileBytes = 1024 * 1024;
/** One line a profile: its name, and its mode in brackets. */
const loadedProfilesFile = '/sys/kernel/security/apparmor/profiles';

/** The node of an engine. */
export const nodeSecurity = ({ SecurityOptions }: EngineInfo): NodeSecurity => ({
  appArmor: (SecurityOptions ?? []).some((option) => option.startsWith('name=apparmor')),
  readProfile: async (file) => {
    const { size } = await stat(file);
    if (size > maxProfileBytes) throw new Error(`longer than ${maxProfileBytes} bytes`);
    return readFile(file, 'utf8');
  },
  loadedProfiles: async () => {
    const text = await readFile(loadedProfilesFile, 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    return new Set(text.split('\n').map((line) => line.replace(/ \([a-z]+\)$/, '')));
  },
});

/**
 * The engine's `SecurityOpt` for a security context.
 *
 * @param withoutSeccomp what an absent seccomp profile means: none for a container, the engine's
 *   own for a sandbox.
 * @throws {InvalidArgumentError} for profiles that the node does not have.
 */
export async function securityOptions(
  asked: AskedSecurity,
  node: NodeSecurity,
  withoutSeccomp: 'unconfined' | 'default',
): Promise<string[]> {
  return [
    ...(asked.noNewPrivs === true ? ['no-new-privileges'] : []),
    ...selinuxOptions(asked.selinuxOptions),
    // The engine would apply a profile that is given to a privileged container.
    ...(asked.privileged
      ? ['seccomp=unconfined']
      : [
          ...(await seccompOptions(asked, node, withoutSeccomp)),
          ...(await appArmorOptions(asked, node)),
        ]),
  ];
}

function selinuxOptions(options: SELinuxOption | undefined): string[] {
  const { user = '', role = '', type = '', level = '' } = options ?? {};
  return Object.entries({ user, role, type, level })
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `label=${key}:${value}`);
}

async function seccompOptions(
  { seccomp, seccompProfilePath }: AskedSecurity,
  { readProfile }: NodeSecurity,
  withoutSeccomp: 'unconfined' | 'default',
): Promise<string[]> {
  const profile = seccomp ?? oldProfile('seccomp_profile_path', seccompProfilePath);
  if (profile === undefined) return withoutSeccomp === 'default' ? [] : ['seccomp=unconfined'];
  switch (profile.profileType) {
    case SecurityProfile_ProfileType.RuntimeDefault:
      return [];
    case SecurityProfile_ProfileType.Unconfined:
      return ['seccomp=unconfined'];
    case SecurityProfile_ProfileType.Localhost:
      return [`seccomp=${await seccompProfile(profile.localhostRef, readProfile)}`];
    default:
      throw unknownType('seccomp', profile);
  }
}

/** The profile itself: the engine takes no path. */
async function seccompProfile(
  file: string,
  readProfile: NodeSecurity['readProfile'],
): Promise<string> {
  const refused = (allowed: string, cause?: unknown) =>
    new InvalidArgumentError('seccomp.localhost_ref', file, allowed, { cause });
  if (!path.isAbsolute(file)) throw refused('an absolute path');
  let text: string;
  try {
    text = await readProfile(file);
  } catch (error) {
    throw refused(`a profile that can be read (${errorMessage(error)})`, error);
  }
  try {
    const profile: unknown = JSON.parse(text);
    if (typeof profile === 'object' && profile != null && !Array.isArray(profile)) {
      return JSON.stringify(profile);
    }
  } catch {
    // Refused below, without the text.
  }
  throw refused('a file that holds a JSON object');
}

async function appArmorOptions(
  { apparmor, apparmorProfile = '' }: AskedSecurity,
  { appArmor, loadedProfiles }: NodeSecurity,
): Promise<string[]> {
  const profile = apparmor ?? oldProfile('apparmor_profile', apparmorProfile);
  if (profile === undefined) return [];
  switch (profile.profileType) {
    case SecurityProfile_ProfileType.RuntimeDefault:
      return [];
    case SecurityProfile_ProfileType.Unconfined:
      return appArmor ? ['apparmor=unconfined'] : [];
    case SecurityProfile_ProfileType.Localhost: {
      const name = profile.localhostRef.replace(/^localhost\//, '');
      const refused = (allowed: string) =>
        new InvalidArgumentError('apparmor.localhost_ref', name, allowed);
      if (!appArmor) throw refused('none, since this node has no AppArmor');
      // Where it cannot be known, the start of the container shows it.
      if ((await loadedProfiles())?.has(name) === false) throw refused('a profile that is loaded');
      return [`apparmor=${name}`];
    }
    default:
      throw unknownType('apparmor', profile);
  }
}

/** A profile in the form of a string: runtime/default, unconfined, or localhost/ and a name. */
function oldProfile(field: string, text: string): SecurityProfile | undefined {
  const localhost = 'localhost/';
  switch (text) {
    case '':
      return undefined;
    case 'runtime/default':
    case 'docker/default':
      return { profileType: SecurityProfile_ProfileType.RuntimeDefault, localhostRef: '' };
    case 'unconfined':
      return { profileType: SecurityProfile_ProfileType.Unconfined, localhostRef: '' };
  }
  if (!text.startsWith(localhost)) {
    throw new InvalidArgumentError(field, text, 'runtime/default, unconfined, localhost/<profile>');
  }
  return {
    profileType: SecurityProfile_ProfileType.Localhost,
    localhostRef: text.slice(localhost.length),
  };
}

const unknownType = (field: string, profile: SecurityProfile) =>
  new InvalidArgumentError(
    `${field}.profile_type`,
    profile.profileType,
    'RuntimeDefault, Unconfined, Localhost',
  );
