import {
  NamespaceMode,
  SupplementalGroupsPolicy,
  type LinuxSandboxSecurityContext,
} from '@stowage/cri-proto';
import { hasUserNamespaces } from '../container/namespaces';
import { nodeSecurity, securityOptions } from '../container/security';
import { processUser, type ProcessUser } from '../container/user';
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
 * @throws {InvalidArgumentError}
 */
export async function sandboxSecurity(
  context: LinuxSandboxSecurityContext | undefined,
  info: EngineInfo,
): Promise<SandboxSecurity> {
  const own = { privileged: false, noNewPrivs: true };
  const asked = { seccompProfilePath: '', ...context, ...own };
  const [{ User, GroupAdd }, SecurityOpt] = await Promise.all([
    sandboxUser(context),
    securityOptions(asked, nodeSecurity(info), 'default'),
  ]);
  const { network, pid, ipc } = context?.namespaceOptions ?? {};
  const sharesWithHost = [network, pid, ipc].includes(NamespaceMode.NODE);
  return {
    User,
    HostConfig: {
      SecurityOpt,
      ReadonlyRootfs: context?.readonlyRootfs,
      GroupAdd: [...GroupAdd],
      UsernsMode: sharesWithHost && hasUserNamespaces(info) ? 'host' : undefined,
    },
  };
}

/** Sandbox images have no files of users. The user of the image stays where none is asked for. */
function sandboxUser(context: LinuxSandboxSecurityContext | undefined): Promise<ProcessUser> {
  const { Merge } = SupplementalGroupsPolicy;
  const asked =
    context !== undefined && context.runAsUser === undefined
      ? { ...context, supplementalGroupsPolicy: Merge }
      : context;
  return processUser(asked, '', () => Promise.resolve({ passwd: '', group: '' }));
}
