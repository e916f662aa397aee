import { MessageReader } from './grpc-wire';

/** Bytes of messages under reassembly, shared by the calls of one connection. */
export interface ObservedBytes {
  held: number;
  readonly max: number;
}

/** Copies of the first message of each direction of one call, within bounds. */
export class CallTap {
  readonly #requestReader: MessageReader;
  readonly #responseReader: MessageReader;

  constructor(
    maxMessageBytes: number,
    private readonly observed: ObservedBytes,
    /** Called once, when the request message is there, whole. */
    private readonly onRequest?: (request: Uint8Array) => void,
  ) {
    this.#requestReader = new MessageReader(maxMessageBytes, { further: 'ignore' });
    this.#responseReader = new MessageReader(maxMessageBytes, { further: 'ignore' });
  }

  request(chunk: Uint8Array): void {
    if (this.#collect(this.#requestReader, chunk)) this.onRequest?.(this.#requestReader.message());
  }

  response(chunk: Uint8Array): void {
    this.#collect(this.#responseReader, chunk);
  }

  /** The messages that arrived whole. Nothing is held after this, and nothing more is copied. */
  end(): { request?: Uint8Array; response?: Uint8Array } {
    const requestReader = this.#requestReader;
    const responseReader = this.#responseReader;
    this.observed.held -= requestReader.heldBytes + responseReader.heldBytes;
    const messages = {
      request: requestReader.complete ? requestReader.message() : undefined,
      response: responseReader.complete ? responseReader.message() : undefined,
    };
    requestReader.abandon();
    responseReader.abandon();
    return messages;
  }

  /** Whether the chunk made the message whole. */
  #collect(reader: MessageReader, chunk: Uint8Array): boolean {
    if (reader.complete || reader.problem !== undefined) return false;
    const before = reader.heldBytes;
    if (this.observed.held + chunk.length > this.observed.max) reader.abandon();
    else reader.push(chunk);
    this.observed.held += reader.heldBytes - before;
    return reader.complete;
  }
}
