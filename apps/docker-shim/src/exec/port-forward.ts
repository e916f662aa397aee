import type { PortTarget } from '@stowage/cri-streaming';
import { connect, type Socket } from 'node:net';
import { NamespaceDialer } from './namespace-dialer';
import type { RunningSandbox } from './running-things';

/** Where a port is looked for, in this order. */
export const localHosts = ['127.0.0.1', '::1'] as const;

/** Opens connections to ports of one network namespace. */
export interface Dialer {
  connect(port: number, options: { readonly signal: AbortSignal }): Promise<Socket>;
}

/** PortForward: connections to the ports of sandboxes. */
export class PortForwards {
  readonly #dialers = new Map<string, NamespaceDialer>();

  /** What a session connects to. */
  target({ id, pid, hostNetwork }: RunningSandbox): PortTarget {
    if (hostNetwork) return { connect: connectHere };
    return { connect: (port, options) => this.#dialer(id, pid).connect(port, options) };
  }

  /** Ends what was started for it. Connections live on. */
  close(): void {
    for (const dialer of [...this.#dialers.values()]) dialer.close();
  }

  #dialer(id: string, pid: number): NamespaceDialer {
    const known = this.#dialers.get(id);
    if (known !== undefined) return known;
    const dialer = new NamespaceDialer(id, pid, () => {
      if (this.#dialers.get(id) === dialer) this.#dialers.delete(id);
    });
    this.#dialers.set(id, dialer);
    return dialer;
  }
}

/** Connects in the namespace of this process. */
async function connectHere(
  port: number,
  { signal }: { readonly signal: AbortSignal },
): Promise<Socket> {
  let first: unknown;
  for (const host of localHosts) {
    try {
      return await connected(host, port, signal);
    } catch (error) {
      signal.throwIfAborted();
      first ??= error;
    }
  }
  throw first;
}

function connected(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    const abort = () => socket.destroy(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    const settled = () => signal.removeEventListener('abort', abort);
    socket.once('error', reject).once('close', settled);
    socket.once('connect', () => {
      settled();
      socket.off('error', reject).on('error', () => undefined);
      resolve(socket);
    });
  });
}
