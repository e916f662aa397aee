import { PodSandboxState } from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';
import { readLabels, typeLabel } from '../pod/labels';
import type { ListedForEvents, Phase } from './known-containers';

/** All containers and sandboxes of ours, by one call of the engine. */
export async function listForEvents(
  connection: Pick<EngineConnection, 'engine'>,
  signal: AbortSignal,
): Promise<ListedForEvents[]> {
  const { client } = connection.engine();
  const listed = await client.listContainers({ label: [typeLabel] }, { signal });
  return listed.flatMap(({ Id: id, Names, Labels, State, Created }): ListedForEvents[] => {
    const facts = readLabels(Labels ?? {}, Names?.[0] ?? '');
    if (id == null || facts === undefined) return [];
    const phase = phaseOf(State ?? '');
    if (facts.type === 'container') return [{ id, sandboxId: facts.sandboxId, phase }];
    const { metadata, labels, annotations, runtimeHandler } = facts;
    const sandbox = {
      ...{ id, metadata, runtimeHandler },
      state: PodSandboxState.SANDBOX_NOTREADY,
      createdAt: BigInt(Created ?? 0) * 1_000_000_000n,
      labels: { ...labels },
      annotations: { ...annotations },
    };
    return [{ id, sandboxId: id, phase, sandbox }];
  });
}

function phaseOf(state: string): Phase {
  if (state === 'created') return 'created';
  return ['running', 'paused', 'restarting'].includes(state) ? 'running' : 'exited';
}
