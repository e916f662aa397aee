import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
import { spdyDictionary } from './dictionary';
import {
  controlFrame,
  dataHead,
  FrameParser,
  frameType,
  SpdyProtocolError,
  type SpdyFrame,
} from './frames';
import { HeaderDeflater, HeaderInflater } from './header-block';

describe('FrameParser', () => {
  const bytes = Buffer.concat([
    controlFrame(frameType.ping, Buffer.from([0, 0, 0, 1])),
    dataHead(1, 5, false),
    Buffer.from('hello'),
    controlFrame(frameType.settings, Buffer.alloc(0), 1),
    dataHead(3, 0, true),
    dataHead(5, 2, true),
    Buffer.from('!!'),
    dataHead(7, 0, false),
    controlFrame(0x7fff, Buffer.from('what is not known')),
  ]);
  /** With the pieces of a data frame put together. */
  const read = (chunks: readonly Buffer[]) => {
    const parser = new FrameParser();
    const frames: SpdyFrame[] = [];
    for (const chunk of chunks) {
      for (const frame of parser.parse(chunk)) {
        const last = frames.at(-1);
        if (frame.kind === 'data' && last?.kind === 'data' && last.streamId === frame.streamId) {
          const payload = Buffer.concat([last.payload, frame.payload]);
          frames[frames.length - 1] = { ...frame, payload };
        } else frames.push(frame);
      }
    }
    return frames;
  };
  const whole = read([bytes]);

  it('reads control frames and pieces of data frames, with the end of a stream once', () => {
    expect(whole).toEqual([
      { kind: 'control', type: 6, flags: 0, payload: Buffer.from([0, 0, 0, 1]) },
      { kind: 'data', streamId: 1, payload: Buffer.from('hello'), isLast: false },
      { kind: 'control', type: 4, flags: 1, payload: Buffer.alloc(0) },
      { kind: 'data', streamId: 3, payload: Buffer.alloc(0), isLast: true },
      { kind: 'data', streamId: 5, payload: Buffer.from('!!'), isLast: true },
      { kind: 'control', type: 0x7fff, flags: 0, payload: Buffer.from('what is not known') },
    ]);
  });

  it('reads the same however the bytes are cut', () => {
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
    }
    expect(read([...bytes].map((byte) => Buffer.from([byte])))).toEqual(whole);
  });

  it('gives what there is of a long data frame before all of it has come', () => {
    const parser = new FrameParser();
    const piece = Buffer.alloc(1000, 'x');
    const pieces = [
      ...parser.parse(dataHead(1, 2 ** 24 - 1, false)),
      ...parser.parse(piece),
      ...parser.parse(piece),
    ];
    expect(pieces.map((frame) => frame.kind === 'data' && frame.payload.length)).toEqual([
      1000, 1000,
    ]);
  });

  it.each([
    [
      'another version',
      Buffer.from([0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]),
      'version 2 is not spoken here',
    ],
    [
      'a control frame that is too long',
      Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]),
      'control frame is longer than 66560 bytes',
    ],
  ])('refuses %s', (_what, frame, message) => {
    expect(() => [...new FrameParser().parse(frame)]).toThrow(new SpdyProtocolError(message));
  });
});

describe('header blocks', () => {
  const options = { dictionary: spdyDictionary, flush: zlib.constants.Z_SYNC_FLUSH };
  const block = (...texts: string[]) => {
    const parts = [Buffer.alloc(4)];
    parts[0]!.writeUInt32BE(texts.length / 2);
    for (const text of texts) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(text));
      parts.push(length, Buffer.from(text));
    }
    return Buffer.concat(parts);
  };
  const compressor = () => {
    const deflate = zlib.createDeflate(options);
    let out: Buffer[] = [];
    deflate.on('data', (chunk: Buffer) => out.push(chunk));
    return async (bytes: Buffer) => {
      out = [];
      await new Promise<void>((resolve) => deflate.write(bytes, () => resolve()));
      return Buffer.concat(out);
    };
  };

  it('has the dictionary of the specification', () => {
    expect(spdyDictionary).toHaveLength(1423);
    expect(createHash('sha256').update(spdyDictionary).digest('hex')).toBe(
      '51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02',
    );
  });

  it('reads blocks of one compressed stream after another, with names in lower case', async () => {
    const compress = compressor();
    const inflater = new HeaderInflater();
    const given = ['streamType', 'error', 'port', '80', 'requestID', '0', 'twice', 'a\0b', 'é', ''];
    const first = await compress(block(...given));
    const second = await compress(block(...given));
    // What repeats is in the compressor's memory.
    expect(second.length).toBeLessThan(first.length);
    for (const bytes of [first, second, await compress(block())]) {
      const headers = await inflater.inflate(bytes);
      if (headers.size === 0) continue;
      expect(Object.fromEntries(headers)).toEqual({
        streamtype: 'error',
        port: '80',
        requestid: '0',
        twice: 'a',
        é: '',
      });
    }
    inflater.close();
  });

  it('writes blocks that a real zlib reads', async () => {
    const inflate = zlib.createInflate(options);
    const deflater = new HeaderDeflater();
    const read: Buffer[] = [];
    inflate.on('data', (chunk: Buffer) => read.push(chunk));
    const write = (bytes: Buffer) =>
      new Promise<void>((resolve, reject) => {
        inflate.once('error', reject);
        inflate.write(bytes, () => resolve());
      });
    await write(deflater.deflate());
    await write(deflater.deflate(new Map([['status', '200 OK']])));
    expect(Buffer.concat(read)).toEqual(Buffer.concat([block(), block('status', '200 OK')]));
  });

  it.each([
    ['what is no compressed stream', async () => Promise.resolve(Buffer.from('GET / HTTP/1.1'))],
    [
      'more than 64 KiB',
      (compress: ReturnType<typeof compressor>) => compress(block('a', 'x'.repeat(70_000))),
    ],
    [
      'a block that ends too early',
      (compress: ReturnType<typeof compressor>) => compress(block('a', 'b').subarray(0, 10)),
    ],
    [
      'a block without its count',
      (compress: ReturnType<typeof compressor>) => compress(Buffer.alloc(2)),
    ],
  ])('refuses %s', async (_what, make) => {
    const inflater = new HeaderInflater();
    await expect(inflater.inflate(await make(compressor()))).rejects.toThrow(SpdyProtocolError);
    inflater.close();
  });
});
