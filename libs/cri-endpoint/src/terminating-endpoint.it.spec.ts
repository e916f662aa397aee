import { existsSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { NotFoundError } from '@stowage/errors';
import {
  ended,
  methodPath,
  patterned,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
  type TestServer,
} from './testing/grpc-peers';
import { createTerminatingEndpoint } from './terminating-endpoint';
import type { CallSummary, Endpoint, UnaryCall, UnaryHandler } from './types';

const mebibyte = 1024 * 1024;

describe('terminating endpoint', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: TestServer;
  let endpoint: Endpoint;
  let client: TestClient;
  let summaries: CallSummary[];
  let reason: string | undefined;
  let handlers: Record<string, UnaryHandler>;

  beforeEach(async () => {
    folder = temporaryFolder();
    server = await startTestServer(folder.file('rt.sock'));
    summaries = [];
    reason = undefined;
    handlers = {};
  });

  const start = async (): Promise<void> => {
    endpoint = await createTerminatingEndpoint({
      socketPath: folder.file('gw.sock'),
      upstream: { address: () => server.socketPath },
      handlers,
      unavailableReason: () => reason,
      calls: { ended: (call) => summaries.push(call) },
      maxRequestBytes: 32 * mebibyte,
      service: 'image-service',
    });
    client = new TestClient(endpoint.socketPath);
  };

  afterEach(async () => {
    client.close();
    await endpoint.close();
    server.kill();
    folder.remove();
  });

  describe('forwards', () => {
    beforeEach(start);

    it('a unary call with metadata and deadline', async () => {
      const result = await client.unary(methodPath('Echo'), 'hello', {
        metadata: { 'x-bytes-bin': [Buffer.from([0, 255]), Buffer.from([7])] },
        deadline: Date.now() + 20_000,
      });
      expect(result).toMatchObject({ code: 0, details: 'OK' });
      expect(result.message?.toString()).toBe('hello');
      expect(result.headers?.get('x-bytes-bin')).toEqual([Buffer.from([0, 255]), Buffer.from([7])]);
      expect(result.headers?.get('x-server')).toEqual(['head']);
      expect(result.trailers.get('x-trailer')).toEqual(['tail']);
      const seen = server.seen[0];
      expect(Number(seen?.deadline) - Date.now()).toBeGreaterThan(15_000);
      expect(summaries).toEqual([
        expect.objectContaining({
          method: methodPath('Echo'),
          outcome: 'completed',
          servedBy: 'runtime',
          grpcStatus: 0,
          requestBytes: 10,
          responseBytes: 10,
        }),
      ]);
    });

    it('a trailers-only reply as one: code, message and metadata arrive', async () => {
      const result = await client.unary(methodPath('Fail'), 'no such thing: 100% ünïcode\n', {
        metadata: { 'x-code': '5' },
      });
      expect(result).toMatchObject({ code: 5, details: 'no such thing: 100% ünïcode\n' });
      expect(result.trailers.get('x-why')).toEqual(['because']);
      expect(summaries[0]).toMatchObject({ outcome: 'completed', grpcStatus: 5 });
    });

    it('headers and trailers as they are: repeated, binary, never-indexed; none added', async () => {
      const requests: [string[], http2.IncomingHttpHeaders][] = [];
      const runtime = http2.createServer();
      runtime.on('stream', (...args: unknown[]) => {
        const [stream, headers, , rawHeaders] = args as StreamEvent;
        requests.push([rawHeaders, headers]);
        const sent = { 'x-several': ['1', '2, 3'], 'x-byte': 'caf\u00e9', date: 'then' };
        stream.respond(
          { ...sent, 'x-secret': 's', [http2.sensitiveHeaders]: ['x-secret'] },
          { waitForTrailers: true },
        );
        stream.on('wantTrailers', () => stream.sendTrailers({ ...sent, 'grpc-status': '0' }));
        stream.end('body');
      });
      const kill = await listen(runtime, folder.file('raw.sock'));
      server.kill();
      server = { ...server, socketPath: folder.file('raw.sock') };
      const { session, stream } = rawCall(endpoint.socketPath, '/any.Thing/Method', {
        'x-several': ['a', 'b, c'],
        'x-byte': 'na\u00efve',
        'grpc-timeout': '5S',
        'x-secret': 's',
        [http2.sensitiveHeaders]: ['x-secret'],
      });
      stream.end('body');
      const headers = await once(stream, 'response');
      const trailers = await once(stream.resume(), 'trailers');
      expect(pairs(requests[0]?.[0] ?? [])).toEqual([
        [':method', 'POST'],
        [':path', '/any.Thing/Method'],
        [':authority', 'localhost'],
        [':scheme', 'http'],
        ['content-type', 'application/grpc'],
        ['te', 'trailers'],
        ['x-several', 'a'],
        ['x-several', 'b, c'],
        ['x-byte', 'na\u00efve'],
        ['grpc-timeout', '5S'],
        ['x-secret', 's'],
      ]);
      expect(neverIndexed(requests[0]?.[1])).toEqual(['x-secret']);
      const repeated = [
        ['x-several', '1'],
        ['x-several', '2, 3'],
        ['x-byte', 'caf\u00e9'],
        ['date', 'then'],
      ];
      expect(pairs(headers[2])).toEqual([[':status', '200'], ...repeated, ['x-secret', 's']]);
      expect(neverIndexed(headers[0])).toEqual(['x-secret']);
      expect(pairs(trailers[2])).toEqual([...repeated, ['grpc-status', '0']]);
      session.destroy();
      kill();
    });

    it('resets both ways with their code', async () => {
      const codes: number[] = [];
      const runtime = http2.createServer();
      runtime.on('stream', (...args: unknown[]) => {
        const [stream, headers] = args as StreamEvent;
        stream.on('error', () => undefined);
        stream.on('close', () => codes.push(stream.rstCode));
        if (headers[':path'] === '/refused') stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
        else stream.respond();
      });
      const kill = await listen(runtime, folder.file('raw.sock'));
      server.kill();
      server = { ...server, socketPath: folder.file('raw.sock') };
      const refused = rawCall(endpoint.socketPath, '/refused', {});
      await new Promise((resolve) => refused.stream.once('close', resolve));
      expect(refused.stream.rstCode).toBe(http2.constants.NGHTTP2_REFUSED_STREAM);
      const given = rawCall(endpoint.socketPath, '/given-up', {});
      await once(given.stream, 'response');
      given.stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      await until('the runtime got it', () => codes.length === 2);
      expect(codes[1]).toBe(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      refused.session.destroy();
      given.session.destroy();
      kill();
    });

    it('an answer that comes before the request has ended', async () => {
      const call = client.bidi(methodPath('FailEarly'));
      const result = ended(call);
      call.write(Buffer.from('one'));
      expect(await result).toMatchObject({ code: 9, details: 'too early' });
    });

    it('calls during and after a graceful stop of the runtime', async () => {
      const [chat, chatEnd] = await openChat(client);
      server.stop();
      const old = server;
      rmSync(old.socketPath, { force: true });
      server = await startTestServer(old.socketPath);
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({ code: 0 });
      expect(server.seen).toHaveLength(1);
      chat.end();
      expect(await chatEnd).toMatchObject({ code: 0 });
      old.kill();
    });

    it('methods it has never heard of, in every streaming shape', async () => {
      const counted = await client.serverStream(methodPath('Count'), '200 100');
      expect(counted).toMatchObject({ code: 0 });
      expect(counted.messages).toHaveLength(200);
      const summed = await client.clientStream(methodPath('Sum'), [
        patterned(100_000),
        patterned(7),
      ]);
      expect(summed.message?.toString()).toBe('100007');
      const chat = client.bidi(methodPath('Chat'));
      const result = ended(chat, (_call, message) => {
        if (message.toString() === 'ping') chat.write(Buffer.from('pong'));
        else chat.end();
      });
      chat.write(Buffer.from('ping'));
      expect((await result).messages.map(String)).toEqual(['ping', 'pong']);
      const unknown = await client.unary('/no.such.Service/Method', 'x');
      expect(unknown).toMatchObject({
        code: 12,
        details: 'The server does not implement the method /no.such.Service/Method',
      });
    });

    it('messages of 20 MiB both ways, unchanged', async () => {
      const request = await client.unary(methodPath('Echo'), patterned(20 * mebibyte));
      expect(request.code).toBe(0);
      expect(request.message?.equals(patterned(20 * mebibyte))).toBe(true);
      const reply = await client.unary(methodPath('Big'), String(33 * mebibyte));
      expect(reply.message?.equals(patterned(33 * mebibyte))).toBe(true);
    });

    it('300 calls at once on one connection', async () => {
      const results = await Promise.all(
        Array.from({ length: 300 }, (_, i) => client.unary(methodPath('Echo'), `call ${i}`)),
      );
      expect(results.map((result) => result.message?.toString())).toEqual(
        results.map((_, i) => `call ${i}`),
      );
      expect(endpoint.stats()).toMatchObject({ acceptedConnections: 1, callsInFlight: 0 });
    });

    it('a cancellation to the runtime', async () => {
      const result = await client.unary(methodPath('Hang'), 'x', {}, (call) => {
        void until('the call arrived', () => server.seen.length === 1).then(() => call.cancel());
      });
      expect(result).toMatchObject({ code: 1 });
      await until('the runtime saw it', () => server.seen[0]?.cancelled === true);
      await until('the summary', () => summaries.length === 1);
      expect(summaries[0]).toMatchObject({ outcome: 'cancelled' });
    });

    it('the end of a client in the middle of a call to the runtime', async () => {
      const call = client.openStream(methodPath('HeaderThenHang'), '');
      call.on('error', () => undefined);
      await new Promise((resolve) => call.once('data', resolve));
      client.close();
      call.cancel();
      await until('the runtime saw it', () => server.seen[0]?.cancelled === true);
    });

    it('a deadline: the client sees it and the runtime is told', async () => {
      const result = await client.unary(methodPath('Hang'), 'x', { deadline: Date.now() + 150 });
      expect(result.code).toBe(4);
      await until('the runtime saw it', () => server.seen[0]?.cancelled === true);
    });

    it('a big stream to a slow reader without buffering it', async () => {
      const call = client.openStream(methodPath('Count'), '4000 16384');
      call.on('error', () => undefined);
      await new Promise((resolve) => call.once('readable', resolve));
      let before = -1;
      await until('the runtime is held back', () => {
        const now = server.written();
        const still = now === before;
        before = now;
        return still && now > 0;
      });
      expect(server.written()).toBeLessThan(1000);
      const result = await ended(call);
      expect(result.code).toBe(0);
      expect(server.written()).toBe(4000);
    });

    it('a call while another stream of the same connection is not being read', async () => {
      const slow = client.openStream(methodPath('Count'), '4000 16384');
      slow.on('error', () => undefined);
      await new Promise((resolve) => slow.once('readable', resolve));
      const other = new TestClient(endpoint.socketPath);
      expect((await other.unary(methodPath('Big'), String(mebibyte))).code).toBe(0);
      other.close();
      slow.cancel();
    });
  });

  describe('when the runtime is away', () => {
    beforeEach(start);

    it('answers UNAVAILABLE with the given reason at once, and works again when it is back', async () => {
      server.kill();
      reason = 'container runtime at unix:///run/c.sock is unavailable since 2026: connect ENOENT';
      const began = Date.now();
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({
        code: 14,
        details: reason,
      });
      expect(Date.now() - began).toBeLessThan(1_000);
      expect(summaries[0]).toMatchObject({ outcome: 'unavailable', grpcStatus: 14 });
      server = await startTestServer(folder.file('rt.sock'));
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({ code: 0 });
    });

    it('says what the socket said when no reason is given', async () => {
      server.kill();
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({
        code: 14,
        details: `container runtime at ${server.socketPath} is unavailable: connect ENOENT ${server.socketPath}`,
      });
    });

    it('answers calls in flight, before and after their headers', async () => {
      const unary = client.unary(methodPath('Hang'), 'x');
      const streamed = client.serverStream(methodPath('HeaderThenHang'), 'x');
      await until('both arrived', () => server.seen.length === 2);
      const [chat, chatEnd] = await openChat(client);
      server.kill();
      expect(await unary).toMatchObject({
        code: 14,
        details: `container runtime at ${server.socketPath} is unavailable: connection closed`,
      });
      const result = await streamed;
      expect(result.code).toBe(14);
      expect(result.messages.map(String)).toEqual(['first']);
      expect((await chatEnd).code).toBe(14);
      chat.end();
    });
  });

  describe('handles locally', () => {
    const method = '/runtime.v1.ImageService/PullImage';

    it('requests of both packages, with metadata, deadline and a big message', async () => {
      const calls: UnaryCall[] = [];
      handlers[method] = (request, call) => {
        calls.push(call);
        return Promise.resolve(Buffer.concat([Buffer.from('got '), request]));
      };
      await start();
      const v1 = await client.unary(method, 'v1', {
        metadata: { 'x-who': ['a', 'b'] },
        deadline: Date.now() + 60_000,
      });
      expect(v1.message?.toString()).toBe('got v1');
      const old = await client.unary(method.replace('v1', 'v1alpha2'), patterned(20 * mebibyte));
      expect(old.message?.length).toBe(20 * mebibyte + 4);
      expect(calls[0]?.metadata['x-who']).toBe('a, b');
      expect(calls[0]?.deadline?.getTime()).toBeGreaterThan(Date.now() + 50_000);
      expect(calls[1]).toMatchObject({ method: '/runtime.v1alpha2.ImageService/PullImage' });
      expect(calls[1]?.deadline).toBeUndefined();
      expect(server.seen).toEqual([]);
      expect(summaries[0]).toMatchObject({ servedBy: 'local', grpcStatus: 0, requestBytes: 7 });
    });

    it('errors as status and message, whatever characters it has', async () => {
      handlers[method] = () => Promise.reject(new NotFoundError('image', 'bläh\n%41'));
      await start();
      expect(await client.unary(method, 'x')).toMatchObject({
        code: 5,
        details: 'image "bläh\\n%41" not found',
      });
    });

    it('an error that is thrown and not returned', async () => {
      handlers[method] = () => {
        throw new TypeError('broken');
      };
      await start();
      expect(await client.unary(method, 'x')).toMatchObject({ code: 2, details: 'broken' });
    });

    it('a cancelled call: the signal is aborted', async () => {
      let signal: AbortSignal | undefined;
      handlers[method] = (_request, call) => {
        signal = call.signal;
        return new Promise((_resolve, reject) => {
          call.signal.addEventListener('abort', () => reject(call.signal.reason as Error));
        });
      };
      await start();
      await client.unary(method, 'x', {}, (call) => {
        void until('the handler runs', () => signal !== undefined).then(() => call.cancel());
      });
      await until('the signal', () => signal?.aborted === true);
      expect((signal?.reason as Error).message).toBe(`${method} was cancelled by the caller`);
    });

    it('a passed deadline: answered at once, the signal is aborted, a late result is dropped', async () => {
      const reasons: unknown[] = [];
      handlers[method] = async (_request, call) => {
        await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
        reasons.push(call.signal.reason);
        return Buffer.from('late');
      };
      await start();
      // Without a deadline of its own the client would wait; the header alone goes to the server.
      const { session, stream } = rawCall(endpoint.socketPath, method, { 'grpc-timeout': '50m' });
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
      const [headers] = await once(stream, 'response');
      expect(headers['grpc-status']).toBe('4');
      expect(headers['grpc-message']).toBe(`${method} timed out after 50 ms`);
      expect(reasons).toEqual([expect.objectContaining({ code: 'DEADLINE_EXCEEDED' })]);
      session.destroy();
    });

    it.each([
      ['a compressed message', [1, 0, 0, 0, 1, 9], '12', /compressed request messages are not/],
      ['a message above the limit', [0, 0x7f, 0, 0, 0], '8', /2130706432 bytes is larger than/],
      ['two messages', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], '13', /more than one request message/],
      ['no message', [], '13', /no request message/],
      ['half a message', [0, 0, 0, 0, 9, 1], '13', /request message cut short/],
      ['half a prefix', [0, 0], '13', /request message cut short/],
    ])('refuses %s', async (_what, bytes, status, message) => {
      handlers[method] = () => Promise.reject(new Error('must not run'));
      await start();
      const { session, stream } = rawCall(endpoint.socketPath, method, {});
      stream.end(Buffer.from(bytes));
      const [headers] = await once(stream, 'response');
      expect(headers['grpc-status']).toBe(status);
      expect(decodeURIComponent(String(headers['grpc-message']))).toMatch(message);
      session.destroy();
    });
  });

  describe('closing', () => {
    const method = '/runtime.v1.ImageService/PullImage';

    it('lets calls in flight end and refuses new connections', async () => {
      let release: (() => void) | undefined;
      handlers[method] = async () => {
        await new Promise<void>((resolve) => (release = resolve));
        return Buffer.from('done');
      };
      await start();
      const local = client.unary(method, 'x');
      const chat = client.bidi(methodPath('Chat'));
      const chatEnd = ended(chat);
      chat.write(Buffer.from('a'));
      await until('both run', () => release !== undefined && server.seen.length === 1);
      const closed = endpoint.close({ drainMs: 10_000 });
      await until('the socket file is gone', () => !existsSync(endpoint.socketPath));
      chat.write(Buffer.from('b'));
      chat.end();
      release?.();
      expect((await local).message?.toString()).toBe('done');
      expect((await chatEnd).messages.map(String)).toEqual(['a', 'b']);
      await closed;
      expect(endpoint.stats()).toMatchObject({ openConnections: 0, callsInFlight: 0 });
    });

    it('ends what is left after the drain time with UNAVAILABLE', async () => {
      let signal: AbortSignal | undefined;
      handlers[method] = (_request, call) => {
        signal = call.signal;
        return new Promise(() => undefined);
      };
      await start();
      const local = client.unary(method, 'x');
      const forwarded = client.unary(methodPath('Hang'), 'x');
      await until('both run', () => signal !== undefined && server.seen.length === 1);
      await endpoint.close({ drainMs: 50 });
      expect(await local).toMatchObject({ code: 14, details: 'image-service is shutting down' });
      expect(await forwarded).toMatchObject({
        code: 14,
        details: 'image-service is shutting down',
      });
      expect((signal?.reason as { code: string }).code).toBe('SHUTTING_DOWN');
      await until('the runtime saw it', () => server.seen[0]?.cancelled === true);
    });
  });
});

async function openChat(client: TestClient) {
  const chat = client.bidi(methodPath('Chat'));
  const end = ended(chat);
  await new Promise((resolve) => {
    chat.once('data', resolve);
    chat.write(Buffer.from('hi'));
  });
  return [chat, end] as const;
}

function rawCall(socketPath: string, path: string, headers: http2.OutgoingHttpHeaders) {
  const session = http2.connect('http://localhost', {
    createConnection: () => net.connect(socketPath),
  });
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => undefined);
  return { session, stream };
}

function once(
  stream: http2.ClientHttp2Stream,
  event: 'response' | 'trailers',
): Promise<[http2.IncomingHttpHeaders, number, string[]]> {
  return new Promise((resolve) => {
    stream.once(event, (...args: unknown[]) =>
      resolve(args as [http2.IncomingHttpHeaders, number, string[]]),
    );
  });
}

type StreamEvent = [http2.ServerHttp2Stream, http2.IncomingHttpHeaders, number, string[]];

const neverIndexed = (headers: object | undefined): unknown =>
  (headers as Record<symbol, unknown> | undefined)?.[http2.sensitiveHeaders];

const pairs = (raw: string[]): [string, string][] =>
  raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1] ?? '']] : []));

/** Serves HTTP/2 on a socket; the answer drops everything. */
async function listen(server: http2.Http2Server, socketPath: string): Promise<() => void> {
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return () => {
    server.close();
    for (const session of sessions) session.destroy();
  };
}
