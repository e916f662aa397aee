import { DeadlineExceededError } from '@stowage/errors';
import { PassThrough, type Readable } from 'node:stream';
import type { ExecStreams } from './exec-session';
import { statusOf, type StatusFormat } from './session-status';
import type { SpdyConnection } from './spdy/spdy-connection';
import type { SpdyStream } from './spdy/spdy-stream';
import type { RequestedStreams } from './types';

/** Versions of the protocol of exec and attach over SPDY, by their names. */
export const spdyExecProtocols: Readonly<Record<string, number>> = {
  'v4.channel.k8s.io': 4,
  'v3.channel.k8s.io': 3,
  'v2.channel.k8s.io': 2,
  'channel.k8s.io': 1,
};

/** Waits for the streams that a client of exec or attach opens. */
export class ExecStreamsOverSpdy {
  readonly #streams = new Map<string, SpdyStream>();
  readonly #expected: readonly string[];
  readonly #format: StatusFormat;
  #complete!: () => void;
  readonly #completed = new Promise<void>((resolve) => (this.#complete = resolve));

  constructor({ stdin, stdout, stderr, tty }: RequestedStreams, version: number) {
    this.#format = version >= 4 ? 'json' : 'text';
    this.#expected = [
      'error',
      ...(stdin ? ['stdin'] : []),
      ...(stdout ? ['stdout'] : []),
      ...(stderr && !tty ? ['stderr'] : []),
      ...(tty && version >= 3 ? ['resize'] : []),
    ];
  }

  /** A stream that the client has opened; false for a second one of its kind. */
  add(stream: SpdyStream): boolean {
    const type = stream.headers.get('streamtype') ?? '';
    if (this.#streams.has(type)) return false;
    this.#streams.set(type, stream);
    // Nobody reads what the client sends where only the server writes.
    if (type !== 'stdin' && type !== 'resize') stream.discard();
    if (this.#expected.every((expected) => this.#streams.has(expected))) this.#complete();
    return true;
  }

  /**
   * All streams; undefined when the client opened too few in `withinMs` milliseconds or left, and
   * the connection is closed then.
   */
  async open(connection: SpdyConnection, withinMs: number): Promise<ExecStreams | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, withinMs, 'late');
    });
    const first = await Promise.race([this.#completed, late, connection.gone.then(() => 'gone')]);
    clearTimeout(timer);
    const stream = (type: string) =>
      this.#expected.includes(type) ? this.#streams.get(type) : undefined;
    const error = stream('error');
    if (first !== undefined || error === undefined) {
      const reason = new DeadlineExceededError('creation of the streams by the client', withinMs);
      error?.end(statusOf({ error: reason }, this.#format));
      await connection.finish();
      return undefined;
    }
    return {
      stdin: inputOf(stream('stdin')),
      stdout: stream('stdout'),
      stderr: stream('stderr'),
      resize: stream('resize'),
      error,
      errorFormat: this.#format,
      gone: connection.gone,
      finish: () => connection.finish(),
    };
  }
}

/**
 * What comes on a stream, apart from the stream: who has read enough, or fails, has not reset it.
 */
function inputOf(stream: SpdyStream | undefined): Readable | undefined {
  if (stream === undefined) return undefined;
  const input = new PassThrough();
  input.on('error', () => undefined);
  input.once('close', () => stream.discard());
  stream.once('close', () => input.end());
  return stream.pipe(input);
}
