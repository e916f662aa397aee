import fc from 'fast-check';
import http2 from 'node:http2';
import { ConnectionReader, defaultReaderLimits, type ReaderLimits } from './connection-reader';
import { frameMessage } from './grpc-wire';
import { buildFrame, dataFrame, headerFrames } from './testing/build-frames';
import { HpackEncoder } from './testing/encode-hpack';
import {
  bytesFrom,
  capture,
  duplexPair,
  type CapturedCall,
  type Traffic,
} from './testing/http2-capture';
import type { CallSummary, ObservedCall } from './types';
import { clientPreface, frameType } from './wire/frame-reader';
import { settingsFrame } from './wire/raw-frames';

/** PADDING_STRATEGY_ALIGNED of node:http2, which its types lack. */
const aligned = 1;

type Chunk = Traffic['chunks'][number];

interface Report {
  reader: ConnectionReader;
  started: string[];
  ended: Pick<
    CallSummary,
    'method' | 'outcome' | 'grpcStatus' | 'requestBytes' | 'responseBytes'
  >[];
  calls: ObservedCall[];
  detached: string[];
}

function read(chunks: Iterable<Chunk>, limits: Partial<ReaderLimits> = {}): Report {
  const report: Omit<Report, 'reader'> = { started: [], ended: [], calls: [], detached: [] };
  const reader = new ConnectionReader(
    {
      observer: { observes: () => true, ended: (call) => report.calls.push(call) },
      calls: {
        started: (method) => report.started.push(method),
        ended: ({ method, outcome, grpcStatus, requestBytes, responseBytes }) =>
          report.ended.push({ method, outcome, grpcStatus, requestBytes, responseBytes }),
      },
      onDetached: (reason, detail) => report.detached.push(`${reason} (${detail})`),
    },
    { ...defaultReaderLimits, ...limits },
  );
  for (const { from, bytes } of chunks) {
    if (from === 'client') reader.request(bytes, 0);
    else reader.response(bytes, 0);
  }
  return { ...report, reader };
}

/** What was reported, without times. */
const facts = ({ started, ended, calls, detached }: Report) => ({
  started,
  ended,
  detached,
  calls: calls.map(({ request, response, grpcMessage }) => ({
    request: request === undefined ? undefined : Buffer.from(request).toString('hex'),
    response: response === undefined ? undefined : Buffer.from(response).toString('hex'),
    grpcMessage,
  })),
});

const text = (value: string): Buffer => frameMessage(Buffer.from(value));
const reply = (...body: Buffer[]): CapturedCall['response'] => ({
  headers: { 'content-type': 'application/grpc' },
  body,
  trailers: { 'grpc-status': '0', 'grpc-message': '' },
});

const scenario: CapturedCall[] = [
  {
    headers: { ':path': '/runtime.v1.RuntimeService/Version', 'grpc-timeout': '119999m' },
    body: [text('ask')],
    response: reply(text('answer')),
  },
  {
    headers: { ':path': '/runtime.v1.RuntimeService/Version', 'grpc-timeout': '5S' },
    body: [text('ask again').subarray(0, 3), text('ask again').subarray(3)],
    response: reply(text('').subarray(0, 4), text('').subarray(4)),
  },
  {
    headers: { ':path': '/runtime.v1.ImageService/PullImage', 'x-large': 'y'.repeat(20_000) },
    body: [text('z'.repeat(40_000))],
    response: {
      headers: { 'grpc-status': '5', 'grpc-message': 'not found: 100%25 b%C3%A4h' },
      body: [],
    },
    priority: { weight: 3, exclusive: true },
  },
  {
    headers: { ':path': '/runtime.v1.RuntimeService/ExecSync' },
    body: [text('x')],
    response: {
      informational: [{ ':status': 103, link: '</a>' }],
      headers: { 'content-type': 'application/grpc' },
      body: [],
      reset: http2.constants.NGHTTP2_INTERNAL_ERROR,
    },
  },
  {
    headers: { ':path': '/runtime.v1.RuntimeService/GetContainerEvents' },
    body: [text('')],
    response: reply(text('one'), text('two')),
  },
];

const wanted = {
  started: scenario.map(({ headers }) => headers[':path']),
  detached: [],
  ended: [
    ['completed', 0, 8, 11],
    ['completed', 0, 14, 5],
    ['completed', 5, 40_005, 0],
    ['reset', undefined, 6, 0],
    ['completed', 0, 5, 16],
  ].map(([outcome, grpcStatus, requestBytes, responseBytes], i) => ({
    method: scenario[i]?.headers[':path'],
    outcome,
    grpcStatus,
    requestBytes,
    responseBytes,
  })),
  calls: [
    { request: 'ask', response: 'answer', grpcMessage: '' },
    { request: 'ask again', response: '', grpcMessage: '' },
    {
      request: 'z'.repeat(40_000),
      response: undefined,
      grpcMessage: 'not found: 100% b\u00e4h',
    },
    { request: 'x', response: undefined, grpcMessage: undefined },
    { request: '', response: 'one', grpcMessage: '' },
  ].map(({ request, response, grpcMessage }) => ({
    request: Buffer.from(request).toString('hex'),
    response: response === undefined ? undefined : Buffer.from(response).toString('hex'),
    grpcMessage,
  })),
};

describe('reading real traffic of nghttp2', () => {
  let plain: Traffic;
  let padded: Traffic;

  beforeAll(async () => {
    plain = await capture(scenario);
    const padding = {
      paddingStrategy: aligned,
      settings: { maxHeaderListSize: 1 << 20, headerTableSize: 100 },
    };
    padded = await capture(scenario, { client: padding, server: padding });
  });

  it('reports every call with messages, status and bytes', () => {
    expect(facts(read(plain.chunks))).toEqual(wanted);
    expect(facts(read(padded.chunks))).toEqual(wanted);
  });

  it('holds nothing once the calls have ended, but the tables of HPACK', () => {
    const { reader } = read(plain.chunks);
    expect(reader.openCallCount).toBe(0);
    expect(reader.heldBytes).toBeLessThanOrEqual(2 * 4096 + 4096);
    expect(reader.responsesAtBoundary).toBe(true);
    expect(reader.serverSpoke).toBe(true);
  });

  it('reports the same when every byte comes alone', () => {
    expect(facts(read(pieces(plain.chunks, () => 1)))).toEqual(wanted);
    expect(facts(read(pieces(padded.chunks, () => 1)))).toEqual(wanted);
  });

  it('reports the same when the bytes are cut at every single place', async () => {
    // The large bodies would make this long and show nothing new.
    const small = scenario.filter((_, i) => i !== 2);
    const { chunks } = await capture(small, {
      client: { paddingStrategy: aligned },
    });
    const whole = facts(read(chunks));
    expect(whole.ended).toHaveLength(4);
    chunks.forEach((chunk, i) => {
      for (let cut = 1; cut < chunk.bytes.length; cut++) {
        const cutUp = [
          ...chunks.slice(0, i),
          { from: chunk.from, bytes: chunk.bytes.subarray(0, cut) },
          { from: chunk.from, bytes: chunk.bytes.subarray(cut) },
          ...chunks.slice(i + 1),
        ];
        expect(facts(read(cutUp))).toEqual(whole);
      }
    });
  });

  it('reports the same however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.integer({ min: 1, max: 5000 })), (sizes) => {
        expect(facts(read(pieces(padded.chunks, () => next(sizes))))).toEqual(wanted);
      }),
      { numRuns: 50 },
    );
  });

  it('knows a place between frames wherever a chunk ends', () => {
    const server = bytesFrom(plain, 'server');
    const { reader } = read([{ from: 'client', bytes: bytesFrom(plain, 'client') }]);
    const boundaries = frameEnds(server);
    server.forEach((_, i) => {
      reader.response(server.subarray(i, i + 1), 0);
      expect(reader.responsesAtBoundary).toBe(boundaries.has(i + 1));
      expect(reader.lastResponseBoundary).toBe(boundaries.has(i + 1) ? 1 : -1);
    });
    const again = read([]).reader;
    again.response(server.subarray(0, server.length - 1), 0);
    expect(again.lastResponseBoundary).toBe(
      Math.max(...[...boundaries].filter((b) => b < server.length)),
    );
  });

  it('never throws and stays within its bounds when the bytes are damaged', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            place: fc.nat(),
            kind: fc.constantFrom('flip', 'drop', 'insert', 'repeat'),
            bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
          }),
          { minLength: 1, maxLength: 4 },
        ),
        fc.infiniteStream(fc.integer({ min: 1, max: 3000 })),
        (damages, sizes) => {
          let chunks = [...plain.chunks];
          for (const { place, kind, bytes } of damages) {
            const at = place % chunks.length;
            chunks = chunks.map((chunk, i) =>
              i === at
                ? { from: chunk.from, bytes: damage(chunk.bytes, place, kind, bytes) }
                : chunk,
            );
          }
          const limits = { ...defaultReaderLimits, maxObservedMessageBytes: 50_000 };
          const { reader, started, ended, detached } = read([], limits);
          for (const { from, bytes } of pieces(chunks, () => next(sizes))) {
            if (from === 'client') reader.request(bytes, 0);
            else reader.response(bytes, 0);
            expect(reader.heldBytes).toBeLessThan(1 << 20);
          }
          expect(detached.every((reason) => !reason.startsWith('observer'))).toBe(true);
          expect(ended.length + reader.openCallCount).toBe(started.length);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('reading what a client may send', () => {
  const field = fc.record({
    name: fc.constantFrom('x-a', 'x-b', 'x-c', 'user-agent'),
    value: fc.oneof(
      fc.constantFrom('1', 'two'),
      fc.string({ unit: fc.constantFrom('a', 'Z', '~'), maxLength: 30 }),
    ),
    form: fc.constantFrom('index', 'incremental', 'plain', 'never'),
    huffman: fc.boolean(),
    nameIndex: fc.boolean(),
  });
  const form = fc.record(
    {
      padding: fc.integer({ min: 0, max: 255 }),
      priority: fc.boolean(),
      cuts: fc.array(fc.nat(120), { maxLength: 4 }),
    },
    { requiredKeys: [] },
  );
  const call = fc.record({
    method: fc.constantFrom('/a.B/C', '/runtime.v1.RuntimeService/Version', '/x'),
    fields: fc.array(field, { maxLength: 6 }),
    headers: form,
    body: fc.array(fc.tuple(fc.uint8Array({ maxLength: 60 }), form), { maxLength: 4 }),
    tableSize: fc.option(fc.integer({ min: 0, max: 4096 }), { nil: undefined }),
    noise: fc.constantFrom('none', 'ping', 'priority', 'window', 'unknown', 'settings', 'empty'),
    last: fc.constantFrom('data', 'headers', 'trailers'),
  });

  it('agrees with nghttp2 on every call, whatever the form of the frames', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { minLength: 1, maxLength: 8 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 400 })),
        async (calls, sizes) => {
          const encoder = new HpackEncoder();
          const frames = [clientPreface, settingsFrame()];
          calls.forEach(({ method, fields, headers, body, tableSize, noise, last }, i) => {
            const streamId = i * 2 + 1;
            const plain = { form: 'index', huffman: i % 2 === 0, nameIndex: true } as const;
            const block = Buffer.concat([
              ...(tableSize === undefined ? [] : [encoder.sizeUpdate(tableSize)]),
              ...[
                [':method', 'POST'],
                [':scheme', 'http'],
                [':path', method],
                [':authority', 'localhost'],
              ].map(([name = '', value = '']) => encoder.field({ name, value, ...plain })),
              ...fields.map((each) => encoder.field(each)),
            ]);
            frames.push(
              headerFrames(streamId, block, { ...headers, endStream: last === 'headers' }),
            );
            frames.push(noiseFrame(noise, streamId));
            if (last === 'headers') return;
            for (const [data, dataForm] of body) {
              frames.push(dataFrame(streamId, Buffer.from(data), dataForm));
            }
            if (last === 'data') {
              frames.push(dataFrame(streamId, Buffer.of(7), { endStream: true }));
            } else {
              const trailer = encoder.field({ name: 'x-end', value: String(i), ...plain });
              frames.push(headerFrames(streamId, trailer, { ...headers, endStream: true }));
            }
          });
          const bytes = Buffer.concat(frames);
          const reference = await whatNghttp2Saw(bytes, calls.length);
          const { reader, started, detached } = read(
            pieces([{ from: 'client', bytes }], () => next(sizes)),
          );
          expect(detached).toEqual([]);
          expect(started).toEqual(reference.map(({ path }) => path));
          const open = [...reader.openCalls()];
          expect(open.map(({ requestEnded }) => requestEnded)).toEqual(calls.map(() => true));
          reader.endAll('cancelled');
          expect(started).toHaveLength(calls.length);
          const counted = read([{ from: 'client', bytes }]);
          counted.reader.endAll('cancelled');
          expect(counted.ended.map(({ requestBytes }) => requestBytes)).toEqual(
            reference.map((seen) => seen.bytes),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  it('never throws on bytes of any kind, and holds no more than its bounds', () => {
    const limits = {
      maxHeaderBlockBytes: 4096,
      maxObservedMessageBytes: 1000,
      maxObservedConnectionBytes: 3000,
      maxStreams: 8,
    };
    const frame = fc
      .tuple(
        fc.oneof(fc.nat(10), fc.nat(255)),
        fc.oneof(fc.constantFrom(0, 1, 4, 5, 8, 0x2c, 0x2d), fc.nat(255)),
        fc.oneof(fc.nat(12), fc.nat()),
        fc.oneof(
          fc.uint8Array({ maxLength: 600 }),
          fc.constantFrom(
            Buffer.from('828684418cf1e3c2e5f23a6ba0ab90f4ff', 'hex'),
            Buffer.of(0x82),
          ),
          fc.nat(3000).map((length) => frameMessage(Buffer.alloc(length))),
        ),
      )
      .map(([type, flags, streamId, payload]) => buildFrame(type, flags, streamId, payload));
    const direction = fc.array(
      fc.oneof({ arbitrary: frame, weight: 9 }, fc.uint8Array({ maxLength: 40 })),
      {
        maxLength: 60,
      },
    );
    fc.assert(
      fc.property(
        direction,
        direction,
        fc.boolean(),
        fc.infiniteStream(fc.integer({ min: 1, max: 700 })),
        (client, server, preface, sizes) => {
          const { reader, detached } = read([], limits);
          const chunks: Chunk[] = [
            ...(preface ? [{ from: 'client' as const, bytes: clientPreface }] : []),
            ...client.flatMap((bytes, i): Chunk[] => [
              { from: 'client', bytes: Buffer.from(bytes) },
              { from: 'server', bytes: Buffer.from(server[i] ?? []) },
            ]),
          ];
          for (const { from, bytes } of pieces(chunks, () => next(sizes))) {
            if (from === 'client') reader.request(bytes, 0);
            else reader.response(bytes, 0);
            expect(reader.heldBytes).toBeLessThan(3000 + 2 * (4096 * 4 + 65_536));
            expect(reader.openCallCount).toBeLessThanOrEqual(8);
          }
          expect(detached.length).toBeLessThanOrEqual(1);
          expect(detached.join()).not.toContain('observer');
        },
      ),
      { numRuns: 800 },
    );
  });
});

describe('detaching', () => {
  const encoder = new HpackEncoder();
  const path = encoder.field({
    name: ':path',
    value: '/a.B/C',
    form: 'plain',
    huffman: false,
    nameIndex: true,
  });
  const start = [clientPreface, settingsFrame()];
  const opened = (streamId: number): Buffer => headerFrames(streamId, path);

  it.each<[string, Buffer[], RegExp]>([
    ['HTTP/1', [Buffer.from('POST / HTTP/1.1\r\nHost: x\r\n\r\n')], /^not-http2/],
    [
      'a header block that is interrupted',
      [...start, headerFrames(1, path, { cuts: [2] }).subarray(0, 11), dataFrame(1, path)],
      /^frame/,
    ],
    ['CONTINUATION of nothing', [...start, buildFrame(frameType.continuation, 4, 1)], /^frame/],
    ['HEADERS on stream 0', [...start, headerFrames(0, path)], /^frame/],
    ['an even stream', [...start, opened(2)], /^frame/],
    ['padding beyond the frame', [...start, buildFrame(0, 8, 1, Buffer.of(5, 1, 2))], /^frame/],
    [
      'header padding beyond the frame',
      [...start, buildFrame(1, 0xc, 1, Buffer.of(9, 1))],
      /^frame/,
    ],
    ['priority fields cut short', [...start, buildFrame(1, 0x24, 1, Buffer.of(0, 0))], /^frame/],
    ['a pad length without room', [...start, buildFrame(1, 0xc, 1)], /^frame/],
    ['RST_STREAM of three bytes', [...start, buildFrame(3, 0, 1, Buffer.alloc(3))], /^frame/],
    ['SETTINGS of seven bytes', [...start, buildFrame(4, 0, 0, Buffer.alloc(7))], /^frame/],
    ['PING of nine bytes', [...start, buildFrame(6, 0, 0, Buffer.alloc(9))], /^frame/],
    ['GOAWAY of four bytes', [...start, buildFrame(7, 0, 0, Buffer.alloc(4))], /^frame/],
    ['PRIORITY of four bytes', [...start, buildFrame(2, 0, 1, Buffer.alloc(4))], /^frame/],
    ['WINDOW_UPDATE of five bytes', [...start, buildFrame(8, 0, 0, Buffer.alloc(5))], /^frame/],
    [
      'PUSH_PROMISE of a client',
      [...start, buildFrame(5, 4, 1, Buffer.of(0, 0, 0, 2, 0x82))],
      /^frame/,
    ],
    ['a block that is no HPACK', [...start, headerFrames(1, Buffer.of(0x80))], /^hpack/],
    [
      'a huge HEADERS frame',
      [...start, buildFrame(1, 4, 1, Buffer.alloc(300_000))],
      /^header-size/,
    ],
    [
      'endless CONTINUATION',
      [...start, headerFrames(1, Buffer.alloc(300_000), { cuts: [100_000, 200_000] })],
      /^header-size/,
    ],
    ['too many calls', [...start, ...[1, 3, 5, 7].map(opened)], /^streams/],
  ])('of %s', (_what, frames, reason) => {
    const client = Buffer.concat([...frames, opened(99)]);
    const { reader, detached, ended, started } = read([{ from: 'client', bytes: client }], {
      maxStreams: 3,
    });
    expect(detached).toEqual([expect.stringMatching(reason)]);
    expect(reader.following).toBe(false);
    expect(reader.openCallCount).toBe(0);
    expect(reader.responsesAtBoundary).toBe(false);
    expect(ended.map(({ outcome }) => outcome)).toEqual(started.map(() => 'unobserved'));
    reader.request(client, 0);
    reader.response(client, 0);
    expect(detached).toHaveLength(1);
  });

  it('of one message, when it is compressed, too large or beyond what the connection may hold', () => {
    const big = frameMessage(Buffer.alloc(900));
    const { calls, reader } = read(
      [
        {
          from: 'client',
          bytes: Buffer.concat([
            ...start,
            opened(1),
            dataFrame(1, Buffer.of(1, 0, 0, 0, 0)),
            opened(3),
            dataFrame(3, frameMessage(Buffer.alloc(1001))),
            opened(5),
            dataFrame(5, big),
            opened(7),
            dataFrame(7, big),
            opened(9),
            dataFrame(9, text('small')),
          ]),
        },
      ],
      { maxObservedMessageBytes: 1000, maxObservedConnectionBytes: 1500 },
    );
    reader.endAll('cancelled');
    expect(calls.map(({ request }) => request?.length)).toEqual([
      undefined,
      undefined,
      900,
      undefined,
      5,
    ]);
    expect(reader.heldBytes).toBeLessThan(200);
  });

  it('of calls that are observed, their start and their end, and of no others', () => {
    const heard: string[] = [];
    const reader = new ConnectionReader(
      {
        observer: {
          observes: () => heard.length === 0,
          started: (method) => heard.push(`started ${method}`),
          ended: ({ method, outcome }) => heard.push(`${outcome} ${method}`),
        },
        calls: {},
        onDetached: () => undefined,
      },
      defaultReaderLimits,
    );
    reader.request(Buffer.concat([...start, opened(1), opened(3)]), 0);
    reader.endAll('cancelled');
    expect(heard).toEqual(['started /a.B/C', 'cancelled /a.B/C']);
  });

  it('of a listener that throws: the connection is followed all the same', () => {
    const reader = new ConnectionReader(
      {
        observer: {
          observes: () => {
            throw new Error('observes');
          },
          ended: () => undefined,
        },
        calls: {
          started: () => {
            throw new Error('started');
          },
          ended: () => {
            throw new Error('ended');
          },
        },
        onDetached: () => undefined,
      },
      defaultReaderLimits,
    );
    reader.request(Buffer.concat([...start, opened(1)]), 0);
    reader.endAll('cancelled');
    expect(reader.following).toBe(true);
  });
});

it('ends calls above the last stream of a GOAWAY, and remembers the lowest', () => {
  const encoder = new HpackEncoder();
  const path = encoder.field({
    name: ':path',
    value: '/a.B/C',
    form: 'plain',
    huffman: false,
    nameIndex: true,
  });
  const goAway = (last: number): Buffer =>
    buildFrame(7, 0, 0, Buffer.of(0, 0, 0, last, 0, 0, 0, 0));
  const { reader, ended } = read([
    {
      from: 'client',
      bytes: Buffer.concat([
        clientPreface,
        settingsFrame(),
        ...[1, 3, 5].map((id) => headerFrames(id, path)),
      ]),
    },
    { from: 'server', bytes: Buffer.concat([settingsFrame(), goAway(3)]) },
  ]);
  expect(ended.map(({ outcome }) => outcome)).toEqual(['reset']);
  expect(reader.openCallCount).toBe(2);
  expect(reader.serverGoAway).toBe(3);
  reader.response(goAway(9), 0);
  expect(reader.serverGoAway).toBe(3);
  expect(reader.lastStreamId).toBe(5);
});

const next = (sizes: fc.Stream<number>): number => sizes.next().value as number;

function* pieces(chunks: Iterable<Chunk>, size: () => number): Generator<Chunk> {
  for (const { from, bytes } of chunks) {
    for (let at = 0; at < bytes.length;) {
      const end = at + size();
      yield { from, bytes: bytes.subarray(at, end) };
      at = end;
    }
  }
}

/** Offsets at which a frame ends that leaves no header block open. */
function frameEnds(bytes: Buffer): Set<number> {
  const ends = new Set<number>();
  for (let at = 0; at + 9 <= bytes.length;) {
    const type = bytes[at + 3] ?? 0;
    const open = (type === 1 || type === 5 || type === 9) && ((bytes[at + 4] ?? 0) & 4) === 0;
    at += 9 + bytes.readUIntBE(at, 3);
    if (!open) ends.add(at);
  }
  return ends;
}

function damage(bytes: Buffer, place: number, kind: string, by: Uint8Array): Buffer {
  const at = place % Math.max(1, bytes.length);
  switch (kind) {
    case 'flip': {
      const out = Buffer.from(bytes);
      by.forEach((byte, i) => {
        if (at + i < out.length) out[at + i] = (out[at + i] ?? 0) ^ byte;
      });
      return out;
    }
    case 'drop':
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + by.length)]);
    case 'insert':
      return Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(at)]);
    default:
      return Buffer.concat([bytes, bytes.subarray(at)]);
  }
}

function noiseFrame(kind: string, streamId: number): Buffer {
  switch (kind) {
    case 'ping':
      return buildFrame(frameType.ping, 0, 0, Buffer.alloc(8, 1));
    case 'priority':
      return buildFrame(frameType.priority, 0, streamId, Buffer.of(0, 0, 0, 0, 3));
    case 'window':
      return buildFrame(frameType.windowUpdate, 0, 0, Buffer.of(0, 0, 1, 0));
    case 'unknown':
      return buildFrame(0xbe, 0xff, 0, Buffer.alloc(30, 3));
    case 'settings':
      return buildFrame(frameType.settings, 0, 0, Buffer.of(0, 3, 0, 0, 0, 100));
    case 'empty':
      return buildFrame(frameType.settings, 0, 0);
    default:
      return Buffer.alloc(0);
  }
}

/** Gives the bytes to a node:http2 server: paths and body bytes of the calls it saw. */
async function whatNghttp2Saw(
  bytes: Buffer,
  count: number,
): Promise<{ path: string; bytes: number }[]> {
  const { client, server: end } = duplexPair();
  const server = http2.createServer();
  const seen: { path: string; bytes: number }[] = [];
  let ended = 0;
  await new Promise<void>((resolve, reject) => {
    server.on('sessionError', reject);
    server.on('stream', (stream, headers) => {
      const entry = { path: headers[':path'] ?? '', bytes: 0 };
      seen.push(entry);
      stream.on('error', reject);
      stream.on('data', (chunk: Buffer) => (entry.bytes += chunk.length));
      stream.on('end', () => {
        if (++ended === count) resolve();
      });
    });
    server.emit('connection', end);
    client.resume();
    client.write(bytes);
  });
  client.destroy();
  end.destroy();
  return seen;
}
