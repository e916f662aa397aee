import {
  PodSandboxState,
  type ListPodSandboxRequest,
  type PodSandbox,
  type PodSandboxFilter,
} from '@stowage/cri-proto';
import type { Checkpoints } from './checkpoints';
import { matchesLabels } from './labels';
import type { Pods, Sandbox } from './pods';

/** ListPodSandbox. */
export class ListPodSandboxes {
  constructor(
    private readonly pods: Pick<Pods, 'list'>,
    private readonly checkpoints: Pick<Checkpoints, 'ids' | 'read'>,
  ) {}

  /**
   * The sandboxes that match the filter, but for those that RunPodSandbox is still making: a caller
   * would take them for ended. Without a filter, also those of which only the checkpoint is
   * left, so that callers remove them.
   */
  async list(
    filter: ListPodSandboxRequest['filter'],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<PodSandbox[]> {
    if (!isEmpty(filter)) {
      const sandboxes = await this.pods.list({ signal });
      return sandboxes
        .filter((sandbox) => sandbox.made && matches(sandbox, filter))
        .map(criSandbox);
    }
    // A sandbox has its container before its checkpoint: one that is made meanwhile is among both.
    const ids = await this.checkpoints.ids();
    const sandboxes = await this.pods.list({ signal });
    const listed = new Set(sandboxes.map(({ id }) => id));
    const orphans = await Promise.all(
      ids.filter((id) => !listed.has(id)).map((id) => this.#orphan(id)),
    );
    return [...sandboxes.filter(({ made }) => made).map(criSandbox), ...orphans.flat()];
  }

  async #orphan(id: string): Promise<PodSandbox[]> {
    const checkpoint = await this.checkpoints.read(id);
    if (checkpoint === undefined) return [];
    const { name, namespace, writtenAt } = checkpoint;
    return [
      {
        id,
        metadata: { name, namespace, uid: '', attempt: 0 },
        state: PodSandboxState.SANDBOX_NOTREADY,
        createdAt: BigInt(Math.max(1, Math.round(writtenAt.getTime()))) * 1_000_000n,
        labels: {},
        annotations: {},
        runtimeHandler: '',
      },
    ];
  }
}

const isEmpty = (filter: PodSandboxFilter | undefined): filter is undefined =>
  filter === undefined ||
  (filter.id === '' &&
    filter.state === undefined &&
    Object.keys(filter.labelSelector).length === 0);

function matches(sandbox: Sandbox, { id, state, labelSelector }: PodSandboxFilter): boolean {
  return (
    sandbox.id.startsWith(id) &&
    (state === undefined || state.state === stateOf(sandbox)) &&
    matchesLabels(sandbox.labels, labelSelector)
  );
}

/** Of a sandbox in the CRI's words. */
export const stateOf = ({ ready }: Pick<Sandbox, 'ready'>): PodSandboxState =>
  ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;

function criSandbox(sandbox: Sandbox): PodSandbox {
  const { id, metadata, createdNs, labels, annotations, runtimeHandler } = sandbox;
  const state = stateOf(sandbox);
  return { id, metadata, state, createdAt: createdNs, labels, annotations, runtimeHandler };
}
