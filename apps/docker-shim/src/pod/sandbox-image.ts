import { AuthConfig, ImageSpec } from '@stowage/cri-proto';
import { CancelledError } from '@stowage/errors';
import { parseImageName } from '@stowage/image-ref';
import type { Keyring, RegistryAuth } from '@stowage/registry-auth';
import { inspectName } from '../image/image-name';
import type { PullImage } from '../image/pull-image';

interface SharedPull {
  readonly done: Promise<void>;
  readonly abandoned: AbortController;
  /** Calls that wait for it. */
  waiting: number;
}

/** The image that every sandbox runs. */
export class SandboxImage {
  /** As the engine is to be asked for it. */
  readonly name: string;
  #pull: SharedPull | undefined;

  /**
   * @param reference as it is configured.
   * @param keyring credentials of the node.
   */
  constructor(
    private readonly reference: string,
    private readonly images: Pick<PullImage, 'pull'>,
    private readonly keyring: Keyring,
  ) {
    this.name = inspectName(reference);
  }

  /**
   * Pulls it, with the node's credentials one after the other, and at last without any. Those who
   * ask at the same time share one pull, which ends when nobody waits for it any more.
   */
  async pull({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    const pull = (this.#pull ??= this.#begin());
    pull.waiting += 1;
    let leave = () => {};
    const left = new Promise<never>((_resolve, reject) => {
      leave = () => reject(signal.reason as Error);
      signal.addEventListener('abort', leave, { once: true });
    });
    try {
      await Promise.race([pull.done, left]);
    } finally {
      signal.removeEventListener('abort', leave);
      pull.waiting -= 1;
      if (pull.waiting === 0) this.#end(pull);
    }
  }

  #begin(): SharedPull {
    const abandoned = new AbortController();
    const done = this.#pullWithCredentials(abandoned.signal);
    const pull = { done, abandoned, waiting: 0 };
    const end = () => this.#end(pull);
    done.then(end, end);
    return pull;
  }

  #end(pull: SharedPull): void {
    pull.abandoned.abort(new CancelledError('pull of the sandbox image'));
    if (this.#pull === pull) this.#pull = undefined;
  }

  async #pullWithCredentials(signal: AbortSignal): Promise<void> {
    const { repository } = parseImageName(this.reference);
    const credentials = await this.keyring.lookup(repository, { signal });
    let refusal: unknown;
    for (const { auth } of credentials) {
      try {
        await this.#pullOnce(auth, signal);
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        refusal = error;
      }
    }
    try {
      await this.#pullOnce(undefined, signal);
    } catch (error) {
      throw refusal ?? error;
    }
  }

  async #pullOnce(auth: RegistryAuth | undefined, signal: AbortSignal): Promise<void> {
    const image = ImageSpec.fromPartial({ image: this.reference });
    await this.images.pull({ image, auth: auth && AuthConfig.fromPartial(auth) }, { signal });
  }
}
