import { randomBytes } from 'node:crypto';
import { request } from 'node:https';
import type { Duplex } from 'node:stream';

export interface WebSocketCall {
  readonly port: number;
  readonly path: string;
  /** Subprotocol: `v4.channel.k8s.io` for exec and attach, `portforward.k8s.io` … */
  readonly protocol: string;
  /** What is sent on channel 0. */
  readonly input?: string;
  /**
   * When enough has come: the call is then ended from here. Default: when the other side ends it.
   */
  readonly until?: (channels: Channels) => boolean;
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

/** What came on each channel: 1 is standard output, 2 standard error, 3 how the command ended. */
export type Channels = Readonly<Record<number, string>>;

/**
 * Makes one call of kubelet's streaming API (exec, attach, port-forward) over a WebSocket and
 * returns what came until the other side closed it. Rejects when it is refused, with the status, or
 * not closed in time. Only what kubelet sends is understood: whole binary frames.
 */
export function callWebSocket({
  port,
  path,
  protocol,
  input,
  until = () => false,
  signal,
  timeoutMs = 20_000,
}: WebSocketCall): Promise<Channels> {
  return new Promise((resolve, reject) => {
    const asked = request({
      ...{ host: '127.0.0.1', port, path, agent: false, rejectUnauthorized: false },
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
        'sec-websocket-protocol': protocol,
      },
    });
    asked.on('error', reject);
    asked.on('response', (response) => {
      response.resume();
      reject(new Error(`kubelet answered ${path} with ${response.statusCode ?? '?'}`));
    });
    asked.on('upgrade', (_response, socket: Duplex, head: Buffer) => {
      const channels: Record<number, string> = {};
      const frames = new FrameReader((opcode, payload) => {
        if (opcode === 8) socket.end();
        const channel = payload[0];
        if (opcode > 2 || channel === undefined) return;
        channels[channel] = (channels[channel] ?? '') + payload.subarray(1).toString('latin1');
        if (until(channels)) socket.end();
      });
      socket.on('data', (bytes: Buffer) => frames.read(bytes));
      socket.on('error', reject);
      socket.on('close', () => resolve(channels));
      frames.read(head);
      if (input !== undefined) socket.write(frame(Buffer.from(`\0${input}`)));
      asked.on('error', () => socket.destroy());
    });
    asked.end();
  });
}

/** A binary frame as a client sends it, masked with zeros. */
function frame(payload: Buffer): Buffer {
  if (payload.length > 125) throw new RangeError('a frame of more than 125 bytes');
  return Buffer.concat([Buffer.from([0x82, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

class FrameReader {
  #bytes = Buffer.alloc(0);

  constructor(private readonly onFrame: (opcode: number, payload: Buffer) => void) {}

  read(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (;;) {
      const [first, second] = this.#bytes;
      if (first === undefined || second === undefined) return;
      const short = second & 0x7f;
      const start = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (this.#bytes.length < start) return;
      let length = short;
      if (short === 126) length = this.#bytes.readUInt16BE(2);
      if (short === 127) length = Number(this.#bytes.readBigUInt64BE(2));
      if (this.#bytes.length < start + length) return;
      this.onFrame(first & 0x0f, this.#bytes.subarray(start, start + length));
      this.#bytes = this.#bytes.subarray(start + length);
    }
  }
}
