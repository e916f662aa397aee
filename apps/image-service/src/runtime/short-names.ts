import { errorMessage } from '@stowage/errors';
import { isShortName } from '@stowage/image-ref';

/**
 * Runtimes, by the `runtime_name` of their Version, that take a name without a registry for one of
 * Docker Hub.
 */
const hubRuntimes: ReadonlySet<string> = new Set(['containerd', 'docker']);

/** Longest wait for the runtime's name, milliseconds. */
const versionTimeoutMs = 5000;

/** What {@link ShortNames} works with. */
export interface ShortNamesParts {
  /**
   * The connection that pulls. When its number of connections rises, there may be another runtime.
   */
  readonly availability: () => { readonly available: boolean; readonly connections: number };
  readonly version: (options: {
    signal: AbortSignal;
    timeoutMs: number;
  }) => Promise<{ readonly runtimeName: string }>;
  readonly log: { debug(fields: object, message: string): void };
}

/**
 * Whether names without a registry (`nginx`, `team/app`) are Docker Hub's. containerd and Docker
 * take them so; CRI-O looks them up in aliases and search registries of its own configuration, and
 * then nobody else knows whom a credential would go to.
 */
export class ShortNames {
  #known: { readonly connections: number; readonly isHub: boolean } | undefined;

  constructor(private readonly parts: ShortNamesParts) {}

  /**
   * False for a short name when the runtime is another one or cannot be asked. Asks once a
   * connection. Throws the signal's reason.
   */
  async isHub(image: string, signal: AbortSignal): Promise<boolean> {
    if (!isShortName(image)) return true;
    const { availability, version, log } = this.parts;
    const { available, connections } = availability();
    if (this.#known?.connections === connections) return this.#known.isHub;
    // The pull will say so itself.
    if (!available) return this.#known?.isHub ?? false;
    try {
      const { runtimeName } = await version({ signal, timeoutMs: versionTimeoutMs });
      this.#known = { connections, isHub: hubRuntimes.has(runtimeName) };
      return this.#known.isHub;
    } catch (error) {
      signal.throwIfAborted();
      log.debug({ reason: errorMessage(error) }, 'name of the runtime unknown');
      return false;
    }
  }
}
