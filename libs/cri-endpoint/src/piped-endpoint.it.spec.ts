import { existsSync, renameSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { createPipedEndpoint, type PipedEndpointOptions } from './piped-endpoint';
import { buildFrame, dataFrame, headerFrames } from './testing/build-frames';
import { HpackEncoder } from './testing/encode-hpack';
import {
  ended,
  methodPath,
  openChat,
  patterned,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
  type TestServer,
} from './testing/grpc-peers';
import { listen, once, rawCall } from './testing/http2-peers';
import type { CallSummary, Endpoint, ObservedCall } from './types';
import { clientPreface, FrameReader, frameType } from './wire/frame-reader';
import { HpackDecoder } from './wire/hpack-decoder';
import { settingsFrame } from './wire/raw-frames';

const mebibyte = 1024 * 1024;

describe('piped endpoint', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: TestServer;
  let endpoint: Endpoint;
  let client: TestClient;
  let observed: ObservedCall[];
  let started: string[];
  let summaries: CallSummary[];
  let detached: string[];
  let reason: string | undefined;

  const start = (options: Partial<PipedEndpointOptions> = {}): Promise<Endpoint> =>
    createPipedEndpoint({
      socketPath: folder.file('gw.sock'),
      upstreamPath: folder.file('rt.sock'),
      observer: {
        observes: (method) => method === methodPath('Echo') || method === methodPath('Fail'),
        ended: (call) => observed.push(call),
      },
      calls: {
        started: (method) => started.push(method),
        ended: (call) => summaries.push(call),
      },
      unavailableReason: () => reason,
      onDetached: (why, detail) => detached.push(`${why} ${detail}`),
      service: 'runtime-gateway',
      ...options,
    });

  beforeEach(async () => {
    folder = temporaryFolder();
    observed = [];
    started = [];
    summaries = [];
    detached = [];
    reason = undefined;
    server = await startTestServer(folder.file('rt.sock'));
    endpoint = await start();
    client = new TestClient(endpoint.socketPath);
  });

  afterEach(async () => {
    client.close();
    await endpoint.close();
    server.kill();
    folder.remove();
  });

  describe('observes', () => {
    it('messages of the methods that were asked for, and nothing of others but their summary', async () => {
      await client.unary(methodPath('Echo'), 'hello');
      await client.unary(methodPath('Big'), '5');
      await client.unary(methodPath('Fail'), 'why: \u00fc', { metadata: { 'x-code': '9' } });
      expect(observed).toEqual([
        expect.objectContaining({
          method: methodPath('Echo'),
          outcome: 'completed',
          grpcStatus: 0,
        }),
        expect.objectContaining({
          method: methodPath('Fail'),
          grpcStatus: 9,
          grpcMessage: 'why: \u00fc',
        }),
      ]);
      expect(String(observed[0]?.request)).toBe('hello');
      expect(String(observed[0]?.response)).toBe('hello');
      expect(observed[1]?.response).toBeUndefined();
      expect(started).toEqual(summaries.map(({ method }) => method));
      expect(summaries.map(({ grpcStatus }) => grpcStatus)).toEqual([0, 0, 9]);
      for (const { durationMs, ownMs, startedAt } of summaries) {
        expect(ownMs).toBeLessThan(durationMs);
        expect(ownMs).toBeGreaterThan(0);
        expect(Math.abs(Date.now() - startedAt)).toBeLessThan(60_000);
      }
    });

    it('many calls at once, each with its own messages', async () => {
      await Promise.all(
        Array.from({ length: 200 }, (_, i) => client.unary(methodPath('Echo'), `call ${i}`)),
      );
      const pairs = observed.map(({ request, response }) => [String(request), String(response)]);
      expect(pairs.every(([request, response]) => request === response)).toBe(true);
      expect(new Set(pairs.map(([request]) => request)).size).toBe(200);
    });

    it('a message above the bound not at all: the call is whole, the connection followed on', async () => {
      const big = await client.unary(methodPath('Echo'), patterned(2 * mebibyte));
      expect(big.message?.length).toBe(2 * mebibyte);
      await client.unary(methodPath('Echo'), 'small');
      expect(observed.map(({ request }) => request?.length)).toEqual([undefined, 5]);
      expect(detached).toEqual([]);
    });

    it('without harm when the observer throws', async () => {
      await endpoint.close();
      const broken = (): never => {
        throw new Error('observer');
      };
      endpoint = await start({
        observer: { observes: broken, ended: broken },
        calls: { started: broken, ended: broken },
      });
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({ code: 0 });
    });
  });

  it('lets bytes flow on that it cannot follow', async () => {
    server.kill();
    const echo = net.createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(server.socketPath, resolve));
    const socket = net.connect(endpoint.socketPath);
    let back = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => (back = Buffer.concat([back, chunk])));
    const sent = patterned(3 * mebibyte);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    socket.end(sent);
    await new Promise((resolve) => socket.once('end', resolve));
    expect(back.subarray(18).equals(sent)).toBe(true);
    expect(detached).toEqual(['not-http2 not-http2: no client preface']);
    expect(endpoint.stats().detached).toEqual({ 'not-http2': 1 });
    echo.close();
  });

  it('takes clients that send the socket path as :authority, with and without a runtime', async () => {
    const ask = async (): Promise<[string, string][]> => {
      const { fields, close } = await goClient(endpoint.socketPath, '/run/stowage/runtime.sock');
      close();
      return fields;
    };
    // grpc-js on node:http2 refuses such an authority, so the runtime of this test answers raw
    // frames.
    server.kill();
    const raw = net.createServer((socket) => {
      const encoder = new HpackEncoder();
      socket.on('error', () => undefined);
      socket.write(settingsFrame());
      socket.once('data', () => {
        const field = (name: string, value: string): Buffer =>
          encoder.field({ name, value, form: 'index', huffman: true, nameIndex: true });
        const block = Buffer.concat([field(':status', '200'), field('grpc-status', '7')]);
        socket.write(headerFrames(1, block, { endStream: true }));
      });
    });
    await new Promise<void>((resolve) => raw.listen(server.socketPath, resolve));
    expect(await ask()).toContainEqual(['grpc-status', '7']);
    raw.close();
    await until('the runtime is gone', () => !existsSync(server.socketPath));
    reason = 'away';
    expect(await ask()).toEqual([
      [':status', '200'],
      ['content-type', 'application/grpc'],
      ['grpc-status', '14'],
      ['grpc-message', 'away'],
    ]);
  });

  describe('without a runtime', () => {
    beforeEach(() => {
      server.kill();
      reason = 'container runtime at unix:///run/c.sock is unavailable since 2026: gone 100%';
    });

    it('answers every shape of call at once with the reason', async () => {
      const began = Date.now();
      const chat = client.bidi(methodPath('Chat'));
      const chatEnd = ended(chat);
      const results = await Promise.all([
        client.unary(methodPath('Echo'), 'x'),
        client.unary(methodPath('Echo'), patterned(3 * mebibyte)),
        client.serverStream(methodPath('Count'), '3'),
        client.clientStream(methodPath('Sum'), [patterned(100)]),
        chatEnd,
      ]);
      for (const result of results) expect(result).toMatchObject({ code: 14, details: reason });
      expect(Date.now() - began).toBeLessThan(10_000);
      expect(summaries.map(({ outcome, grpcStatus }) => `${outcome} ${grpcStatus ?? ''}`)).toEqual(
        results.map(() => 'unavailable 14'),
      );
      expect(observed).toContainEqual(
        expect.objectContaining({
          method: methodPath('Echo'),
          outcome: 'unavailable',
          grpcMessage: reason,
        }),
      );
    });

    it('answers PING and SETTINGS, so that the client keeps the connection', async () => {
      const session = http2.connect('http://localhost', {
        createConnection: () => net.connect(endpoint.socketPath),
      });
      await new Promise((resolve) => session.once('remoteSettings', resolve));
      const payload = await new Promise<Buffer>((resolve) => {
        session.ping(Buffer.from('01234567'), (_error, _ms, back) => resolve(back));
      });
      expect(payload.toString()).toBe('01234567');
      await until('our settings are acknowledged', () => !session.pendingSettingsAck);
      session.destroy();
    });

    it('uses the first call after its return: it succeeds, on a new connection', async () => {
      expect((await client.unary(methodPath('Echo'), 'x')).code).toBe(14);
      server = await startTestServer(server.socketPath);
      expect(await client.unary(methodPath('Echo'), 'again')).toMatchObject({ code: 0 });
      expect(server.seen).toHaveLength(1);
      expect(endpoint.stats().acceptedConnections).toBe(2);
    });

    it('sends idle clients to a new connection when it is back', async () => {
      const session = http2.connect('http://localhost', {
        createConnection: () => net.connect(endpoint.socketPath),
      });
      await new Promise((resolve) => session.once('remoteSettings', resolve));
      const goAway = new Promise<unknown[]>((resolve) =>
        session.once('goaway', (...args: unknown[]) => resolve(args)),
      );
      server = await startTestServer(server.socketPath);
      expect((await goAway).slice(0, 2)).toEqual([0, 0]);
      await until('it has left', () => endpoint.stats().openConnections === 0);
    });

    it('ends a connection that breaks HTTP/2 with GOAWAY', async () => {
      const { client: socket, received } = await rawClient(endpoint.socketPath);
      socket.write(Buffer.concat([clientPreface, settingsFrame(), dataFrame(0, Buffer.of(1))]));
      await new Promise((resolve) => socket.once('close', resolve));
      expect(received().some((frame) => frame.startsWith('goaway 0 1'))).toBe(true);
      expect(detached).toHaveLength(1);
    });

    it('holds nothing of a client that never reads its answers', async () => {
      const { client: socket } = await rawClient(endpoint.socketPath, { read: false });
      const pings = Buffer.concat(
        Array.from({ length: 1000 }, () => buildFrame(frameType.ping, 0, 0, Buffer.alloc(8))),
      );
      socket.write(Buffer.concat([clientPreface, settingsFrame()]));
      let written = 0;
      const flood = (): void => {
        while (written < 2000 && socket.write(pings)) written++;
      };
      socket.on('drain', flood);
      flood();
      let before = -1;
      await until('the flood is held back', () => {
        const still = written === before;
        before = written;
        return still && written > 0;
      });
      expect(written).toBeLessThan(1500);
      socket.destroy();
    });
  });

  describe('losing the runtime', () => {
    it('reaches calls in flight as UNAVAILABLE with the reason, and leaves the client usable', async () => {
      const unary = client.unary(methodPath('Hang'), 'x');
      const streamed = client.serverStream(methodPath('HeaderThenHang'), 'x');
      const [chat, chatEnd] = await openChat(client);
      await until('all arrived', () => server.seen.length === 3);
      reason = 'lost at noon';
      server.kill();
      for (const result of [await unary, await streamed, await chatEnd]) {
        expect(result).toMatchObject({ code: 14, details: 'lost at noon' });
      }
      chat.end();
      expect(summaries.map(({ outcome }) => outcome)).toEqual([
        'unavailable',
        'unavailable',
        'unavailable',
      ]);
      server = await startTestServer(server.socketPath);
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({ code: 0 });
    });

    it('before it has said a word', async () => {
      server.kill();
      const mute = net.createServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => socket.destroy());
      });
      await new Promise<void>((resolve) => mute.listen(server.socketPath, resolve));
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({ code: 14 });
      mute.close();
    });

    it('in the middle of a frame: the connection ends, the call does not hang', async () => {
      server.kill();
      const half = net.createServer((socket) => {
        socket.on('error', () => undefined);
        socket.write(settingsFrame());
        socket.once('data', () =>
          socket.write(dataFrame(1, Buffer.alloc(100)).subarray(0, 50), () => socket.destroy()),
        );
      });
      await new Promise<void>((resolve) => half.listen(server.socketPath, resolve));
      const result = await client.unary(methodPath('Echo'), 'x');
      expect(result.code).toBe(14);
      half.close();
    });
  });

  it('passes the end of a client on to the runtime', async () => {
    const { session, stream } = rawCall(endpoint.socketPath, methodPath('HeaderThenHang'), {});
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    await once(stream, 'response');
    session.destroy();
    await until('the runtime saw it', () => server.seen[0]?.cancelled === true);
    await until('the summary', () => summaries.length === 1);
    expect(summaries[0]).toMatchObject({ outcome: 'cancelled' });
    expect(endpoint.stats()).toMatchObject({ openConnections: 0, callsInFlight: 0 });
  });

  describe('closing', () => {
    it('moves clients to whoever took the path since, and no call fails', async () => {
      const clients = Array.from({ length: 4 }, () => new TestClient(endpoint.socketPath));
      const failures: unknown[] = [];
      let calls = 0;
      let stop = false;
      const load = clients.map(async (each, i) => {
        while (!stop) {
          const result = await each.unary(methodPath(i % 2 === 0 ? 'Echo' : 'Big'), '70000');
          calls++;
          if (result.code !== 0) failures.push(result);
        }
      });
      const [chat, chatEnd] = await openChat(client);
      const count = client.serverStream(methodPath('Count'), '3000 8192');
      const closings: Promise<void>[] = [];
      const path = endpoint.socketPath;
      for (let generation = 0; generation < 5; generation++) {
        const before = calls;
        await until('calls flow', () => calls > before + 50);
        // As an upgrade does: the new one takes the path, then the old one drains.
        const next = await start({ socketPath: folder.file(`next-${generation}.sock`) });
        renameSync(next.socketPath, path);
        closings.push(endpoint.close({ drainMs: 60_000 }));
        endpoint = next;
      }
      stop = true;
      await Promise.all(load);
      chat.write(Buffer.from('still here'));
      chat.end();
      expect((await chatEnd).messages.map(String)).toEqual(['hi', 'still here']);
      expect((await count).messages).toHaveLength(3000);
      expect(failures).toEqual([]);
      await Promise.all(closings);
      for (const each of clients) each.close();
    });

    it('lets calls in flight end', async () => {
      const [chat, chatEnd] = await openChat(client);
      const count = client.serverStream(methodPath('Count'), '2000 4096');
      const closed = endpoint.close({ drainMs: 60_000 });
      await until('the socket file is gone', () => !existsSync(endpoint.socketPath));
      chat.write(Buffer.from('still served'));
      chat.end();
      expect((await chatEnd).messages.map(String)).toEqual(['hi', 'still served']);
      expect((await count).messages).toHaveLength(2000);
      await closed;
      expect(endpoint.stats()).toMatchObject({ openConnections: 0, callsInFlight: 0 });
    });

    it('ends what is left after the drain time with UNAVAILABLE, and the runtime notices', async () => {
      const unary = client.unary(methodPath('Hang'), 'x');
      const streamed = client.serverStream(methodPath('HeaderThenHang'), 'x');
      await until('both run', () => server.seen.length === 2);
      await endpoint.close({ drainMs: 30 });
      const wanted = { code: 14, details: 'runtime-gateway is shutting down' };
      expect(await unary).toMatchObject(wanted);
      expect(await streamed).toMatchObject(wanted);
      await until('the runtime saw it', () => server.seen.every(({ cancelled }) => cancelled));
    });

    it('names the last stream it saw, and no stream above it reaches the runtime', async () => {
      const paths: string[] = [];
      const runtime = http2.createServer();
      runtime.on(
        'stream',
        (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
          paths.push(headers[':path'] ?? '');
          stream.respond({}, { endStream: true });
        },
      );
      server.kill();
      const kill = await listen(runtime, server.socketPath);
      const { client: socket, received } = await rawClient(endpoint.socketPath);
      const encoder = new HpackEncoder();
      const call = (streamId: number): Buffer =>
        headerFrames(
          streamId,
          Buffer.concat(
            [
              [':method', 'POST'],
              [':scheme', 'http'],
              [':path', `/call/${streamId}`],
              [':authority', 'localhost'],
            ].map(([name = '', value = '']) =>
              encoder.field({ name, value, form: 'plain', huffman: true, nameIndex: true }),
            ),
          ),
          { endStream: true },
        );
      socket.write(Buffer.concat([clientPreface, settingsFrame(), call(1), call(3)]));
      await until('both are answered', () => paths.length === 2);
      await until(
        'and read',
        () => received().filter((frame) => frame.startsWith('headers')).length === 2,
      );
      const closed = endpoint.close({ drainMs: 60_000 });
      await until('the last word', () => received().includes('goaway 3 0'));
      socket.write(call(5));
      socket.end();
      await closed;
      expect(paths).toEqual(['/call/1', '/call/3']);
      expect(received().filter((frame) => frame.startsWith('goaway'))).toEqual([
        `goaway ${2 ** 31 - 1} 0`,
        'goaway 3 0',
      ]);
      kill();
    });
  });
});

/** A client of raw frames, and what it got as text. */
async function rawClient(socketPath: string, { read = true } = {}) {
  const frames: string[] = [];
  const client = net.connect({ path: socketPath });
  client.on('error', () => undefined);
  const reader = new FrameReader(
    {
      onData: () => undefined,
      onDataEnd: (streamId) => frames.push(`data ${streamId}`),
      onHeaderBlock: (streamId) => frames.push(`headers ${streamId}`),
      onRstStream: (streamId, code) => frames.push(`rst ${streamId} ${code}`),
      onSettings: (ack) => frames.push(`settings ${ack}`),
      onPing: (ack) => frames.push(`ping ${ack}`),
      onGoAway: (last, code) => frames.push(`goaway ${last} ${code}`),
    },
    1 << 20,
    { preface: false },
  );
  if (read) client.on('data', (chunk: Buffer) => reader.push(chunk));
  await new Promise((resolve) => client.once('connect', resolve));
  return { client, received: () => frames };
}

/**
 * One call as Go clients before Kubernetes 1.31 make it: with any :authority. Gives the answer's
 * fields.
 */
async function goClient(socketPath: string, authority: string) {
  const socket = net.connect(socketPath);
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder(4096);
  const fields: [string, string][] = [];
  const done = new Promise<void>((resolve) => {
    const ignore = (): undefined => undefined;
    const reader = new FrameReader(
      {
        onData: ignore,
        onDataEnd: ignore,
        onHeaderBlock: (_streamId, block, start, end, endStream) => {
          decoder.decode(block, start, end, (name, value) => fields.push([name, value]));
          if (endStream) resolve();
        },
        onRstStream: ignore,
        onSettings: ignore,
        onPing: ignore,
        onGoAway: ignore,
      },
      1 << 20,
      { preface: false },
    );
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
  });
  const block = Buffer.concat(
    [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', '/runtime.v1.RuntimeService/Version'],
      [':authority', authority],
      ['content-type', 'application/grpc'],
    ].map(([name = '', value = '']) =>
      encoder.field({ name, value, form: 'index', huffman: true, nameIndex: true }),
    ),
  );
  socket.write(
    Buffer.concat([
      clientPreface,
      settingsFrame(),
      headerFrames(1, block),
      dataFrame(1, Buffer.from([0, 0, 0, 0, 0]), { endStream: true }),
    ]),
  );
  await done;
  return { fields, close: () => socket.destroy() };
}
