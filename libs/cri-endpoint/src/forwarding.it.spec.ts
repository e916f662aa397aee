import { rmSync } from 'node:fs';
import http2 from 'node:http2';
import { createCheckedEndpoint } from './checked-endpoint';
import { createPipedEndpoint } from './piped-endpoint';
import { startFullServer } from './testing/full-server';
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
import {
  listen,
  neverIndexed,
  once,
  pairs,
  rawCall,
  type StreamEvent,
} from './testing/http2-peers';
import { createTerminatingEndpoint } from './terminating-endpoint';
import type { CallSummary, Endpoint } from './types';

const mebibyte = 1024 * 1024;

// Whatever way an endpoint forwards, client and runtime see the same.
describe.each([
  ['piped', 'localhost'],
  ['terminating', 'localhost'],
  ['terminating', '/run/stowage/image.sock'],
  ['checked', 'localhost'],
  ['checked', '/run/stowage/image.sock'],
] as const)('a %s endpoint for clients whose authority is %s', (kind, authority) => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: TestServer;
  let endpoint: Endpoint;
  let client: TestClient;
  let summaries: CallSummary[];
  let requests: string[];
  let reason: string | undefined;

  beforeEach(async () => {
    folder = temporaryFolder();
    server = await startTestServer(folder.file('rt.sock'));
    summaries = [];
    requests = [];
    reason = undefined;
    endpoint = await start();
    client = new TestClient(endpoint.socketPath, authority);
  });

  const start = (): Promise<Endpoint> => {
    const shared = {
      socketPath: folder.file('gw.sock'),
      unavailableReason: () => reason,
      calls: { ended: (call: CallSummary) => summaries.push(call) },
      observer: {
        observes: () => true,
        requested: (method: string, request: Uint8Array) => {
          requests.push(`${method} ${Buffer.from(request).toString()}`);
          throw new Error('an observer that fails');
        },
        ended: () => undefined,
      },
    };
    return kind === 'piped'
      ? createPipedEndpoint({
          ...shared,
          upstreamPath: server.socketPath,
        })
      : (kind === 'checked' ? createCheckedEndpoint : createTerminatingEndpoint)({
          ...shared,
          upstream: { address: () => server.socketPath },
          handlers: {},
        });
  };

  afterEach(async () => {
    client.close();
    await endpoint.close();
    server.kill();
    folder.remove();
  });

  describe('forwards', () => {
    it('a unary call with metadata and deadline', async () => {
      const result = await client.unary(methodPath('Echo'), 'hello', {
        metadata: { 'x-bytes-bin': [Buffer.from([0, 255]), Buffer.from([7])] },
        deadline: Date.now() + 60_000,
      });
      expect(result).toMatchObject({ code: 0, details: 'OK' });
      expect(result.message?.toString()).toBe('hello');
      expect(result.headers?.get('x-bytes-bin')).toEqual([Buffer.from([0, 255]), Buffer.from([7])]);
      expect(result.headers?.get('x-server')).toEqual(['head']);
      expect(result.trailers.get('x-trailer')).toEqual(['tail']);
      const seen = server.seen[0];
      expect(Number(seen?.deadline) - Date.now()).toBeGreaterThan(30_000);
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
      server.kill();
      const kill = await listen(runtime, server.socketPath);
      const { session, stream } = rawCall(endpoint.socketPath, '/any.Thing/Method', {
        ':authority': authority,
        'x-several': ['a', 'b, c'],
        'x-byte': 'na\u00efve',
        'grpc-timeout': '5S',
        'x-secret': 's',
        [http2.sensitiveHeaders]: ['x-secret'],
      });
      stream.end('body');
      const headers = await once(stream, 'response');
      const trailers = await once(stream.resume(), 'trailers');
      expect(pairs(requests[0]?.[0] ?? []).sort()).toEqual([
        [':authority', 'localhost'],
        [':method', 'POST'],
        [':path', '/any.Thing/Method'],
        [':scheme', 'http'],
        ['content-type', 'application/grpc'],
        ['grpc-timeout', '5S'],
        ['te', 'trailers'],
        ['x-byte', 'na\u00efve'],
        ['x-secret', 's'],
        ['x-several', 'a'],
        ['x-several', 'b, c'],
      ]);
      // Where the authority was replaced, nothing that a client says is indexed any more.
      expect(neverIndexed(requests[0]?.[1])).toEqual(
        authority === 'localhost' ? ['x-secret'] : expect.arrayContaining(['x-secret']),
      );
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
      server.kill();
      const kill = await listen(runtime, server.socketPath);
      const refused = rawCall(endpoint.socketPath, '/refused', { ':authority': authority });
      await new Promise((resolve) => refused.stream.once('close', resolve));
      expect(refused.stream.rstCode).toBe(http2.constants.NGHTTP2_REFUSED_STREAM);
      const given = rawCall(endpoint.socketPath, '/given-up', { ':authority': authority });
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

    it('a deadline: the client sees it and the runtime gets it', async () => {
      // The connection is there, so that the call itself has all of the time.
      expect((await client.unary(methodPath('Echo'), 'x')).code).toBe(0);
      const result = await client.unary(methodPath('Hang'), 'x', { deadline: Date.now() + 1_000 });
      expect(result.code).toBe(4);
      await until('the runtime saw it', () => server.seen[1]?.cancelled === true);
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
      const other = new TestClient(endpoint.socketPath, authority);
      expect((await other.unary(methodPath('Big'), String(mebibyte))).code).toBe(0);
      other.close();
      slow.cancel();
    });
  });

  it('reports the request of an observed call while the runtime still works on it', async () => {
    let cancel = (): void => undefined;
    const result = client.unary(methodPath('Hang'), 'who', {}, (call) => {
      cancel = () => call.cancel();
    });
    await until('the request was reported', () => requests.length === 1);
    expect(requests).toEqual([`${methodPath('Hang')} who`]);
    expect(summaries).toEqual([]);
    cancel();
    await result;
    expect(requests).toHaveLength(1);
  });

  describe('when the runtime is away', () => {
    it('answers UNAVAILABLE with the given reason at once, and works again when it is back', async () => {
      server.kill();
      reason = 'container runtime at unix:///run/c.sock is unavailable since 2026: connect ENOENT';
      const began = Date.now();
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({
        code: 14,
        details: reason,
      });
      expect(Date.now() - began).toBeLessThan(10_000);
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

    it('waits while its accept queue is full, as a blocking connect would', async () => {
      server.kill();
      const full = await startFullServer(server.socketPath);
      const clients = Array.from({ length: 12 }, () => new TestClient(endpoint.socketPath));
      const results = await Promise.all(clients.map((one) => one.unary('/any/Call', 'x')));
      for (const one of clients) one.close();
      full.close();
      expect(summaries.map(({ grpcStatus }) => grpcStatus)).toEqual(results.map(() => 0));
    });

    it('answers calls in flight, before and after their headers', async () => {
      const unary = client.unary(methodPath('Hang'), 'x');
      const streamed = client.serverStream(methodPath('HeaderThenHang'), 'x');
      await until('both arrived', () => server.seen.length === 2);
      const [chat, chatEnd] = await openChat(client);
      server.kill();
      expect(await unary).toMatchObject({
        code: 14,
        details: `container runtime at ${server.socketPath} is unavailable: connection lost`,
      });
      const result = await streamed;
      expect(result.code).toBe(14);
      expect(result.messages.map(String)).toEqual(['first']);
      expect((await chatEnd).code).toBe(14);
      chat.end();
    });
  });
});
