import { PodSandboxState } from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';
import type { ListedContainers } from '../pod/listed-containers';
import type { ListedForEvents, Phase } from './known-containers';

/** All containers and sandboxes of ours, by one call of the engine. */
export async function listForEvents(
  connection: Pick<EngineConnection, 'engine'>,
  containers: Pick<ListedContainers, 'ask'>,
  signal: AbortSignal,
): Promise<ListedForEvents[]> {
  const all = await containers.ask(connection.engine().client, { signal });
  return all.map(({ id, facts, listed }): ListedForEvents => {
    const phase = phaseOf(listed.State ?? '');
    if (facts.type === 'container') return { id, sandboxId: facts.sandboxId, phase };
    const { metadata, labels, annotations, runtimeHandler } = facts;
    const sandbox = {
      ...{ id, metadata, runtimeHandler },
      state: PodSandboxState.SANDBOX_NOTREADY,
      createdAt: BigInt(listed.Created ?? 0) * 1_000_000_000n,
      labels: { ...labels },
      annotations: { ...annotations },
    };
    return { id, sandboxId: id, phase, sandbox };
  });
}

function phaseOf(state: string): Phase {
  if (state === 'created') return 'created';
  return ['running', 'paused', 'restarting'].includes(state) ? 'running' : 'exited';
}
