import type { PodQueue } from './pod-queue';
import type { Pods } from './pods';
import type { SandboxTeardown } from './sandbox-teardown';

/** StopPodSandbox: the pod's containers are killed, its network goes, and the sandbox ends. */
export class StopPodSandbox {
  constructor(
    private readonly pods: Pick<Pods, 'resolve'>,
    private readonly queue: PodQueue,
    private readonly teardown: Pick<SandboxTeardown, 'killContainers' | 'stop'>,
  ) {}

  /** One that is not there, or does not run, is fine. */
  async stop(given: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const id = await this.pods.resolve(given, { signal });
    if (id === undefined) return;
    // What is before it in the queue may wait for a container that it is about to kill.
    if (this.queue.isBusy(id)) await this.teardown.killContainers(id, { signal });
    await this.queue.run(id, () => this.teardown.stop(id, { signal }), { signal });
  }
}
