import { ContainerState } from '@stowage/cri-proto';
import type { InspectedContainer } from '../engine/engine-client';
import { nsOf } from '../engine/engine-time';

/**
 * The state of a container by the engine's word for it.
 *
 * @param startFailed whether it was to be started and could not: the engine goes on to call it
 *   created.
 */
export function criState(word: string, startFailed: boolean): ContainerState {
  switch (word) {
    case 'created':
      return startFailed ? ContainerState.CONTAINER_EXITED : ContainerState.CONTAINER_CREATED;
    case 'running':
    case 'paused':
    case 'restarting':
      return ContainerState.CONTAINER_RUNNING;
    case 'exited':
    case 'dead':
    case 'removing':
      return ContainerState.CONTAINER_EXITED;
    default:
      return ContainerState.CONTAINER_UNKNOWN;
  }
}

/** How a container is, and how it ended. */
export interface ContainerCourse {
  readonly state: ContainerState;
  /** Nanoseconds since 1970; 0 for never. */
  readonly createdAt: bigint;
  readonly startedAt: bigint;
  readonly finishedAt: bigint;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
}

export function containerCourse({ Created, State }: InspectedContainer): ContainerCourse {
  const createdAt = nsOf(Created);
  const startFailed = couldNotStart(State);
  const state = criState(State?.Status ?? '', startFailed);
  const isOver = state === ContainerState.CONTAINER_EXITED;
  const { ExitCode = 0, Error: message = '' } = State ?? {};
  return {
    state,
    createdAt,
    startedAt: startFailed ? createdAt : nsOf(State?.StartedAt),
    finishedAt: startFailed ? createdAt : isOver ? nsOf(State?.FinishedAt) : 0n,
    exitCode: isOver ? ExitCode : 0,
    reason: isOver ? reasonOf(State, startFailed) : '',
    message: isOver ? message : '',
  };
}

/** Whether the engine was to start it, and could not. */
export function couldNotStart(state: InspectedContainer['State']): boolean {
  if (nsOf(state?.StartedAt) !== 0n) return false;
  return (state?.ExitCode ?? 0) !== 0 || (state?.Error ?? '') !== '';
}

function reasonOf(state: InspectedContainer['State'], startFailed: boolean): string {
  if (state?.OOMKilled === true) return 'OOMKilled';
  if (startFailed) return 'ContainerCannotRun';
  return (state?.ExitCode ?? 0) === 0 ? 'Completed' : 'Error';
}
