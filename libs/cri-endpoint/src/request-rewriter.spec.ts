import http2 from 'node:http2';
import { ConnectionReader, defaultReaderLimits } from './connection-reader';
import { RequestRewriter } from './request-rewriter';
import { buildFrame, headerFrames } from './testing/build-frames';
import { encodeHuffman } from './testing/encode-huffman';
import { bytesFrom, capture, type CapturedCall, duplexPair } from './testing/http2-capture';
import { HpackDecoder } from './wire/hpack-decoder';
import { clientPreface, frameFlag, frameType } from './wire/frame-reader';

/** PADDING_STRATEGY_ALIGNED of node:http2, which its types lack. */
const aligned = 1;
const toOld = (path: string) => path.replace('/runtime.v1.', '/runtime.v1alpha2.');

const call = (
  path: string,
  more: Record<string, string | string[]> = {},
  body = 'hello',
): CapturedCall => ({
  headers: { ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...more },
  body: [Buffer.from([0, 0, 0, 0, body.length]), Buffer.from(body)],
  response: { headers: { ':status': '200' }, body: [], trailers: { 'grpc-status': '0' } },
});

const calls: CapturedCall[] = [
  call('/other.Service/First', { 'x-a': 'one' }),
  call('/runtime.v1.RuntimeService/Version', { 'x-a': 'one', 'x-b': ['two', 'three'] }),
  {
    ...call('/runtime.v1.RuntimeService/Version', { 'x-a': 'one' }),
    priority: { weight: 9, exclusive: false },
  },
  call('/other.Service/Last', { 'x-long': 'l'.repeat(40_000), 'x-a': 'one' }),
  call('/runtime.v1.RuntimeService/Status', { 'x-b-bin': 'w6TDtg==' }),
];

/** All that a stream of client bytes says, without how it is put into frames. */
function said(bytes: Buffer) {
  const decoder = new HpackDecoder(1 << 16);
  const fields: [string, string][][] = [];
  const frames: string[] = [];
  let at = clientPreface.length;
  let block = Buffer.alloc(0);
  expect(bytes.subarray(0, at).equals(clientPreface)).toBe(true);
  while (at < bytes.length) {
    const length = bytes.readUIntBE(at, 3);
    const [type = 0, flags = 0] = bytes.subarray(at + 3);
    const streamId = bytes.readUInt32BE(at + 5);
    let payload = bytes.subarray(at + 9, at + 9 + length);
    at += 9 + length;
    if (type === frameType.headers || type === frameType.continuation) {
      let facts = '';
      if (type === frameType.headers) {
        if ((flags & frameFlag.padded) !== 0)
          payload = payload.subarray(1, length - (payload[0] ?? 0));
        if ((flags & frameFlag.priority) !== 0) {
          facts = payload.subarray(0, 5).toString('hex');
          payload = payload.subarray(5);
        }
        frames.push(`headers ${streamId} ${flags & frameFlag.endStream} ${facts}`);
      }
      block = Buffer.concat([block, payload]);
      if ((flags & frameFlag.endHeaders) === 0) continue;
      const list: [string, string][] = [];
      decoder.decode(block, 0, block.length, (name, value) => list.push([name, value]));
      fields.push(list);
      block = Buffer.alloc(0);
    } else {
      frames.push(`${type} ${flags} ${streamId} ${payload.toString('hex')}`);
    }
  }
  return { fields, frames };
}

const rewritten = (chunks: readonly Buffer[], path: (method: string) => string) => {
  const rewriter = new RequestRewriter({ path }, defaultReaderLimits);
  const out = chunks.flatMap((chunk) => rewriter.push(chunk));
  return { rewriter, bytes: Buffer.concat(out) };
};

/** A reader that nobody listens to. */
const silentReader = () =>
  new ConnectionReader(
    {
      observer: { observes: () => false, ended: () => undefined },
      calls: {},
      onDetached: () => undefined,
    },
    defaultReaderLimits,
  );

/**
 * The same where blocks are decoded from the first path with a prefix on, beside a reader as in a
 * piped connection.
 */
const rewrittenOnSight = (chunks: readonly Buffer[], prefix: string, paths?: string[]) => {
  const reader = silentReader();
  const path = (value: string) => {
    paths?.push(value);
    return value.startsWith(prefix) ? toOld(value) : value;
  };
  const decoder = () => reader.requestDecoder();
  const rewriter = new RequestRewriter({ path }, defaultReaderLimits, { prefix, decoder });
  const out = chunks.flatMap((chunk) => {
    const parts = rewriter.push(chunk);
    reader.request(chunk, 0);
    return parts;
  });
  return { rewriter, bytes: Buffer.concat(out) };
};

const cutAt = (bytes: Buffer, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );

describe('RequestRewriter', () => {
  let bytes: Buffer;

  beforeAll(async () => {
    const limits = {
      paddingStrategy: aligned,
      settings: { headerTableSize: 200, maxHeaderListSize: 1 << 20 },
    };
    bytes = bytesFrom(await capture(calls, { client: limits, server: limits }), 'client');
  });

  it('changes the paths that it should, and nothing else of what the client sends', () => {
    const before = said(bytes);
    const { rewriter, bytes: sent } = rewritten([bytes], toOld);
    const after = said(sent);
    expect(after.frames).toEqual(before.frames);
    expect(after.fields).toEqual(
      before.fields.map((list) =>
        list.map(([name, value]) => [name, name === ':path' ? toOld(value) : value]),
      ),
    );
    expect(before.fields.flat().filter(([name]) => name === ':path')).toHaveLength(calls.length);
    expect(rewriter.broken).toBe(false);
  });

  it('sends on the very bytes while no path changes, however they are cut', () => {
    for (const size of [1, 2, 7, 100, 5000, bytes.length]) {
      expect(rewritten(cutAt(bytes, size), (path) => path).bytes.equals(bytes)).toBe(true);
    }
  });

  it('says the same however the bytes are cut', () => {
    const whole = rewritten([bytes], toOld).bytes;
    for (const size of [1, 2, 3, 8, 9, 10, 64, 1000, 16_384]) {
      expect(rewritten(cutAt(bytes, size), toOld).bytes.equals(whole)).toBe(true);
    }
  });

  it('holds no bytes of other frames back', () => {
    const rewriter = new RequestRewriter({ path: toOld }, defaultReaderLimits);
    rewriter.push(clientPreface);
    const data = buildFrame(frameType.data, 0, 1, Buffer.alloc(1000));
    expect(rewriter.push(data.subarray(0, 500))).toEqual([data.subarray(0, 500)]);
    expect(rewriter.push(data.subarray(500))).toEqual([data.subarray(500)]);
  });

  it('is understood by nghttp2, which was promised a smaller table in between', async () => {
    const seen: string[] = [];
    const pair = duplexPair();
    const rewriter = new RequestRewriter({ path: toOld }, defaultReaderLimits);
    const between = duplexPair();
    pair.server.on('data', (chunk: Buffer) => {
      for (const part of rewriter.push(chunk)) between.client.write(part);
    });
    between.client.on('data', (chunk: Buffer) => pair.server.write(chunk));
    const server = http2.createServer();
    server.on('session', (session) => session.settings({ headerTableSize: 0 }));
    server.on('stream', (stream, headers) => {
      seen.push(`${String(headers[':path'])} ${String(headers['x-n'])}`);
      stream.respond({ ':status': 200 }, { endStream: true });
    });
    server.emit('connection', between.server);
    const session = http2.connect('http://localhost', { createConnection: () => pair.client });
    for (let n = 0; n < 4; n++) {
      const path = n === 0 ? '/other.Service/First' : '/runtime.v1.RuntimeService/Version';
      const stream = session.request({ ':path': path, 'x-n': String(n) });
      stream.resume();
      await new Promise((resolve) => stream.once('close', resolve));
    }
    session.destroy();
    server.close();
    expect(seen).toEqual([
      '/other.Service/First 0',
      ...[1, 2, 3].map((n) => `/runtime.v1alpha2.RuntimeService/Version ${n}`),
    ]);
  });

  const path = (value: string) =>
    Buffer.concat([Buffer.of(0x04, value.length), Buffer.from(value, 'latin1')]);
  const request = headerFrames(1, path('/runtime.v1.A/B'));

  it.each([
    [
      'a header block that cannot be decoded',
      headerFrames(3, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff)),
    ],
    [
      'an interrupted header block',
      Buffer.concat([
        headerFrames(3, path('/a'), { cuts: [1] }).subarray(0, 10),
        buildFrame(frameType.ping, 0, 0, Buffer.alloc(8)),
      ]),
    ],
    ['CONTINUATION of nothing', buildFrame(frameType.continuation, frameFlag.endHeaders, 3)],
    ['PUSH_PROMISE', buildFrame(frameType.pushPromise, frameFlag.endHeaders, 3, Buffer.alloc(4))],
    [
      'a header block above the bound',
      headerFrames(3, Buffer.alloc(300_000, 0x82), {
        cuts: Array.from({ length: 20 }, (_, i) => (i + 1) * 16_000),
      }),
    ],
    [
      'padding that exceeds the frame',
      buildFrame(frameType.headers, frameFlag.endHeaders | frameFlag.padded, 3, Buffer.of(9, 0x82)),
    ],
    [
      'too many frames of one block',
      Buffer.concat([
        buildFrame(frameType.headers, 0, 3),
        ...Array.from({ length: 200 }, () => buildFrame(frameType.continuation, 0, 3)),
      ]),
    ],
  ])('%s passes as it is before a change, and ends the connection after one', (_what, wrong) => {
    const tail = Buffer.from('tail');
    const before = rewritten([clientPreface, wrong, tail], toOld);
    expect(before.bytes.equals(Buffer.concat([clientPreface, wrong, tail]))).toBe(true);
    expect(before.rewriter.broken).toBe(false);
    const after = rewritten([clientPreface, request, wrong, tail], toOld);
    expect(after.rewriter.broken).toBe(true);
    expect(after.bytes.length).toBeLessThan(clientPreface.length + 100);
  });

  describe('that decodes from the first path with a prefix on', () => {
    const prefix = '/runtime.v1.';

    it.each([1, 2, 3, 8, 9, 10, 64, 1000, 16_384, 1 << 20])(
      'sends what one sends that decodes every block, in chunks of %i bytes',
      (size) => {
        const whole = rewritten([bytes], toOld).bytes;
        expect(rewrittenOnSight(cutAt(bytes, size), prefix).bytes.equals(whole)).toBe(true);
      },
    );

    it('sends on the very bytes, and asks for no path, while no path begins so', () => {
      const paths: string[] = [];
      const sent = rewrittenOnSight(cutAt(bytes, 100), '/runtime.v1alpha2.', paths);
      expect(sent.bytes.equals(bytes)).toBe(true);
      expect(paths).toEqual([]);
      expect(sent.rewriter.changed).toBe(false);
    });

    it.each([
      ['in full', (text: Buffer) => text, 0],
      ['in Huffman code', encodeHuffman, 0x80],
    ])('finds a path that stands there %s, and later by its index', (_how, encode, huffman) => {
      const literal = (text: string) => {
        const value = encode(Buffer.from(text, 'latin1'));
        return Buffer.concat([Buffer.of(0x44, huffman | value.length), value]);
      };
      const requests = [
        headerFrames(1, literal('/other.Service/First')),
        headerFrames(3, literal('/runtime.v1.RuntimeService/Version')),
        headerFrames(5, Buffer.of(0xbe)),
        headerFrames(7, Buffer.of(0xbf)),
      ];
      const paths: string[] = [];
      const sent = rewrittenOnSight([clientPreface, ...requests], prefix, paths);
      expect(
        said(sent.bytes)
          .fields.flat()
          .map(([, value]) => value),
      ).toEqual([
        '/other.Service/First',
        '/runtime.v1alpha2.RuntimeService/Version',
        '/runtime.v1alpha2.RuntimeService/Version',
        '/other.Service/First',
      ]);
      // The first block was passed on unread.
      expect(paths).toHaveLength(3);
    });

    it('passes such a path as it is where the reader has detached before', () => {
      const broken = headerFrames(1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff));
      const sent = rewrittenOnSight([clientPreface, broken, request], prefix);
      expect(sent.bytes.equals(Buffer.concat([clientPreface, broken, request]))).toBe(true);
      expect(sent.rewriter.passing).toBe(true);
    });
  });

  it('passes another protocol', () => {
    const other = Buffer.from('GET / HTTP/1.1\r\n\r\n');
    expect(rewritten([other, other], toOld).bytes.equals(Buffer.concat([other, other]))).toBe(true);
  });

  it('leaves a path as it is when asking for another throws', () => {
    const { bytes: sent } = rewritten([clientPreface, request], () => {
      throw new Error('no');
    });
    expect(sent.equals(Buffer.concat([clientPreface, request]))).toBe(true);
  });

  it('is read by the passive reader as the calls they are', () => {
    const methods: string[] = [];
    const reader = new ConnectionReader(
      {
        observer: { observes: () => false, ended: () => undefined },
        calls: { started: (method) => methods.push(method) },
        onDetached: (reason) => methods.push(reason),
      },
      defaultReaderLimits,
    );
    reader.request(rewritten([bytes], toOld).bytes, 0);
    expect(methods).toEqual(calls.map(({ headers }) => toOld(String(headers[':path']))));
  });
});
