import { Client, credentials, status } from '@grpc/grpc-js';
import { pause } from '@stowage/async';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { inVersion, methodPath, packagePrefix, parsePath } from '@stowage/cri-proto/paths';
import type { CriVersion } from '@stowage/cri-proto/paths';

/**
 * Whether the runtime serves a version of the CRI; undefined when that could not be found out.
 * Never rejects.
 */
export type ProbeVersion = (
  version: CriVersion,
  signal: AbortSignal,
) => Promise<boolean | undefined>;

/**
 * Which versions of the CRI the runtime serves, found out again on each connection to it. The
 * client of the runtime finds out about v1; this asks for v1alpha2 as well, once a client uses it
 * and not before: containerd 1.7 records every call in v1alpha2 as the use of something deprecated,
 * and shows that in its status as a warning against an upgrade.
 */
export class CriVersions {
  #connections = 0;
  /** The connection on which v1alpha2 was probed. */
  #probedOn = 0;
  #servesV1alpha2: boolean | undefined;
  readonly #unsubscribe: () => void;

  constructor(
    private readonly runtime: Pick<RuntimeServiceClient, 'availability' | 'onAvailability'>,
    private readonly probe: ProbeVersion,
    private readonly signal: AbortSignal,
    private readonly retryMs = 1000,
  ) {
    this.#unsubscribe = runtime.onAvailability(() => this.#look());
    this.#look();
  }

  /** True once it is known that calls of either version need no change. */
  get servesBoth(): boolean {
    return this.runtime.availability().version === 'v1' && this.#servesV1alpha2 === true;
  }

  /** With what a path begins that {@link path} may change on this connection; undefined: with anything. */
  get changedPrefix(): string | undefined {
    return this.runtime.availability().version === 'v1' ? packagePrefix('v1alpha2') : undefined;
  }

  /**
   * The path of the same call in a version that the runtime serves; the messages need no change,
   * since v1alpha2 is a subset of v1 on the wire. Paths that the runtime knows stay, those of other
   * services too. Until it is known whether v1alpha2 is served, which the first such path makes a
   * question, its calls go out as v1.
   */
  path(path: string): string {
    const { version } = this.runtime.availability();
    const asked = parsePath(path)?.version;
    if (version === undefined || asked === undefined || asked === version) return path;
    if (asked === 'v1alpha2') {
      if (this.#servesV1alpha2 === true) return path;
      this.#probeV1alpha2();
    }
    return inVersion(path, version);
  }

  close(): void {
    this.#unsubscribe();
  }

  #look(): void {
    const { available, connections } = this.runtime.availability();
    if (connections !== this.#connections || !available) this.#servesV1alpha2 = undefined;
    this.#connections = connections;
  }

  #probeV1alpha2(): void {
    if (this.#probedOn === this.#connections) return;
    this.#probedOn = this.#connections;
    void this.#untilKnown(this.#connections);
  }

  /**
   * Asks until there is an answer or another connection; paths are rewritten meanwhile, which costs
   * time and is right too.
   */
  async #untilKnown(connections: number): Promise<void> {
    for (;;) {
      const isServed = await this.probe('v1alpha2', this.signal);
      if (connections !== this.#connections) return;
      this.#servesV1alpha2 = isServed;
      if (isServed !== undefined) return;
      await pause(this.retryMs, { signal: this.signal });
      if (this.signal.aborted || connections !== this.#connections) return;
    }
  }
}

const probeTimeoutMs = 5_000;
const asBytes = (bytes: Buffer): Buffer => bytes;

/** Asks a runtime for its Version in a version of the CRI, on a connection of its own. */
export function probeByVersion(socket: string): ProbeVersion {
  return (version, signal) =>
    new Promise((resolve) => {
      const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
        'grpc.default_authority': 'localhost',
      });
      const call = client.makeUnaryRequest(
        methodPath('RuntimeService', 'Version', version),
        asBytes,
        asBytes,
        Buffer.alloc(0),
        { deadline: Date.now() + probeTimeoutMs },
        (error) => {
          signal.removeEventListener('abort', cancel);
          client.close();
          if (error == null) resolve(true);
          else resolve(error.code === status.UNIMPLEMENTED ? false : undefined);
        },
      );
      const cancel = (): void => call.cancel();
      signal.addEventListener('abort', cancel, { once: true });
    });
}
