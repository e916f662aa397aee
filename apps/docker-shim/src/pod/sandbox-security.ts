import {
  NamespaceMode,
  SecurityProfile_ProfileType as ProfileType,
  SupplementalGroupsPolicy,
  type LinuxSandboxSecurityContext,
  type SecurityProfile,
} from '@stowage/cri-proto';
import { FailedPreconditionError, InvalidArgumentError } from '@stowage/errors';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { EngineInfo, NewContainer } from '../engine/engine-client';

export interface SandboxSecurity {
  readonly User?: string;
  readonly HostConfig: Pick<
    NonNullable<NewContainer['HostConfig']>,
    'GroupAdd' | 'ReadonlyRootfs' | 'SecurityOpt' | 'UsernsMode'
  >;
}

/**
 * Who a sandbox's own process runs as and what it may do. It is never privileged, whatever its
 * containers are.
 *
 * @throws {InvalidArgumentError} @throws {FailedPreconditionError} for a profile that is not there.
 */
export async function sandboxSecurity(
  context: LinuxSandboxSecurityContext | undefined,
  info: EngineInfo,
): Promise<SandboxSecurity> {
  const securityOpt = ['no-new-privileges'];
  if (context === undefined) return { HostConfig: { SecurityOpt: securityOpt } };
  securityOpt.push(...(await seccomp(context)), ...appArmor(context.apparmor, info));
  const { user, role, type, level } = context.selinuxOptions ?? {};
  for (const [key, value] of Object.entries({ user, role, type, level })) {
    if (value !== undefined && value !== '') securityOpt.push(`label=${key}:${value}`);
  }
  const { network, pid, ipc } = context.namespaceOptions ?? {};
  const sharesWithHost = [network, pid, ipc].includes(NamespaceMode.NODE);
  return {
    User: sandboxUser(context),
    HostConfig: {
      SecurityOpt: securityOpt,
      ReadonlyRootfs: context.readonlyRootfs,
      GroupAdd: context.supplementalGroups.map(String),
      UsernsMode: sharesWithHost && hasSecurityOption(info, 'userns') ? 'host' : undefined,
    },
  };
}

/** Undefined for the image's own. */
function sandboxUser(context: LinuxSandboxSecurityContext): string | undefined {
  const { runAsUser, runAsGroup, supplementalGroupsPolicy } = context;
  if (runAsUser === undefined) {
    if (runAsGroup === undefined) return undefined;
    throw new InvalidArgumentError(
      'linux.security_context.run_as_group',
      runAsGroup.value,
      'a group together with run_as_user',
    );
  }
  if (runAsGroup !== undefined) return `${runAsUser.value}:${runAsGroup.value}`;
  // Sandbox images have no file of users: without a group of its own it is that of root.
  const strict = supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict;
  return `${runAsUser.value}${strict ? ':0' : ''}`;
}

async function seccomp(context: LinuxSandboxSecurityContext): Promise<string[]> {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelet before 1.25 sends it.
  const profile = context.seccomp ?? profileOf(context.seccompProfilePath);
  switch (profile?.profileType) {
    case ProfileType.Unconfined:
      return ['seccomp=unconfined'];
    case ProfileType.Localhost:
      return [`seccomp=${await localProfile(profile.localhostRef)}`];
    case ProfileType.RuntimeDefault:
    case undefined:
      return [];
  }
}

/** The older form: `unconfined`, `runtime/default`, or `localhost/` and a path. */
function profileOf(text: string): SecurityProfile | undefined {
  const local = 'localhost/';
  if (text === 'unconfined') return { profileType: ProfileType.Unconfined, localhostRef: '' };
  if (!text.startsWith(local)) return undefined;
  return { profileType: ProfileType.Localhost, localhostRef: text.slice(local.length) };
}

async function localProfile(file: string): Promise<string> {
  const field = 'linux.security_context.seccomp.localhost_ref';
  if (!path.isAbsolute(file)) throw new InvalidArgumentError(field, file, 'an absolute path');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new FailedPreconditionError(`seccomp profile ${file} cannot be read`, { cause });
  }
  try {
    return JSON.stringify(JSON.parse(text));
  } catch (cause) {
    throw new InvalidArgumentError(field, file, 'a file with a seccomp profile in JSON', { cause });
  }
}

function appArmor(profile: SecurityProfile | undefined, info: EngineInfo): string[] {
  const has = hasSecurityOption(info, 'apparmor');
  switch (profile?.profileType) {
    case ProfileType.Unconfined:
      return has ? ['apparmor=unconfined'] : [];
    case ProfileType.Localhost:
      if (has) return [`apparmor=${profile.localhostRef}`];
      throw new InvalidArgumentError(
        'linux.security_context.apparmor',
        profile.localhostRef,
        'the default and unconfined: this host has no AppArmor',
      );
    case ProfileType.RuntimeDefault:
    case undefined:
      return [];
  }
}

/** The engine lists them as `name=seccomp,profile=default`. */
const hasSecurityOption = ({ SecurityOptions }: EngineInfo, name: string): boolean =>
  (SecurityOptions ?? []).some((option) => option.split(',').includes(`name=${name}`));
