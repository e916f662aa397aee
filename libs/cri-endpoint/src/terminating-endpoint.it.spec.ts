import { existsSync } from 'node:fs';
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
import { once, rawCall } from './testing/http2-peers';
import { createCheckedEndpoint } from './checked-endpoint';
import { createTerminatingEndpoint } from './terminating-endpoint';
import type { CallSummary, Endpoint, UnaryCall, UnaryHandler } from './types';

const mebibyte = 1024 * 1024;

describe.each([
  ['terminating', createTerminatingEndpoint],
  ['checked', createCheckedEndpoint],
] as const)('%s endpoint', (_kind, createEndpoint) => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: TestServer;
  let endpoint: Endpoint;
  let client: TestClient;
  let summaries: CallSummary[];
  let handlers: Record<string, UnaryHandler>;

  beforeEach(async () => {
    folder = temporaryFolder();
    server = await startTestServer(folder.file('rt.sock'));
    summaries = [];
    handlers = {};
  });

  const start = async (): Promise<void> => {
    endpoint = await createEndpoint({
      socketPath: folder.file('gw.sock'),
      upstream: { address: () => server.socketPath },
      handlers,
      unavailableReason: () => undefined,
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

    it('calls that arrive together, one in each turn of the event loop and in order', async () => {
      let turn = 0;
      let ticking = setImmediate(function tick() {
        turn++;
        ticking = setImmediate(tick);
      });
      const begun: { name: string; turn: number }[] = [];
      handlers[method] = (request) => {
        begun.push({ name: Buffer.from(request).toString(), turn });
        return Promise.resolve(request);
      };
      await start();
      const names = Array.from({ length: 20 }, (_, index) => `call ${index}`);
      await Promise.all(names.map((name) => client.unary(method, name)));
      clearImmediate(ticking);
      expect(begun.map(({ name }) => name)).toEqual(names);
      expect(new Set(begun.map((call) => call.turn)).size).toBe(names.length);
    });

    it('a call whose deadline passes while others that came with it begin: it does not begin', async () => {
      const begun: string[] = [];
      handlers[method] = (request) => {
        begun.push(Buffer.from(request).toString());
        const until = performance.now() + 40;
        while (performance.now() < until);
        return Promise.resolve(request);
      };
      await start();
      const calls = ['first', 'second'].map((name) => client.unary(method, name));
      // Written by hand: a gRPC client would end the call itself.
      const metadata = { 'grpc-timeout': '20m' };
      const late = client.unary(method, 'late', { metadata });
      await Promise.all(calls);
      expect(await late).toMatchObject({ code: 4 });
      expect(begun).toEqual(['first', 'second']);
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

  it('answers with the status of what the choice of the runtime throws', async () => {
    endpoint = await createEndpoint({
      socketPath: folder.file('gw.sock'),
      upstream: {
        address: () => {
          throw new NotFoundError('runtime', 'kata');
        },
      },
      handlers,
      unavailableReason: () => undefined,
      calls: { ended: (call) => summaries.push(call) },
    });
    client = new TestClient(endpoint.socketPath);
    expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({
      code: 5,
      details: 'runtime "kata" not found',
    });
    await until('the summary', () => summaries.length === 1);
    expect(summaries[0]).toMatchObject({ servedBy: 'local', grpcStatus: 5 });
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
      const closed = endpoint.close({ drainMs: 60_000 });
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
