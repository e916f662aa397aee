import type { PodQueue } from './pod-queue';
import type { Pods } from './pods';
import type { SandboxTeardown } from './sandbox-teardown';

/** RemovePodSandbox: the sandbox goes with its containers, running or not. */
export class RemovePodSandbox {
  constructor(
    private readonly pods: Pick<Pods, 'resolve'>,
    private readonly queue: PodQueue,
    private readonly teardown: Pick<SandboxTeardown, 'remove'>,
  ) {}

  /** One that is not there is fine. */
  async remove(given: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const id = await this.pods.resolve(given, { signal });
    if (id === undefined) return;
    await this.queue.run(id, () => this.teardown.remove(id, { signal }), { signal });
  }
}
