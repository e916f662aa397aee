import { Client, credentials, status } from '@grpc/grpc-js';
import { setTimeout as pause } from 'node:timers/promises';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { inVersion, methodPath, packagePrefix, parsePath } from '@stowage/cri-proto/paths';
import type { CriVersion } from '@stowage/cri-proto/paths';

/** Whether the runtime answers calls of a package; undefined when that could not be found out. Never rejects. */
export type ProbePackage = (
  version: CriVersion,
  signal: AbortSignal,
) => Promise<boolean | undefined>;

/**
 * Which of the two CRI packages the runtime speaks, found out anew on each connection to it. The client finds out whether v1
 * is spoken; this asks for v1alpha2 besides, once a client uses it and not before: containerd 1.7 notes every call in
 * v1alpha2 as the use of something deprecated, and shows that in its status as a warning against an upgrade.
 */
export class RuntimePackages {
  #connections = 0;
  /** The connection on which v1alpha2 was asked for. */
  #askedOn = 0;
  #speaksOld: boolean | undefined;
  readonly #unsubscribe: () => void;

  constructor(
    private readonly runtime: Pick<RuntimeServiceClient, 'availability' | 'onAvailability'>,
    private readonly probe: ProbePackage,
    private readonly signal: AbortSignal,
    private readonly retryMs = 1000,
  ) {
    this.#unsubscribe = runtime.onAvailability(() => this.#look());
    this.#look();
  }

  /** True once it is known that calls of either package need no change. */
  get bothSpoken(): boolean {
    return this.runtime.availability().version === 'v1' && this.#speaksOld === true;
  }

  /** With what a path begins that {@link path} may change on this connection; undefined: with anything. */
  get changedPrefix(): string | undefined {
    return this.runtime.availability().version === 'v1' ? packagePrefix('v1alpha2') : undefined;
  }

  /**
   * The path of the same call in a package that the runtime speaks; the messages need no change, for v1alpha2 is a subset of
   * v1 on the wire. Paths that the runtime knows stay, those of other services too. Until it is known whether v1alpha2
   * is spoken, which the first such path makes a question, v1 is asked for it.
   */
  path(path: string): string {
    const { version } = this.runtime.availability();
    const asked = parsePath(path)?.version;
    if (version === undefined || asked === undefined || asked === version) return path;
    if (asked === 'v1alpha2') {
      if (this.#speaksOld === true) return path;
      this.#askForOld();
    }
    return inVersion(path, version);
  }

  close(): void {
    this.#unsubscribe();
  }

  #look(): void {
    const { available, connections } = this.runtime.availability();
    if (connections !== this.#connections || !available) this.#speaksOld = undefined;
    this.#connections = connections;
  }

  #askForOld(): void {
    if (this.#askedOn === this.#connections) return;
    this.#askedOn = this.#connections;
    void this.#untilAnswered(this.#connections);
  }

  /** Asks until there is an answer or another connection; rewriting goes on meanwhile, which costs time and is right too. */
  async #untilAnswered(connections: number): Promise<void> {
    for (;;) {
      const isSpoken = await this.probe('v1alpha2', this.signal);
      if (connections !== this.#connections) return;
      this.#speaksOld = isSpoken;
      if (isSpoken !== undefined) return;
      await pause(this.retryMs, undefined, { signal: this.signal, ref: false }).catch(
        () => undefined,
      );
      if (this.signal.aborted || connections !== this.#connections) return;
    }
  }
}

const probeTimeoutMs = 5_000;
const asBytes = (bytes: Buffer): Buffer => bytes;

/** Asks a runtime for its Version in a package, on a connection of its own. */
export function probeByVersion(socket: string): ProbePackage {
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
