import { NamespaceMode, type NamespaceOption } from '@stowage/cri-proto';
import { FailedPreconditionError, InvalidArgumentError } from '@stowage/errors';
import type { EngineInfo, InspectedContainer, NewContainer } from '../engine/engine-client';

type Namespaces = Pick<
  NonNullable<NewContainer['HostConfig']>,
  'NetworkMode' | 'IpcMode' | 'PidMode' | 'UTSMode' | 'UsernsMode'
>;

/** Another container, whose processes are to be seen. */
export interface TargetContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly running: boolean;
}

/**
 * Namespaces of a container. Network, IPC and host name are those of its sandbox.
 *
 * @param target the container that `target_id` names; undefined for none.
 * @throws {InvalidArgumentError} for what the sandbox does not have, and for user namespaces.
 * @throws {FailedPreconditionError} when the target does not run.
 */
export function namespaces(
  asked: NamespaceOption | undefined,
  privileged: boolean,
  { Id: sandboxId = '', HostConfig: sandbox }: InspectedContainer,
  target: TargetContainer | undefined,
  info: EngineInfo,
): Namespaces {
  checkShared('network', asked?.network, sandbox?.NetworkMode);
  checkShared('ipc', asked?.ipc, sandbox?.IpcMode);
  checkUserNamespace(asked);
  const ofSandbox = `container:${sandboxId}`;
  const pid = asked?.pid ?? (sandbox?.PidMode === 'host' ? NamespaceMode.NODE : NamespaceMode.POD);
  const onHost = privileged || pid === NamespaceMode.NODE || sandbox?.UsernsMode === 'host';
  return {
    NetworkMode: ofSandbox,
    IpcMode: ofSandbox,
    ...pidMode(pid, sandboxId ?? '', target),
    ...(sandbox?.NetworkMode === 'host' && { UTSMode: 'host' }),
    ...(onHost && hasUserNamespaces(info) && { UsernsMode: 'host' }),
  };
}

/** Whether the engine gives containers a user namespace unless told otherwise (userns-remap). */
export const hasUserNamespaces = ({ SecurityOptions }: EngineInfo): boolean =>
  (SecurityOptions ?? []).some((option) => option.startsWith('name=userns'));

function pidMode(
  mode: NamespaceMode,
  sandboxId: string,
  target: TargetContainer | undefined,
): Pick<Namespaces, 'PidMode'> {
  switch (mode) {
    case NamespaceMode.NODE:
      return { PidMode: 'host' };
    case NamespaceMode.POD:
      return { PidMode: `container:${sandboxId}` };
    case NamespaceMode.CONTAINER:
      return {};
    case NamespaceMode.TARGET:
      return { PidMode: `container:${checkedTarget(target, sandboxId).id}` };
    default:
      throw new InvalidArgumentError('namespace_options.pid', mode, '0 to 3');
  }
}

function checkedTarget(target: TargetContainer | undefined, sandboxId: string): TargetContainer {
  if (target?.sandboxId !== sandboxId) {
    const allowed = 'a container of the same sandbox';
    throw new InvalidArgumentError('namespace_options.target_id', target?.id ?? '', allowed);
  }
  if (!target.running) {
    throw new FailedPreconditionError(`container ${target.id.slice(0, 12)} does not run`);
  }
  return target;
}

function checkShared(
  name: 'network' | 'ipc',
  mode: NamespaceMode | undefined,
  ofSandbox: string | undefined,
): void {
  if (mode === undefined || mode === NamespaceMode.POD) return;
  const field = `namespace_options.${name}`;
  if (mode !== NamespaceMode.NODE) throw new InvalidArgumentError(field, mode, 'POD, NODE');
  if (ofSandbox !== 'host') throw new InvalidArgumentError(field, 'NODE', 'that of the sandbox');
}

/** @throws {InvalidArgumentError} for user namespaces of a pod: the engine has one for all. */
export function checkUserNamespace(asked: NamespaceOption | undefined): void {
  const mode = asked?.usernsOptions?.mode ?? NamespaceMode.NODE;
  if (mode === NamespaceMode.NODE) return;
  throw new InvalidArgumentError('namespace_options.userns_options.mode', mode, 'NODE');
}
