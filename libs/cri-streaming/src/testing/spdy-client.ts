import { connect, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import zlib from 'node:zlib';
import { spdyDictionary } from '../spdy/dictionary';
import { controlFrame, dataHead, FrameParser, frameType, numbersFrame } from '../spdy/frames';

/** A stream as the client sees it. */
export interface ClientStream {
  readonly id: number;
  /** What came so far. */
  text: string;
  bytes: number;
  isReplied: boolean;
  isEnded: boolean;
  isReset: boolean;
}

export interface SpdyClientOptions {
  readonly protocols?: readonly string[];
  /** Certificates that are trusted; absent: no TLS. */
  readonly ca?: Buffer;
  /** Sends every byte by itself. */
  readonly cutsAtEachByte?: boolean;
}

/**
 * A client of SPDY/3.1 as Kubernetes' clients are: compresses with a real zlib, waits for replies,
 * reads no windows.
 */
export class SpdyClient {
  /** Of the answer to the handshake. */
  status = 0;
  head = '';
  body = '';
  readonly streams = new Map<number, ClientStream>();
  /** Numbers of pings that were answered, and of those that the server sent. */
  readonly pings: number[] = [];
  goAway: number | undefined;
  /** The server has closed its direction, or all. */
  hasServerEnded = false;
  isClosed = false;
  readonly #parser = new FrameParser();
  readonly #deflate = zlib.createDeflate({
    dictionary: spdyDictionary,
    flush: zlib.constants.Z_SYNC_FLUSH,
  });
  readonly #inflate = zlib.createInflate({
    dictionary: spdyDictionary,
    flush: zlib.constants.Z_SYNC_FLUSH,
  });
  /** Header blocks of the server, inflated. */
  readonly replies: Buffer[] = [];
  #lastId = -1;
  #turn: Promise<void> = Promise.resolve();

  private constructor(
    readonly socket: Duplex,
    private readonly options: SpdyClientOptions,
  ) {
    socket.on('error', () => undefined);
    socket.on('close', () => (this.isClosed = true));
    socket.on('end', () => (this.hasServerEnded = true));
    this.#inflate.on('data', (chunk: Buffer) => this.replies.push(chunk));
  }

  /** Makes the handshake; the client can be used when `status` is 101. */
  static async open(url: string, options: SpdyClientOptions = {}): Promise<SpdyClient> {
    const { hostname, port, pathname, search } = new URL(url);
    const host = hostname.replace(/^\[|\]$/g, '');
    const to = { host, port: Number(port), allowHalfOpen: true };
    const socket = options.ca === undefined ? connect(to) : connectTls({ ...to, ca: options.ca });
    const client = new SpdyClient(socket, options);
    const answered = client.#readAnswer();
    const offers = (options.protocols ?? []).map(
      (name) => `X-Stream-Protocol-Version: ${name}\r\n`,
    );
    socket.write(
      `POST ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n${offers.join('')}\r\n`,
    );
    await answered;
    return client;
  }

  /** On a connection that speaks SPDY already. */
  static over(transport: Duplex): SpdyClient {
    const client = new SpdyClient(transport, {});
    transport.on('data', (frames: Buffer) => client.#receive(frames));
    return client;
  }

  /** Opens a stream; does not wait for the reply. */
  async createStream(headers: Readonly<Record<string, string>>, flags = 0): Promise<ClientStream> {
    this.#lastId += 2;
    const id = this.#lastId;
    const stream: ClientStream = {
      id,
      text: '',
      bytes: 0,
      isReplied: false,
      isEnded: false,
      isReset: false,
    };
    this.streams.set(id, stream);
    await this.sendSynStream(id, headers, flags);
    return stream;
  }

  async sendSynStream(
    id: number,
    headers: Readonly<Record<string, string>>,
    flags = 0,
  ): Promise<void> {
    const entries = Object.entries(headers);
    const parts = [uint32(entries.length)];
    for (const text of entries.flat()) {
      parts.push(uint32(Buffer.byteLength(text)), Buffer.from(text));
    }
    // One after another: the numbers must rise, and there is one compressed stream.
    this.#turn = this.#turn.then(async () => {
      const block = await this.deflate(Buffer.concat(parts));
      const payload = Buffer.concat([uint32(id), uint32(0), Buffer.alloc(2), block]);
      this.send(controlFrame(frameType.synStream, payload, flags));
    });
    await this.#turn;
  }

  /** Bytes in the compressed stream of this side's headers. */
  async deflate(bytes: Buffer): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const collect = (chunk: Buffer) => chunks.push(chunk);
    this.#deflate.on('data', collect);
    await new Promise<void>((resolve) => this.#deflate.write(bytes, () => resolve()));
    this.#deflate.off('data', collect);
    return Buffer.concat(chunks);
  }

  write(stream: ClientStream, content: string | Buffer): void {
    const bytes = Buffer.from(content);
    this.send(Buffer.concat([dataHead(stream.id, bytes.length, false), bytes]));
  }

  end(stream: ClientStream): void {
    this.send(dataHead(stream.id, 0, true));
  }

  reset(stream: ClientStream): void {
    this.send(numbersFrame(frameType.rstStream, stream.id, 5));
  }

  ping(id: number): void {
    this.send(numbersFrame(frameType.ping, id));
  }

  send(bytes: Buffer): void {
    if (this.options.cutsAtEachByte !== true) {
      this.socket.write(bytes);
      return;
    }
    if (this.socket instanceof Socket) this.socket.setNoDelay(true);
    for (const byte of bytes) this.socket.write(Buffer.from([byte]));
  }

  /** As a client does that has all it wants. */
  close(): void {
    this.socket.destroy();
    this.#deflate.close();
    this.#inflate.close();
  }

  #readAnswer(): Promise<void> {
    return new Promise((resolve) => {
      let text = Buffer.alloc(0);
      const read = (chunk: Buffer) => {
        text = Buffer.concat([text, chunk]);
        const at = text.indexOf('\r\n\r\n');
        if (at < 0) return;
        this.head = text.toString('latin1', 0, at);
        this.status = Number(/^HTTP\/1\.1 (\d+)/.exec(this.head)?.[1]);
        if (this.status !== 101) return;
        this.socket.off('data', read);
        this.socket.on('data', (frames: Buffer) => this.#receive(frames));
        const rest = text.subarray(at + 4);
        if (rest.length > 0) this.#receive(rest);
        resolve();
      };
      this.socket.on('data', read);
      this.socket.once('close', () => {
        this.body = text.toString('latin1').split('\r\n\r\n')[1] ?? '';
        resolve();
      });
      this.socket.once('end', () => {
        if (this.status !== 101) this.socket.end();
      });
    });
  }

  #receive(bytes: Buffer): void {
    for (const frame of this.#parser.parse(bytes)) {
      if (frame.kind === 'data') {
        const stream = this.streams.get(frame.streamId)!;
        stream.bytes += frame.payload.length;
        if (stream.bytes < 100_000) stream.text += frame.payload.toString('latin1');
        stream.isEnded ||= frame.isLast;
        continue;
      }
      const { type, payload } = frame;
      const stream = this.streams.get(payload.readUInt32BE() & 0x7fffffff);
      if (type === frameType.synReply) {
        this.#inflate.write(payload.subarray(4));
        stream!.isReplied = true;
      } else if (type === frameType.rstStream) stream!.isReset = true;
      else if (type === frameType.ping) this.pings.push(payload.readUInt32BE());
      else if (type === frameType.goAway) this.goAway = payload.readUInt32BE(4);
    }
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
