import { forwardPort } from './forward-port';
import type { SpdyStream } from './spdy/spdy-stream';
import type { PortTarget } from './types';

/** The name of the protocol in the handshake. */
export const spdyPortForwardProtocol = 'portforward.k8s.io';

export interface PortForwardOptions {
  readonly target: PortTarget;
  /** How long a client has to open the second stream of a pair, milliseconds. */
  readonly createWithinMs: number;
  /** Ends all connections. */
  readonly signal: AbortSignal;
}

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  timer: NodeJS.Timeout;
}

/** Connections to ports, each of a pair of streams: one for content, one for an error. */
export class PortForwardOverSpdy {
  readonly #pairs = new Map<string, Pair>();

  constructor(private readonly options: PortForwardOptions) {}

  /** A stream that the client has opened; false for one that cannot belong to a pair. */
  add(stream: SpdyStream): boolean {
    const type = stream.headers.get('streamtype');
    const port = Number(stream.headers.get('port'));
    if (type !== 'data' && type !== 'error') return false;
    if (!Number.isInteger(port) || port < 1 || port > 0xffff) return false;
    const id = stream.headers.get('requestid') ?? idOfOldClient(type, stream.streamId);
    const pair = this.#pairs.get(id) ?? this.#newPair(id);
    if (pair[type] !== undefined) return false;
    pair[type] = stream;
    if (type === 'error') stream.discard();
    const { data, error } = pair;
    if (data === undefined || error === undefined) return true;
    this.#drop(id);
    const { target, signal } = this.options;
    void forwardPort(
      { port, input: data, output: data, error, hasHalfClose: true },
      target,
      signal,
    );
    return true;
  }

  /** Forgets streams that wait for their others. */
  close(): void {
    for (const id of [...this.#pairs.keys()]) this.#drop(id);
  }

  #newPair(id: string): Pair {
    const timer = setTimeout(() => {
      const { data, error } = this.#pairs.get(id) ?? {};
      this.#drop(id);
      error?.end(`the data stream of request ${id} was not opened in time`);
      data?.destroy();
    }, this.options.createWithinMs);
    const pair = { timer };
    this.#pairs.set(id, pair);
    return pair;
  }

  #drop(id: string): void {
    clearTimeout(this.#pairs.get(id)?.timer);
    this.#pairs.delete(id);
  }
}

/** Old clients name no request: they open the error stream, then the data stream. */
const idOfOldClient = (type: 'data' | 'error', streamId: number): string =>
  String(type === 'error' ? streamId : streamId - 2);
