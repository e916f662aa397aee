import { withoutUserInfo } from '@stowage/image-ref';
import { ContainerState, PodSandboxState } from '@stowage/cri-proto';
import type {
  Container,
  ContainerMetadata,
  ContainerStatus,
  ImageSpec,
  PodSandbox,
  PodSandboxMetadata,
  PodSandboxStatus,
} from '@stowage/cri-proto';
import type {
  ContainerFacts,
  ContainerImage,
  ContainerPhase,
  Pod,
  SandboxFacts,
  SandboxPhase,
} from './types';

/** Absent where the runtime leaves a text empty. */
const given = (text: string | undefined): string | undefined =>
  text === undefined || text === '' ? undefined : text;

/** Nanoseconds of the CRI in milliseconds since the epoch; absent when the runtime says 0. */
export function millisecondsOf(nanoseconds: bigint): number | undefined {
  return nanoseconds > 0n ? Number(nanoseconds / 1_000_000n) : undefined;
}

export function podOf(metadata: PodSandboxMetadata | undefined): Pod | undefined {
  if (metadata === undefined) return undefined;
  const { namespace, name, uid } = metadata;
  return { namespace, name, uid };
}

/** Whether a reference is an image ID: `sha256:` and 64 hex digits, or (CRI-O) the digits alone. */
const isImageId = (reference: string): boolean => /^(?:sha256:)?[0-9a-f]{64}$/.test(reference);

/** The first of the names that is an image ID. */
export const imageIdOf = (...names: readonly string[]): string | undefined => names.find(isImageId);

/** Runtimes keep what a user wrote unread: a password in it is not passed on. */
const shown = (name: string | undefined) => (name === undefined ? name : withoutUserInfo(name));

/**
 * The image of a container. `candidates` are what the runtime calls it; the first that is an ID is
 * the ID.
 */
export function imageOf(
  spec: ImageSpec | undefined,
  ...candidates: readonly string[]
): ContainerImage | undefined {
  const reference = shown(given(spec?.image)) ?? candidates.find((name) => name !== '');
  if (reference === undefined) return undefined;
  const imageId = imageIdOf(...candidates, reference);
  const userSpecifiedReference = shown(given(spec?.userSpecifiedImage));
  const runtimeHandler = given(spec?.runtimeHandler);
  return {
    reference,
    ...(userSpecifiedReference === undefined ? {} : { userSpecifiedReference }),
    ...(imageId === undefined ? {} : { imageId }),
    ...(runtimeHandler === undefined ? {} : { runtimeHandler }),
  };
}

const nameOf = (metadata: ContainerMetadata | undefined) => ({
  name: given(metadata?.name),
  attempt: metadata?.attempt,
});

/** Facts of a listed or described sandbox. */
export function sandboxFacts(sandbox: PodSandbox | PodSandboxStatus): SandboxFacts {
  return {
    id: sandbox.id,
    pod: podOf(sandbox.metadata),
    attempt: sandbox.metadata?.attempt,
    runtimeHandler: given(sandbox.runtimeHandler),
  };
}

/** Facts of a listed container. */
export function containerFacts(container: Container): ContainerFacts {
  return {
    id: container.id,
    podSandboxId: given(container.podSandboxId),
    ...nameOf(container.metadata),
    image: imageOf(container.image, container.imageId, container.imageRef),
  };
}

/** Facts of a container's status, which names no sandbox. */
export function statusFacts(status: ContainerStatus): ContainerFacts {
  return {
    id: status.id,
    ...nameOf(status.metadata),
    image: imageOf(status.image, status.imageId, status.imageRef),
  };
}

/** When and how a container ran, as its status says. */
export interface RunFacts {
  readonly createdAtMs?: number;
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
  readonly exitCode?: number;
  readonly reason?: string;
}

/** {@link RunFacts} of a status; code and reason only of an exited container. */
export function runFacts(status: ContainerStatus): RunFacts {
  const times = {
    createdAtMs: millisecondsOf(status.createdAt),
    startedAtMs: millisecondsOf(status.startedAt),
  };
  if (status.state !== ContainerState.CONTAINER_EXITED) return times;
  return {
    ...times,
    finishedAtMs: millisecondsOf(status.finishedAt),
    exitCode: status.exitCode,
    reason: given(status.reason),
  };
}

/** Absent for a state that says nothing. */
export function containerPhase(
  state: ContainerState,
): Exclude<ContainerPhase, 'removed'> | undefined {
  switch (state) {
    case ContainerState.CONTAINER_CREATED:
      return 'created';
    case ContainerState.CONTAINER_RUNNING:
      return 'running';
    case ContainerState.CONTAINER_EXITED:
      return 'exited';
    case ContainerState.CONTAINER_UNKNOWN:
    default:
      return undefined;
  }
}

export const sandboxPhase = (state: PodSandboxState): SandboxPhase =>
  state === PodSandboxState.SANDBOX_READY ? 'ready' : 'stopped';
