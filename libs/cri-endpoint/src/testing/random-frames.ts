// Frames of a client that no client sends: mostly right ones, in any order, some of them wrong.
import { buildFrame, dataFrame, headerFrames } from './build-frames';
import { HpackEncoder } from './encode-hpack';
import { clientPreface, frameType } from '../wire/frame-reader';
import { settingsFrame } from '../wire/raw-frames';

/** Share of frames that break a rule, by default: a connection then lasts for some hundred. */
const wrongShare = 0.003;

/** The bytes of one connection, frame after frame. */
export class RandomFrames {
  readonly #encoder = new HpackEncoder();
  #nextStreamId = 1;
  /** Streams whose request goes on. */
  readonly #open: number[] = [];

  /** @param random numbers from 0 to 1, the same for a seed. */
  constructor(
    private readonly random: () => number,
    private readonly paths: readonly string[],
    private readonly wrong = wrongShare,
  ) {}

  /** What a connection begins with. */
  readonly begin = Buffer.concat([clientPreface, settingsFrame()]);

  /** The next frame, or the frames of a header block. */
  next(): Buffer {
    if (this.random() < this.wrong) return this.#wrong();
    if (this.#nextStreamId === 1) return this.#call();
    const choice = this.random();
    if (choice < 0.4) return this.#call();
    if (choice < 0.6) return this.#data();
    if (choice < 0.7) return this.#window();
    if (choice < 0.75) return buildFrame(frameType.rstStream, 0, this.#anyStream(), uint32(8));
    if (choice < 0.8) return buildFrame(frameType.ping, this.#below(2), 0, Buffer.alloc(8, 7));
    if (choice < 0.82) return this.#settings();
    if (choice < 0.84) return buildFrame(frameType.priority, 0, this.#anyStream(), Buffer.alloc(5));
    return this.#data();
  }

  #below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** A stream that has been begun; the first one where there is none. */
  #anyStream(): number {
    return 1 + 2 * this.#below((this.#nextStreamId - 1) / 2);
  }

  /** A whole call, or the beginning of one. */
  #call(): Buffer {
    const streamId = this.#nextStreamId;
    this.#nextStreamId += 2;
    const block = this.#block();
    const endsHere = this.random() < 0.1;
    const form = {
      padding: this.random() < 0.1 ? this.#below(20) : undefined,
      priority: this.random() < 0.1,
      cuts: this.random() < 0.1 ? [this.#below(block.length), this.#below(block.length)] : [],
      endStream: endsHere,
    };
    const headers = headerFrames(streamId, block, form);
    if (endsHere) return headers;
    if (this.random() < 0.3) {
      this.#open.push(streamId);
      return headers;
    }
    return Buffer.concat([headers, dataFrame(streamId, this.#message(), { endStream: true })]);
  }

  /** Most blocks are ready: the encoder takes most of the time of a run. */
  #block(): Buffer {
    const path = this.paths[this.#below(this.paths.length)] ?? '';
    if (this.random() < 0.8) return plainBlock(path);
    const fields: [string, string][] = [
      [':method', this.random() < 0.99 ? 'POST' : 'GET'],
      [':scheme', 'http'],
      [':path', path],
      [':authority', this.random() < 0.5 ? 'localhost' : '/run/x.sock'],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ...(this.random() < 0.3
        ? [[`x-${this.#below(30)}`, 'v'.repeat(this.#below(200))] as [string, string]]
        : []),
    ];
    const forms = ['index', 'incremental', 'plain', 'never'] as const;
    return Buffer.concat(
      fields.map(([name, value]) =>
        this.#encoder.field({
          name,
          value,
          form: forms[this.#below(forms.length)] ?? 'plain',
          huffman: this.random() < 0.2,
          nameIndex: this.random() < 0.8,
        }),
      ),
    );
  }

  #message(): Buffer {
    const message = Buffer.alloc(5 + this.#below(40), this.#below(256));
    message[0] = this.random() < 0.97 ? 0 : 1;
    message.writeUInt32BE(message.length - 5 + (this.random() < 0.03 ? 1 : 0), 1);
    return message;
  }

  /** DATA of a request that goes on. */
  #data(): Buffer {
    const at = this.#below(this.#open.length);
    const streamId = this.#open[at];
    if (streamId === undefined) return this.#call();
    const endStream = this.random() < 0.5;
    if (endStream) this.#open.splice(at, 1);
    const padding = this.random() < 0.2 ? this.#below(100) : undefined;
    const data = this.random() < 0.5 ? this.#message() : Buffer.alloc(this.#below(50));
    return dataFrame(streamId, data, { endStream, padding });
  }

  #window(): Buffer {
    const streamId = this.random() < 0.5 ? 0 : this.#anyStream();
    return buildFrame(frameType.windowUpdate, 0, streamId, uint32(1 + this.#below(1000)));
  }

  #settings(): Buffer {
    const payload = Buffer.alloc(12);
    payload.writeUInt16BE(4, 0);
    payload.writeUInt32BE(1000 + this.#below(100_000), 2);
    payload.writeUInt16BE(0x99, 6);
    return this.random() < 0.5
      ? buildFrame(frameType.settings, 1, 0)
      : buildFrame(frameType.settings, 0, 0, payload);
  }

  /** A frame that breaks a rule, or bytes that are none. */
  #wrong(): Buffer {
    const noise = Buffer.from(Array.from({ length: this.#below(40) }, () => this.#below(256)));
    const type = this.#below(14);
    const anyStream = this.#below(this.#nextStreamId + 6);
    switch (this.#below(6)) {
      case 0:
        return noise;
      case 1:
        return buildFrame(type, this.#below(256), anyStream, noise);
      case 2:
        return buildFrame(frameType.headers, 0x4, this.#nextStreamId, noise);
      case 3:
        return buildFrame(frameType.headers, this.#below(256), anyStream, this.#block());
      case 4:
        return buildFrame(frameType.data, this.#below(256), anyStream, this.#message());
      default:
        return buildFrame(type, this.#below(256), 0, noise.subarray(0, this.#below(9)));
    }
  }
}

const plainBlocks = new Map<string, Buffer>();

/** Request headers of which nothing is in a table. */
function plainBlock(path: string): Buffer {
  let block = plainBlocks.get(path);
  if (block === undefined) {
    const encoder = new HpackEncoder();
    const field = (name: string, value: string): Buffer =>
      encoder.field({ name, value, form: 'plain', huffman: false, nameIndex: true });
    block = Buffer.concat([
      field(':method', 'POST'),
      field(':scheme', 'http'),
      field(':path', path),
      field('content-type', 'application/grpc'),
    ]);
    plainBlocks.set(path, block);
  }
  return block;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
