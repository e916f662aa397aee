import type { ContainerState, ContainerStatus, Pod } from './kubelet';

/**
 * The state of a pod in one line, for comparison: `Running; main: running, ready`. Init containers
 * come first. Restarts are named where there are some, with how the container ended before.
 */
export function describePod({ status }: Pod): string {
  const containers = [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
  ];
  const phase = [status?.phase ?? 'no phase', status?.reason ?? ''].filter(Boolean).join(' ');
  return [phase, ...containers.map(describeContainer)].join('; ');
}

function describeContainer(container: ContainerStatus): string {
  const { name, state, lastState = {}, ready, restartCount } = container;
  const parts = [describeState(state)];
  if (state.running !== undefined) parts.push(ready ? 'ready' : 'not ready');
  if (restartCount > 0) {
    parts.push(`${restartCount} ${restartCount === 1 ? 'restart' : 'restarts'}`);
    if (lastState.terminated !== undefined) parts.push(`before ${describeState(lastState)}`);
  }
  return `${name}: ${parts.join(', ')}`;
}

function describeState({ waiting, running, terminated }: ContainerState): string {
  if (running !== undefined) return 'running';
  if (terminated !== undefined) return `${terminated.reason ?? ''} ${terminated.exitCode}`.trim();
  return waiting?.reason ?? 'waiting';
}

/** Messages of a pod and its containers, by what they belong to. */
export function messagesOf({ status }: Pod): Record<string, string> {
  const messages: Record<string, string> = {};
  if (status?.message !== undefined) messages.message = status.message;
  for (const { name, state, lastState } of [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
  ]) {
    const now = state.waiting?.message ?? state.terminated?.message;
    if (now !== undefined) messages[`${name} message`] = now;
    const before = lastState?.terminated?.message;
    if (before !== undefined) messages[`${name} message before`] = before;
  }
  return messages;
}
