import http2 from 'node:http2';
import { PermissionDeniedError } from '@stowage/errors';
import { frameMessage } from './grpc-wire';
import {
  methodPath,
  patterned,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
  type TestServer,
} from './testing/grpc-peers';
import { listen, once, rawCall, type StreamEvent } from './testing/http2-peers';
import { createCheckedEndpoint } from './checked-endpoint';
import { createTerminatingEndpoint, type TerminatingEndpointOptions } from './terminating-endpoint';
import type { CallSummary, Endpoint, MessageObserver, ObservedCall } from './types';

const echo = methodPath('Echo');

describe.each([
  ['terminating', createTerminatingEndpoint],
  ['checked', createCheckedEndpoint],
] as const)('%s endpoint: verdicts on calls, and copies of them', (_kind, createEndpoint) => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: TestServer;
  let endpoint: Endpoint;
  let client: TestClient;
  let summaries: CallSummary[];
  let observed: ObservedCall[];

  beforeEach(async () => {
    folder = temporaryFolder();
    server = await startTestServer(folder.file('rt.sock'));
    summaries = [];
    observed = [];
  });

  const observing = (observes: MessageObserver['observes']): MessageObserver => ({
    observes,
    ended: (call) => observed.push(call),
  });

  const start = async (options: Partial<TerminatingEndpointOptions>): Promise<void> => {
    endpoint = await createEndpoint({
      socketPath: folder.file('gw.sock'),
      upstream: { address: () => server.socketPath },
      handlers: {},
      unavailableReason: () => undefined,
      calls: { ended: (call) => summaries.push(call) },
      ...options,
    });
    client = new TestClient(endpoint.socketPath);
  };

  afterEach(async () => {
    client.close();
    await endpoint.close();
    server.kill();
    folder.remove();
  });

  /** Refuses messages that begin with `x`, and every method but Echo. */
  const onlyEcho = (method: string) => {
    if (method !== echo) throw new PermissionDeniedError(method, 'read-only socket');
    return (request: Uint8Array): Uint8Array => {
      if (request[0] === 0x78) throw new PermissionDeniedError(`${method} with x`, 'no x here');
      return request;
    };
  };

  it('refuses a method, and a message, without asking the runtime', async () => {
    await start({ admit: onlyEcho });
    expect(await client.unary(methodPath('Hang'), 'a')).toMatchObject({
      code: 7,
      details: '/runtime.v1.RuntimeService/Hang is not allowed: read-only socket',
    });
    expect(await client.serverStream(methodPath('Count'), '3')).toMatchObject({ code: 7 });
    expect(await client.unary(echo, 'xy')).toMatchObject({
      code: 7,
      details: `${echo} with x is not allowed: no x here`,
    });
    expect(server.seen).toEqual([]);
    await until('the summaries', () => summaries.length === 3);
    expect(summaries.map(({ servedBy, grpcStatus }) => [servedBy, grpcStatus])).toEqual(
      Array(3).fill(['local', 7]),
    );
  });

  it('forwards what is admitted with its metadata, whole and however large', async () => {
    await start({ admit: onlyEcho });
    const message = patterned(3 * 1024 * 1024);
    const { code, message: answer } = await client.unary(echo, message, {
      metadata: { 'x-several': ['a', 'b'] },
    });
    expect(code).toBe(0);
    expect(answer?.equals(message)).toBe(true);
    expect(server.seen[0]?.metadata.get('x-several')).toEqual(['a, b']);
    expect(await client.unary(echo, '')).toMatchObject({ code: 0 });
  });

  it('sends on what the check returned, under headers that fit it', async () => {
    const runtime = http2.createServer();
    const asked: { headers: http2.IncomingHttpHeaders; body: string }[] = [];
    runtime.on('stream', (...args: unknown[]) => {
      const [stream, headers] = args as StreamEvent;
      let body = '';
      stream.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
      stream.on('end', () => {
        asked.push({ headers, body });
        stream.respond({ ':status': 200, 'grpc-status': '0' }, { endStream: true });
      });
    });
    const stop = await listen(runtime, folder.file('raw.sock'));
    await start({
      admit: () => () => Buffer.from('what was understood'),
      upstream: { address: () => folder.file('raw.sock') },
    });
    const { session, stream } = rawCall(endpoint.socketPath, echo, {
      'content-length': 6,
      'content-type': 'application/grpc+json',
      'grpc-encoding': 'gzip',
      'x-own': 'kept',
    });
    stream.end(Buffer.from([0, 0, 0, 0, 1, 0x61]));
    expect((await once(stream, 'response'))[0]['grpc-status']).toBe('0');
    expect(asked[0]?.body).toBe('\0\0\0\0\x13what was understood');
    expect(asked[0]?.headers).toMatchObject({
      'content-type': 'application/grpc',
      'x-own': 'kept',
    });
    expect(Object.keys(asked[0]?.headers ?? {})).not.toContain('grpc-encoding');
    expect(Object.keys(asked[0]?.headers ?? {})).not.toContain('content-length');
    session.destroy();
    stop();
  });

  it('waits for a check that waits, for a call of any kind', async () => {
    const waiting: (() => void)[] = [];
    await start({
      admit: () => (request) => new Promise((resolve) => void waiting.push(() => resolve(request))),
    });
    const unary = client.unary(echo, 'late');
    const streamed = client.serverStream(methodPath('Count'), '3');
    await until('both calls', () => waiting.length === 2);
    expect(server.seen).toEqual([]);
    for (const goOn of waiting) goOn();
    expect(String((await unary).message)).toBe('late');
    expect(await streamed).toMatchObject({ code: 0 });
  });

  it.each(['the client goes', 'the endpoint closes'])(
    'ends the waiting of a check when %s, and forwards nothing',
    async (what) => {
      const signals: AbortSignal[] = [];
      let goOn: (() => void) | undefined;
      await start({
        admit:
          () =>
          (request, { signal }) => {
            signals.push(signal);
            return new Promise((resolve) => (goOn = () => resolve(request)));
          },
      });
      const { session, stream } = rawCall(endpoint.socketPath, echo, {});
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
      await until('the check', () => signals.length === 1);
      if (what === 'the client goes') session.destroy();
      else await endpoint.close();
      await until('its end', () => signals[0]?.aborted === true);
      goOn?.();
      await until('the summary', () => summaries.length === 1);
      expect(summaries[0]).toMatchObject({ servedBy: 'local' });
      expect(server.seen).toEqual([]);
      session.destroy();
    },
  );

  it.each([
    ['a compressed message', [1, 0, 0, 0, 1, 0x61], '12'],
    [
      'two messages, of which the second would be refused',
      [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x78],
      '13',
    ],
    ['no message', [], '13'],
  ])('does not forward what it cannot look at: %s', async (_what, bytes, status) => {
    await start({ admit: onlyEcho });
    const { session, stream } = rawCall(endpoint.socketPath, echo, {});
    stream.end(Buffer.from(bytes));
    const [headers] = await once(stream, 'response');
    expect(headers['grpc-status']).toBe(status);
    expect(server.seen).toEqual([]);
    session.destroy();
  });

  it('lets a call be cancelled while its request is not there yet', async () => {
    await start({ admit: onlyEcho });
    const { session, stream } = rawCall(endpoint.socketPath, echo, {});
    stream.write(Buffer.from([0, 0, 0, 0, 9, 1]));
    await until('the call', () => endpoint.stats().callsInFlight === 1);
    session.destroy();
    await until('the summary', () => summaries.length === 1);
    expect(summaries[0]).toMatchObject({ outcome: 'cancelled', servedBy: 'local' });
    expect(server.seen).toEqual([]);
  });

  it('resets the call of a client that does not read, and no other', async () => {
    await start({ unreadLimitMs: () => 5_000 });
    const count = methodPath('Count');
    const quiet = client.openStream(methodPath('HeaderThenHang'), '');
    quiet.on('error', () => undefined);
    await until('the quiet call', () => server.seen.length === 1);
    const { session, stream } = rawCall(endpoint.socketPath, count, {});
    stream.end(frameMessage(Buffer.from('4000 16384')));
    await once(stream, 'response');
    expect((await client.serverStream(count, '4000 16384')).code).toBe(0);
    await until('the other end hears of it', () => server.seen[1]?.cancelled === true);
    await until('both summaries', () => summaries.length === 2);
    expect(summaries.map(({ outcome }) => outcome).sort()).toEqual(['cancelled', 'completed']);
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    expect(endpoint.stats().callsInFlight).toBe(1);
    session.destroy();
  });

  it('copies the messages of observed calls, with their status', async () => {
    await start({
      observer: observing((method) => method === echo || method === methodPath('Fail')),
    });
    await client.unary(echo, 'hello');
    await client.unary(methodPath('Fail'), 'bläh', { metadata: { 'x-code': '9' } });
    await client.unary(methodPath('Big'), '10');
    await until('both calls', () => observed.length === 2);
    expect(observed).toEqual([
      expect.objectContaining({ method: echo, outcome: 'completed', grpcStatus: 0 }),
      expect.objectContaining({ grpcStatus: 9, grpcMessage: 'bläh', outcome: 'completed' }),
    ]);
    expect(String(observed[0]?.request)).toBe('hello');
    expect(String(observed[0]?.response)).toBe('hello');
    expect(observed[1]?.response).toBeUndefined();
  });

  it('leaves out messages above the bound, of one call and of a connection', async () => {
    await start({ observer: observing(() => true), maxObservedMessageBytes: 1000 });
    await client.unary(echo, patterned(1001));
    await client.unary(echo, patterned(1000));
    await until('both calls', () => observed.length === 2);
    expect(observed.map(({ request }) => request?.length)).toEqual([undefined, 1000]);
    expect(observed.map(({ grpcStatus }) => grpcStatus)).toEqual([0, 0]);
  });

  it('reports observed calls that were refused or found no runtime, and survives an observer that throws', async () => {
    await start({
      observer: {
        observes: () => true,
        ended: (call) => {
          observed.push(call);
          throw new Error('observer');
        },
      },
      admit: (method) => {
        if (method !== echo) throw new PermissionDeniedError(method, 'no');
        return undefined;
      },
      unavailableReason: (method) => `${method}: nobody there`,
    });
    await client.unary(methodPath('Hang'), 'a');
    server.kill();
    expect(await client.unary(echo, 'a')).toMatchObject({
      code: 14,
      details: `${echo}: nobody there`,
    });
    await until('both calls', () => observed.length === 2);
    expect(observed.map(({ outcome, grpcStatus }) => [outcome, grpcStatus])).toEqual([
      ['completed', 7],
      ['unavailable', 14],
    ]);
    expect(observed[1]?.grpcMessage).toBe(`${echo}: nobody there`);
  });
});
