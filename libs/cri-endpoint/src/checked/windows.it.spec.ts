import http2 from 'node:http2';
import net from 'node:net';
import { PermissionDeniedError } from '@stowage/errors';
import { createCheckedEndpoint } from '../checked-endpoint';
import { frameMessage } from '../grpc-wire';
import { buildFrame, dataFrame, headerFrames } from '../testing/build-frames';
import { FrameClient } from '../testing/frame-client';
import {
  methodPath,
  patterned,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
  type TestServer,
} from '../testing/grpc-peers';
import { listen, once, rawCall, type StreamEvent } from '../testing/http2-peers';
import type { Endpoint } from '../types';
import { FrameReader, frameType } from '../wire/frame-reader';
import { headerBlock } from '../wire/header-fields';
import { settingsAckFrame, settingsFrame } from '../wire/raw-frames';

const big = methodPath('Big');
const echo = methodPath('Echo');
const local = '/runtime.v1.RuntimeService/Local';
const refused = methodPath('Hang');
const localBytes = 30_000;

describe('windows and frames between a client and two that answer it', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: TestServer;
  let endpoint: Endpoint;

  beforeEach(async () => {
    folder = temporaryFolder();
    server = await startTestServer(folder.file('rt.sock'));
    endpoint = await createCheckedEndpoint({
      socketPath: folder.file('gw.sock'),
      upstream: { address: () => server.socketPath },
      handlers: { [local]: () => Promise.resolve(Buffer.alloc(localBytes, 1)) },
      admit: (method) => {
        if (method === refused) throw new PermissionDeniedError(method, 'no');
        return method === echo ? (request) => Buffer.from(request) : undefined;
      },
    });
  });

  afterEach(async () => {
    await endpoint.close();
    server.kill();
    folder.remove();
  });

  it('a client never gets more than its window, whoever answers, and in the end everything', async () => {
    const client = new FrameClient(endpoint.socketPath);
    await client.begin();
    client.write(settingsAckFrame());
    let given = 65_535;
    const received = (): number =>
      client.received(frameType.data).reduce((sum, { payload }) => sum + payload.length, 0);
    const calls: number[] = [];
    for (let i = 0; i < 10; i++) {
      calls.push(client.call(local));
      const streamId = client.nextStreamId();
      client.write(
        headerFrames(streamId, client.block(big)),
        dataFrame(streamId, frameMessage(Buffer.from('50000')), { endStream: true }),
      );
      calls.push(streamId);
    }
    const all = 10 * (localBytes + 5) + 10 * 50_005;
    let before = -1;
    while (received() < all) {
      expect(received()).toBeLessThanOrEqual(given);
      // Only what was received is given back, as a client does that reads it.
      const more = received() + 65_535 - given;
      if (more > 0 && received() === before) {
        client.write(window(0, more));
        given += more;
      }
      before = received();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await until('the ends', () => calls.every((streamId) => client.isAnswered(streamId)));
    expect(received()).toBe(all);
    expect(client.received(frameType.goAway)).toEqual([]);
    client.leave();
  });

  it('a reply that nobody waits for takes no window for ever', async () => {
    const client = new TestClient(endpoint.socketPath);
    for (let i = 0; i < 100; i++) {
      const result = await client.serverStream(methodPath('Count'), '50 20000', (call) =>
        call.cancel(),
      );
      expect(result.code).toBe(1);
    }
    expect((await client.unary(big, '3000000')).message?.length).toBe(3_000_000);
    client.close();
  });

  it('requests that go nowhere take no window for ever', async () => {
    const client = new TestClient(endpoint.socketPath);
    const body = patterned(150_000);
    for (let i = 0; i < 40; i++) {
      expect(await client.unary(refused, body)).toMatchObject({ code: 7 });
      expect(await client.unary(local, body)).toMatchObject({ code: 0 });
      const { message } = await client.unary(echo, body);
      expect(message?.equals(body)).toBe(true);
    }
    client.close();
  });

  it('a request that is held does not keep back one that comes after it', async () => {
    const client = new FrameClient(endpoint.socketPath);
    await client.begin();
    const held = client.nextStreamId();
    client.write(headerFrames(held, client.block(echo)), dataFrame(held, Buffer.from([0, 0])));
    const next = client.call(echo);
    await until('the second is answered', () => client.isAnswered(next));
    client.write(dataFrame(held, Buffer.from([0, 0, 1, 0x61]), { endStream: true }));
    await until('the first is answered', () => client.isAnswered(held));
    expect(server.seen.map(({ requestBytes }) => requestBytes)).toEqual([0, 1]);
    client.leave();
  });

  it('header blocks of several frames pass, both ways', async () => {
    const long = 'v'.repeat(40_000);
    const asked: (string | string[] | undefined)[] = [];
    const runtime = http2.createServer({ maxHeaderListPairs: 1000, maxSendHeaderBlockLength: 1e6 });
    runtime.on('stream', (...args: unknown[]) => {
      const [stream, headers] = args as StreamEvent;
      asked.push(headers['x-long']);
      stream.respond({ ':status': 200, 'x-long': long }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-end': long }));
      stream.end('body');
    });
    server.kill();
    const stop = await listen(runtime, server.socketPath);
    const { session, stream } = rawCall(endpoint.socketPath, '/any/Call', { 'x-long': long });
    stream.end();
    const [headers] = await once(stream, 'response');
    const [trailers] = await once(stream.resume(), 'trailers');
    expect(asked).toEqual([long]);
    expect(headers['x-long']).toBe(long);
    expect(trailers['x-end']).toBe(long);
    session.destroy();
    stop();
  });

  it('a runtime that dies in the middle of a frame costs its calls a status, and no connection', async () => {
    server.kill();
    const head = headerBlock([
      [':status', '200'],
      ['content-type', 'application/grpc'],
    ]);
    const dying = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(settingsFrame());
      // The request is there once some bytes are.
      socket.once('data', () => {
        const data = buildFrame(frameType.data, 0, 1, Buffer.alloc(10_000));
        socket.write(Buffer.concat([headerFrames(1, head), data.subarray(0, 6_000)]));
        setTimeout(() => socket.destroy(), 20);
      });
    });
    await new Promise<void>((resolve) => dying.listen(server.socketPath, resolve));
    const client = new TestClient(endpoint.socketPath);
    expect(await client.unary('/any/Call', 'x')).toMatchObject({
      code: 14,
      details: `container runtime at ${server.socketPath} is unavailable: connection lost`,
    });
    await new Promise((resolve) => dying.close(resolve));
    server = await startTestServer(folder.file('rt.sock'));
    expect(await client.unary(echo, 'again')).toMatchObject({ code: 0 });
    expect(endpoint.stats().acceptedConnections).toBe(1);
    client.close();
  });

  it('each PING of the runtime is answered, whether or not calls follow it', async () => {
    server.kill();
    const answered: string[] = [];
    const payload = (i: number): string => String(i).padStart(8, '0');
    let asked = 0;
    const end = headerBlock([
      [':status', '200'],
      ['grpc-status', '0'],
    ]);
    const pinging = net.createServer((socket) => {
      const nothing = (): undefined => undefined;
      const reader = new FrameReader(
        {
          onData: nothing,
          onDataEnd: nothing,
          onHeaderBlock: (streamId) => {
            const ping = buildFrame(frameType.ping, 0, 0, Buffer.from(payload(asked++)));
            socket.write(Buffer.concat([ping, headerFrames(streamId, end, { endStream: true })]));
          },
          onRstStream: nothing,
          onSettings: nothing,
          onPing: (ack, bytes) => answered.push(`${ack} ${bytes.toString('latin1', 0, 8)}`),
          onGoAway: nothing,
        },
        1 << 16,
        { preface: true },
      );
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => reader.push(chunk));
      socket.write(settingsFrame());
    });
    await new Promise<void>((resolve) => pinging.listen(server.socketPath, resolve));
    const client = new TestClient(endpoint.socketPath);
    for (let i = 0; i < 100; i++)
      expect(await client.unary('/any/Call')).toMatchObject({ code: 0 });
    await until('all are answered', () => answered.length === asked);
    expect(answered).toEqual(Array.from({ length: 100 }, (_, i) => `true ${payload(i)}`));
    client.close();
    pinging.close();
  });

  it('calls that the runtime has not begun are given back to be tried again', async () => {
    server.kill();
    const leaving = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(settingsFrame());
      socket.once('data', () => {
        // Last stream 0: none was begun.
        socket.write(buildFrame(frameType.goAway, 0, 0, Buffer.alloc(8)));
      });
    });
    await new Promise<void>((resolve) => leaving.listen(server.socketPath, resolve));
    const client = new FrameClient(endpoint.socketPath);
    await client.begin();
    const streamId = client.call('/any/Call');
    await until('RST_STREAM', () => client.received(frameType.rstStream, streamId).length === 1);
    expect(client.received(frameType.rstStream)[0]?.payload.readUInt32BE(0)).toBe(7);
    await new Promise((resolve) => leaving.close(resolve));
    server = await startTestServer(folder.file('rt.sock'));
    const next = client.call(echo);
    await until('the next is answered', () => client.isAnswered(next));
    client.leave();
  });
});

function window(streamId: number, bytes: number): Buffer {
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(bytes);
  return buildFrame(frameType.windowUpdate, 0, streamId, increment);
}
