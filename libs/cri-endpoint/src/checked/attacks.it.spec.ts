import { PermissionDeniedError } from '@stowage/errors';
import { createCheckedEndpoint } from '../checked-endpoint';
import { buildFrame, dataFrame, headerFrames } from '../testing/build-frames';
import { HpackEncoder } from '../testing/encode-hpack';
import { emptyMessage, FrameClient } from '../testing/frame-client';
import {
  methodPath,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
  type TestServer,
} from '../testing/grpc-peers';
import type { CallSummary, Endpoint } from '../types';
import { frameFlag, frameType } from '../wire/frame-reader';
import { settingsAckFrame, settingsFrame } from '../wire/raw-frames';

const echo = methodPath('Echo');
const refused = methodPath('Hang');
const mebibyte = 1024 * 1024;
const seconds = 1000;

const code = {
  none: 0,
  protocol: 1,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  compression: 9,
  calm: 11,
};

describe('clients that attack a checked endpoint', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: TestServer;
  let endpoint: Endpoint;
  let summaries: CallSummary[];
  const clients: { close(): void }[] = [];

  beforeEach(async () => {
    folder = temporaryFolder();
    server = await startTestServer(folder.file('rt.sock'));
    summaries = [];
    endpoint = await createCheckedEndpoint({
      socketPath: folder.file('gw.sock'),
      upstream: { address: () => server.socketPath },
      handlers: {},
      admit: (method) => {
        if (method === refused) throw new PermissionDeniedError(method, 'no');
        return method === echo ? (request) => Buffer.from(request) : undefined;
      },
      maxRequestBytes: mebibyte,
      calls: { ended: (call) => summaries.push(call) },
    });
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await endpoint.close();
    server.kill();
    folder.remove();
  });

  const frames = (): FrameClient => {
    const client = new FrameClient(endpoint.socketPath);
    clients.push({ close: () => client.leave() });
    return client;
  };
  const begun = async (): Promise<FrameClient> => {
    const client = frames();
    await client.begin();
    client.write(settingsAckFrame());
    return client;
  };
  /** Somebody else is served, and soon. */
  const servesOthers = async (): Promise<void> => {
    const client = new TestClient(endpoint.socketPath);
    const began = performance.now();
    expect(
      await client.unary(echo, 'hello', { deadline: Date.now() + 20 * seconds }),
    ).toMatchObject({
      code: 0,
    });
    expect(performance.now() - began).toBeLessThan(10 * seconds);
    client.close();
  };
  const endsWith = async (client: FrameClient, expected: number): Promise<void> => {
    await until('the connection is closed', () => client.closed);
    expect(client.received(frameType.goAway).at(-1)?.payload.readUInt32BE(4)).toBe(expected);
  };
  const call = (client: FrameClient): Buffer[] => [
    client.headers(echo),
    dataFrame(1, emptyMessage, { endStream: true }),
  ];
  const bomb = (fields: number): Buffer => {
    const encoder = new HpackEncoder();
    const field = { name: 'x-bomb', value: 'b'.repeat(4_000), huffman: false, nameIndex: false };
    const first = encoder.field({ ...field, form: 'incremental' });
    return Buffer.concat([first, Buffer.alloc(fields, encoder.field({ ...field, form: 'index' }))]);
  };

  describe('by frames that are wrong', () => {
    const wrong: Record<string, [frames: (client: FrameClient) => Buffer[], code: number]> = {
      'another protocol': [() => [Buffer.from('GET / HTTP/1.1\r\n\r\n')], code.protocol],
      'no SETTINGS': [
        () => [
          FrameClient.start.subarray(0, 24),
          buildFrame(frameType.ping, 0, 0, Buffer.alloc(8)),
        ],
        code.protocol,
      ],
      'a type that is not known': [() => [buildFrame(0x20, 0, 0)], code.protocol],
      PUSH_PROMISE: [(c) => [headers(c, frameType.pushPromise)], code.protocol],
      'a frame that is too large': [
        () => [buildFrame(frameType.data, 0, 1, Buffer.alloc(16_385))],
        code.frameSize,
      ],
      'DATA on stream 0': [() => [dataFrame(0, emptyMessage)], code.protocol],
      'DATA of a call that was not begun': [() => [dataFrame(5, emptyMessage)], code.protocol],
      'DATA after the end of a request': [
        (c) => [
          headerFrames(1, c.block(methodPath('HeaderThenHang')), { endStream: true }),
          dataFrame(1, emptyMessage),
        ],
        code.streamClosed,
      ],
      'padding that exceeds DATA': [
        (c) => [c.headers(echo), buildFrame(frameType.data, frameFlag.padded, 1, Buffer.of(5, 1))],
        code.protocol,
      ],
      'no room for the length of padding': [
        (c) => [c.headers(echo), buildFrame(frameType.data, frameFlag.padded, 1)],
        code.frameSize,
      ],
      'HEADERS on an even stream': [(c) => [headerFrames(2, c.block(echo))], code.protocol],
      'HEADERS on a stream that is over': [
        (c) => [headerFrames(5, c.block(refused)), headerFrames(3, c.block(echo))],
        code.protocol,
      ],
      'headers that cannot be decoded': [
        () => [headerFrames(1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff))],
        code.compression,
      ],
      'an index that is not there': [
        () => [headerFrames(1, Buffer.of(0xbe + 5))],
        code.compression,
      ],
      'a table larger than allowed': [
        () => [headerFrames(1, new HpackEncoder().sizeUpdate(4_097))],
        code.compression,
      ],
      'a header block that is interrupted': [
        (c) => [buildFrame(frameType.headers, 0, 1, c.block(echo)), settingsAckFrame()],
        code.protocol,
      ],
      'CONTINUATION of nothing': [
        () => [buildFrame(frameType.continuation, frameFlag.endHeaders, 1)],
        code.protocol,
      ],
      'RST_STREAM of a call that was not begun': [(c) => [c.reset(7)], code.protocol],
      'RST_STREAM of 3 bytes': [
        () => [buildFrame(frameType.rstStream, 0, 1, Buffer.alloc(3))],
        code.frameSize,
      ],
      'WINDOW_UPDATE of nothing': [() => [window(0, 0)], code.protocol],
      'WINDOW_UPDATE of a call that was not begun': [() => [window(9, 1)], code.protocol],
      'a window that is too large': [() => [window(0, 0x7fffffff)], code.flowControl],
      'SETTINGS with a window that is too large': [
        () => [setting(4, 0x80000000)],
        code.flowControl,
      ],
      'SETTINGS of 5 bytes': [
        () => [buildFrame(frameType.settings, 0, 0, Buffer.alloc(5))],
        code.frameSize,
      ],
      'an acknowledgement with content': [
        () => [buildFrame(frameType.settings, frameFlag.ack, 0, Buffer.alloc(6))],
        code.frameSize,
      ],
      'SETTINGS of a stream': [() => [buildFrame(frameType.settings, 0, 1)], code.protocol],
      'a PING of 3 bytes': [
        () => [buildFrame(frameType.ping, 0, 0, Buffer.alloc(3))],
        code.frameSize,
      ],
      'a PING of a stream': [
        () => [buildFrame(frameType.ping, 0, 1, Buffer.alloc(8))],
        code.protocol,
      ],
    };
    const headers = (client: FrameClient, type: number): Buffer =>
      buildFrame(type, frameFlag.endHeaders, 1, client.block(echo));

    it.each(Object.keys(wrong))(
      '%s: the connection ends, and nothing more of it counts',
      async (name) => {
        const [made, expected] = wrong[name] ?? [() => [], -1];
        const client = frames();
        const isFirst = name === 'another protocol' || name === 'no SETTINGS';
        // A call after it is not made any more.
        const after = [client.headers(echo)];
        client.write(...(isFirst ? [] : [FrameClient.start]), ...made(client), ...after);
        await endsWith(client, expected);
        expect(endpoint.stats().detached).toEqual({ protocol: 1 });
        expect(server.seen.filter(({ method }) => method === echo)).toEqual([]);
        await servesOthers();
      },
    );

    it.each([
      [
        'no :path',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
        ],
      ],
      [
        'two of :path',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', echo],
          [':path', refused],
        ],
      ],
      [
        ':path after another field',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          ['te', 'trailers'],
          [':path', echo],
        ],
      ],
      [
        'a space in :path',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', `${echo} x`],
        ],
      ],
      [
        ':path with a byte above ASCII',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', `${echo}\xe9`],
        ],
      ],
      [
        'a pseudo header nobody knows',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', echo],
          [':x', 'y'],
        ],
      ],
      [
        'a name in capitals',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', echo],
          ['X-A', 'y'],
        ],
      ],
      [
        'a line break in a value',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', echo],
          ['x-a', 'y\nx: y'],
        ],
      ],
      [
        'a name with a colon',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', echo],
          ['x:a', 'y'],
        ],
      ],
      [
        'transfer-encoding',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', echo],
          ['transfer-encoding', 'chunked'],
        ],
      ],
      [
        'te of something else',
        [
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', echo],
          ['te', 'gzip'],
        ],
      ],
    ] as [string, [string, string][]][])(
      'a request with %s is reset, and no other',
      async (_what, fields) => {
        const client = await begun();
        const encoder = new HpackEncoder();
        const block = Buffer.concat(
          fields.map(([name, value]) =>
            encoder.field({ name, value, form: 'plain', huffman: false, nameIndex: true }),
          ),
        );
        client.write(headerFrames(client.nextStreamId(), block, { endStream: true }));
        const next = client.call(echo);
        await until('the other is answered', () => client.isAnswered(next));
        expect(client.received(frameType.rstStream, 1)[0]?.payload.readUInt32BE(0)).toBe(
          code.protocol,
        );
        expect(server.seen).toHaveLength(1);
      },
    );
  });

  describe('by more than is good', () => {
    it('rapid reset: is sent away without an error, and the runtime gets few of the calls', async () => {
      const client = await begun();
      for (let round = 0; round < 100; round++) {
        const calls = Array.from({ length: 200 }, () => {
          const streamId = client.nextStreamId();
          return Buffer.concat([
            headerFrames(streamId, client.block(methodPath('Sum'))),
            client.reset(streamId),
          ]);
        });
        client.write(...calls);
      }
      await endsWith(client, code.none);
      // Of 20 000: 500 at once and what another 500 take, and some of a second.
      expect(server.seen.length).toBeLessThan(1_500);
      expect(endpoint.stats().callsInFlight).toBe(0);
      await servesOthers();
    });

    it('rapid reset of calls whose request is looked at first: the runtime gets none', async () => {
      const client = await begun();
      for (let i = 0; i < 400; i++) {
        const streamId = client.nextStreamId();
        client.write(headerFrames(streamId, client.block(echo)), client.reset(streamId));
      }
      const last = client.call(echo);
      await until('the last is answered', () => client.isAnswered(last));
      expect(server.seen).toHaveLength(1);
    });

    const flood = (frame: Buffer, count: number): Buffer =>
      Buffer.concat(Array.from({ length: count }, () => frame));
    const floods: Record<string, (client: FrameClient) => Buffer> = {
      'CONTINUATION without an end': (client) =>
        Buffer.concat([
          buildFrame(frameType.headers, 0, 1, client.block(echo)),
          flood(buildFrame(frameType.continuation, 0, 1, Buffer.alloc(0)), 10_000),
        ]),
      'CONTINUATION with content': (client) =>
        Buffer.concat([
          buildFrame(frameType.headers, 0, 1, client.block(echo)),
          flood(buildFrame(frameType.continuation, 0, 1, Buffer.alloc(16_000)), 100),
        ]),
      SETTINGS: () => flood(setting(4, 70_000), 10_000),
      'SETTINGS that change': () =>
        Buffer.concat(Array.from({ length: 10_000 }, (_, i) => setting(4, 70_000 + i))),
      PING: () => flood(buildFrame(frameType.ping, 0, 0, Buffer.alloc(8)), 100_000),
      PRIORITY: () => flood(buildFrame(frameType.priority, 0, 1, Buffer.alloc(5)), 100_000),
      'WINDOW_UPDATE of a byte': () => flood(window(0, 1), 100_000),
      'empty DATA': (client) =>
        Buffer.concat([
          client.headers(methodPath('Sum')),
          flood(dataFrame(1, Buffer.alloc(0)), 100_000),
        ]),
      'DATA of a call that is over': (client) =>
        Buffer.concat([client.headers(refused), flood(dataFrame(1, Buffer.alloc(1)), 100_000)]),
      'calls beyond the limit': (client) => {
        const block = client.block(methodPath('Sum'));
        return Buffer.concat(
          Array.from({ length: 20_000 }, () => headerFrames(client.nextStreamId(), block)),
        );
      },
      'requests that are malformed': (client) =>
        Buffer.concat(
          Array.from({ length: 20_000 }, () =>
            headerFrames(client.nextStreamId(), Buffer.of(0x83), { endStream: true }),
          ),
        ),
    };

    it.each(Object.keys(floods))('a flood of %s: the connection ends', async (name) => {
      const client = await begun();
      const streamId = client.call(methodPath('Big'));
      await until('a call', () => client.isAnswered(streamId));
      const other = await begun();
      other.write(floods[name]?.(other) ?? Buffer.alloc(0));
      await endsWith(other, code.calm);
      expect(endpoint.stats().detached).toEqual({ protocol: 1 });
      await servesOthers();
    });

    it('a header bomb is refused, and the connection goes on', async () => {
      const client = await begun();
      const before = process.memoryUsage().rss;
      for (let i = 0; i < 20; i++) {
        const block = Buffer.concat([client.block(echo), bomb(10_000)]);
        client.write(headerFrames(client.nextStreamId(), block, { endStream: true }));
      }
      const next = client.call(echo);
      await until('the next is answered', () => client.isAnswered(next));
      expect(server.seen).toHaveLength(1);
      await until('the summaries', () => summaries.length === 21);
      expect(new Set(summaries.slice(0, 20).map(({ grpcStatus }) => grpcStatus))).toEqual(
        new Set([8]),
      );
      // 20 times 40 MB of fields.
      expect(process.memoryUsage().rss - before).toBeLessThan(150 * mebibyte);
    });

    it('one that gives no window holds nothing here but its calls', async () => {
      const before = process.memoryUsage().rss;
      const client = frames();
      client.write(FrameClient.start, setting(4, 0), settingsAckFrame());
      const block = client.block(methodPath('Big'));
      const ask = Buffer.from('\0\0\0\0\x0720000000', 'latin1');
      ask[4] = 8;
      for (let i = 0; i < 50; i++) {
        const streamId = client.nextStreamId();
        client.write(headerFrames(streamId, block), dataFrame(streamId, ask, { endStream: true }));
      }
      await until('all are asked', () => server.seen.length === 50);
      await servesOthers();
      expect(client.received(frameType.data)).toEqual([]);
      client.leave();
      await until('all are over', () => endpoint.stats().callsInFlight === 0);
      // The server in this process has made 20 MB for each call.
      expect(process.memoryUsage().rss - before).toBeLessThan(1_500 * mebibyte);
    });

    it('one that reads nothing is not read for long, and then not kept', async () => {
      const client = await begun();
      client.socket.pause();
      const ping = Buffer.concat(
        Array.from({ length: 9_000 }, () => buildFrame(frameType.ping, 0, 0, Buffer.alloc(8))),
      );
      client.write(ping);
      // What it asks for after that stays in its own socket.
      for (let i = 0; i < 500; i++) client.call(refused);
      await servesOthers();
      client.leave();
      await until('it is gone', () => endpoint.stats().openConnections === 0);
    });

    it('one that writes a byte at a time is served as others are', async () => {
      const client = frames();
      const bytes = Buffer.concat([FrameClient.start, ...call(client)]);
      for (const byte of bytes) {
        await new Promise((resolve) => client.socket.write(Buffer.of(byte), resolve));
      }
      await until('the answer', () => client.isAnswered(1));
      expect(server.seen).toHaveLength(1);
    });

    describe('with more connections than the socket takes', () => {
      const hang = methodPath('Hang');
      let full: Endpoint;

      beforeEach(async () => {
        full = await createCheckedEndpoint({
          socketPath: folder.file('full.sock'),
          upstream: { address: () => server.socketPath },
          handlers: {},
          maxConnections: 3,
        });
      });
      afterEach(() => full.close());

      const three = async (): Promise<FrameClient[]> => {
        const some: FrameClient[] = [];
        for (let count = 0; count < 3; count++) {
          const client = new FrameClient(full.socketPath);
          clients.push({ close: () => client.leave() });
          await client.begin();
          some.push(client);
        }
        return some;
      };
      const callOther = async (): Promise<number> => {
        const client = new TestClient(full.socketPath);
        const { code: status } = await client
          .unary(echo, 'hello', { deadline: Date.now() + 20 * seconds })
          .finally(() => client.close());
        return status;
      };

      it('the oldest that makes no call is sent away for a new one, which is served', async () => {
        const [first, second, third] = await three();
        first?.call(hang);
        await until('the call is there', () => full.stats().callsInFlight === 1);
        expect(await callOther()).toBe(0);
        await endsWith(second as FrameClient, code.none);
        expect([first?.closed, third?.closed]).toEqual([false, false]);
        expect(full.stats().callsInFlight).toBe(1);
      });

      it('a new one is closed where all make calls, which go on', async () => {
        const some = await three();
        for (const client of some) client.call(hang);
        await until('the calls are there', () => full.stats().callsInFlight === 3);
        const late = new FrameClient(full.socketPath);
        await until('it is closed', () => late.closed);
        expect(full.stats()).toMatchObject({ openConnections: 3, callsInFlight: 3 });
        expect(some.some(({ closed }) => closed)).toBe(false);
        some[0]?.leave();
        await until('it has left', () => full.stats().openConnections === 2);
        expect(await callOther()).toBe(0);
      });
    });

    it('a thousand that do nothing take little memory, and the runtime has no connection of them', async () => {
      const count = 1_000;
      const before = process.memoryUsage();
      const idle: FrameClient[] = [];
      while (idle.length < count) {
        // No more at once than the queue of the socket takes.
        const some = Array.from({ length: 100 }, frames);
        for (const client of some) client.write(FrameClient.start, settingsFrame());
        await until('they are greeted', () =>
          some.every((client) => client.received(frameType.settings).length > 0),
        );
        idle.push(...some);
      }
      const after = process.memoryUsage();
      // Of both sides: the clients are in this process too.
      const bytes = after.heapUsed + after.external - before.heapUsed - before.external;
      expect(bytes / count).toBeLessThan(40 * 1024);
      expect(server.seen).toEqual([]);
      expect(endpoint.stats().openConnections).toBe(count);
      await servesOthers();
      for (const client of idle) client.leave();
      await until('all have left', () => endpoint.stats().openConnections === 0);
    });
  });
});

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const window = (streamId: number, bytes: number): Buffer =>
  buildFrame(frameType.windowUpdate, 0, streamId, uint32(bytes));

const setting = (id: number, value: number): Buffer =>
  buildFrame(frameType.settings, 0, 0, Buffer.concat([Buffer.of(0, id), uint32(value)]));
