import type { UpdatePodSandboxResourcesRequest } from '@stowage/cri-proto';
import { NotFoundError } from '@stowage/errors';
import type { PodQueue } from './pod-queue';
import type { Pods } from './pods';
import type { SandboxRecords } from './sandbox-records';

/**
 * UpdatePodSandboxResources: noted, and shown by the status. The control group of the pod is the
 * caller's.
 */
export class UpdatePodSandboxResources {
  constructor(
    private readonly pods: Pick<Pods, 'resolve' | 'get'>,
    private readonly queue: PodQueue,
    private readonly records: Pick<SandboxRecords, 'get' | 'set'>,
  ) {}

  /** @throws {NotFoundError} */
  async update(
    { podSandboxId, overhead, resources }: UpdatePodSandboxResourcesRequest,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    const id = await this.pods.resolve(podSandboxId, { signal });
    if (id === undefined) throw new NotFoundError('pod sandbox', podSandboxId);
    await this.queue.run(
      id,
      async () => {
        await this.pods.get(id, { signal });
        const record = this.records.get(id);
        await this.records.set(id, {
          phase: record?.phase ?? 'ready',
          overhead: overhead ?? record?.overhead,
          resources: resources ?? record?.resources,
        });
      },
      { signal },
    );
  }
}
