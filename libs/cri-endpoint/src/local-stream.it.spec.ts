import { NotFoundError, ResourceExhaustedError } from '@stowage/errors';
import { buildFrame } from './testing/build-frames';
import { FrameClient } from './testing/frame-client';
import { patterned, temporaryFolder, TestClient, until } from './testing/grpc-peers';
import { once, rawCall } from './testing/http2-peers';
import { createCheckedEndpoint } from './checked-endpoint';
import { createTerminatingEndpoint, type TerminatingEndpointOptions } from './terminating-endpoint';
import type { CallSummary, Endpoint, StreamCall } from './types';
import { frameType } from './wire/frame-reader';

const kibibyte = 1024;
const list = '/runtime.v1.RuntimeService/StreamContainers';
const events = '/runtime.v1.RuntimeService/GetContainerEvents';

describe.each([
  ['terminating', createTerminatingEndpoint],
  ['checked', createCheckedEndpoint],
] as const)('an answer that a handler streams, %s endpoint', (_kind, createEndpoint) => {
  let folder: ReturnType<typeof temporaryFolder>;
  let endpoint: Endpoint;
  let client: TestClient;
  let summaries: CallSummary[];
  /** What the handler does; sees of the call what is noted here. */
  let handle: (request: string, call: StreamCall) => Promise<void>;
  let calls: StreamCall[];
  let handlersEnded: number;

  beforeEach(() => {
    folder = temporaryFolder();
    summaries = [];
    calls = [];
    handlersEnded = 0;
  });

  afterEach(async () => {
    client.close();
    await endpoint.close();
    folder.remove();
  });

  const start = async (more: Partial<TerminatingEndpointOptions> = {}): Promise<void> => {
    const stream = async (request: Uint8Array, call: StreamCall): Promise<void> => {
      calls.push(call);
      try {
        await handle(Buffer.from(request).toString(), call);
      } finally {
        handlersEnded++;
      }
    };
    endpoint = await createEndpoint({
      socketPath: folder.file('shim.sock'),
      handlers: { [list]: { stream }, [events]: { stream } },
      calls: { ended: (call) => summaries.push(call) },
      service: 'docker-shim',
      ...more,
    });
    client = new TestClient(endpoint.socketPath);
  };
  const upTo = async (count: number, { send }: StreamCall): Promise<void> => {
    for (let i = 0; i < count; i++) await send(Buffer.from(String(i)));
  };
  /** Events until the call is over. */
  const forEver = async (first: number, call: StreamCall): Promise<void> => {
    await upTo(first, call);
    await new Promise((_resolve, reject) => {
      call.signal.addEventListener('abort', () => reject(call.signal.reason as Error));
    });
  };

  it('is there message by message and ends with OK, in both packages', async () => {
    handle = (request, call) => upTo(Number(request), call);
    await start();
    const metadata = { 'x-who': 'me' };
    for (const method of [list, list.replace('v1', 'v1alpha2')]) {
      const { code, messages } = await client.serverStream(method, '300');
      expect(code).toBe(0);
      expect(messages.map(String)).toEqual(Array.from({ length: 300 }, (_, i) => String(i)));
    }
    expect(calls.map(({ method }) => method)).toEqual([list, list.replace('v1', 'v1alpha2')]);
    await client.unary(list, '1', { metadata, deadline: Date.now() + 60_000 });
    expect(calls[2]?.metadata['x-who']).toBe('me');
    expect(calls[2]?.deadline?.getTime()).toBeGreaterThan(Date.now());
    await until('the summaries', () => summaries.length === 3);
    expect(summaries[0]).toMatchObject({
      servedBy: 'local',
      outcome: 'completed',
      grpcStatus: 0,
      responseBytes: 300 * 5 + 10 + 90 * 2 + 200 * 3,
    });
  });

  it('without a message is OK, and carries large ones whole', async () => {
    const large = patterned(20 * kibibyte * kibibyte);
    handle = (request, { send }) => (request === '' ? Promise.resolve() : send(large));
    await start();
    expect(await client.serverStream(list, '')).toMatchObject({ code: 0, messages: [] });
    const { messages } = await client.serverStream(list, 'large');
    expect(messages[0]?.equals(large)).toBe(true);
  });

  it.each([
    ['before the first message', 0],
    ['after some messages', 3],
  ])('ends with the status of what the handler throws %s', async (_when, count) => {
    handle = async (_request, call) => {
      await upTo(count, call);
      throw new NotFoundError('container', 'bläh');
    };
    await start();
    const result = await client.serverStream(list, '');
    expect(result).toMatchObject({ code: 5, details: 'container "bläh" not found' });
    expect(result.messages).toHaveLength(count);
  });

  it('that throws before it returns a promise ends with a status too', async () => {
    handle = () => {
      throw new TypeError('broken');
    };
    await start({ handlers: { [list]: { stream: () => handle('', undefined as never) } } });
    expect(await client.serverStream(list, '')).toMatchObject({ code: 2, details: 'broken' });
  });

  it('goes on as fast as the client reads, and no faster', async () => {
    let sent = 0;
    handle = async (_request, { send }) => {
      for (; sent < 20; sent++) await send(Buffer.alloc(64 * kibibyte));
    };
    await start();
    const slow = new FrameClient(endpoint.socketPath);
    await slow.begin();
    const streamId = slow.call(list);
    await until('all there is room for', () => receivedBytes(slow) === firstRoom);
    await pong(slow);
    expect(sent).toBe(0);
    giveRoom(slow, streamId, 3 * 64 * kibibyte);
    await until(
      'all there is room for',
      () => receivedBytes(slow) === firstRoom + 3 * 64 * kibibyte,
    );
    await pong(slow);
    expect(sent).toBe(3);
    giveRoom(slow, streamId, 2 * kibibyte * kibibyte);
    await until('the end', () => slow.isAnswered(streamId));
    expect([sent, receivedBytes(slow)]).toEqual([20, 20 * (64 * kibibyte + 5)]);
    slow.leave();
  });

  it('that the client cancels: the signal is aborted and send rejects', async () => {
    let rejected: unknown;
    handle = async (_request, call) => {
      await upTo(1, call);
      await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
      await call.send(Buffer.from('late')).catch((error: unknown) => (rejected = error));
    };
    await start();
    const result = await client.serverStream(events, '', (call) => call.cancel());
    expect(result.code).toBe(1);
    await until('the handler has ended', () => handlersEnded === 1);
    expect(rejected).toBe(calls[0]?.signal.reason);
    expect((rejected as Error).message).toBe(`${events} was cancelled by the caller`);
    await until('the summary', () => summaries.length === 1);
    expect(summaries[0]).toMatchObject({ outcome: 'cancelled', grpcStatus: undefined });
    expect(endpoint.stats().callsInFlight).toBe(0);
  });

  it('that waits for a client which then leaves ends as well', async () => {
    handle = async (_request, { send }) => {
      for (;;) await send(Buffer.alloc(64 * kibibyte));
    };
    await start();
    const { session, stream } = rawCall(endpoint.socketPath, list, {});
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    await once(stream, 'response');
    session.destroy();
    await until('the handler has ended', () => handlersEnded === 1);
    expect(calls[0]?.signal.aborted).toBe(true);
  });

  it.each([
    ['before', 0],
    ['after', 2],
  ])('whose deadline passes %s messages is ended at once', async (_when, count) => {
    // Ignores its signal.
    handle = (_request, call) => upTo(count, call).then(() => new Promise(() => undefined));
    await start();
    const { session, stream } = rawCall(endpoint.socketPath, list, { 'grpc-timeout': '100m' });
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    stream.resume();
    const [headers] = await once(stream, 'response');
    const [status] = count === 0 ? [headers] : await once(stream, 'trailers');
    expect(status['grpc-status']).toBe('4');
    expect(status['grpc-message']).toBe(`${list} timed out after 100 ms`);
    expect(calls[0]?.signal.reason).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    session.destroy();
  });

  it('can be failed while it waits for a client that does not read', async () => {
    let full: unknown;
    handle = async (_request, { send }) => {
      try {
        for (;;) await send(Buffer.alloc(64 * kibibyte));
      } catch (error) {
        full = error;
        throw error;
      }
    };
    await start();
    const idle = new FrameClient(endpoint.socketPath);
    await idle.begin();
    const streamId = idle.call(events);
    await until('all there is room for', () => receivedBytes(idle) === firstRoom);
    calls[0]?.fail(new ResourceExhaustedError('the queue of this subscriber', 1000));
    await until('the handler has ended', () => handlersEnded === 1);
    expect(full).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    expect(idle.isAnswered(streamId)).toBe(false);
    giveRoom(idle, streamId, kibibyte * kibibyte);
    await until('the end', () => idle.isAnswered(streamId));
    expect(receivedBytes(idle)).toBe(64 * kibibyte + 5);
    await until('the summary', () => summaries.length === 1);
    expect(summaries[0]).toMatchObject({ outcome: 'completed', grpcStatus: 8 });
    idle.leave();
  });

  it.each([
    ['the handler goes on', false],
    ['the handler has ended', true],
  ])('is reset when its client reads nothing for too long, while %s', async (_what, hasEnded) => {
    handle = async (_request, call) => {
      const sent = Array.from({ length: 8 }, () => call.send(Buffer.alloc(64 * kibibyte)));
      if (!hasEnded) await Promise.all(sent);
      else for (const one of sent) one.catch(() => undefined);
    };
    await start({ unreadLimitMs: () => 200 });
    // Gives no room beyond the 64 KiB that every stream begins with.
    const idle = new FrameClient(endpoint.socketPath);
    await idle.begin();
    const streamId = idle.call(list);
    await until('RST_STREAM', () => idle.received(frameType.rstStream, streamId).length === 1);
    // ENHANCE_YOUR_CALM, RESOURCE_EXHAUSTED for gRPC clients.
    expect(idle.received(frameType.rstStream, streamId)[0]?.payload.readUInt32BE(0)).toBe(11);
    await until('the call has ended', () => endpoint.stats().callsInFlight === 0);
    expect(handlersEnded).toBe(1);
    idle.leave();
  });

  it('without an end is over at once when the endpoint closes, others go on to their end', async () => {
    let goOn: () => void = () => undefined;
    const wait = new Promise<void>((resolve) => (goOn = resolve));
    handle = async (request, call) => {
      if (call.method === events) return forEver(Number(request), call);
      await upTo(1, call);
      await wait;
      await upTo(2, call);
    };
    await start();
    const streams = ['0', '3'].map((first) => client.serverStream(events, first));
    const listing = client.serverStream(list, '');
    await until('all run', () => calls.length === 3);
    const closed = endpoint.close({ drainMs: 20_000 });
    const over = { code: 14, details: 'docker-shim is shutting down' };
    expect(await Promise.all(streams)).toMatchObject([over, over]);
    expect(calls[0]?.signal.reason).toMatchObject({ code: 'SHUTTING_DOWN' });
    goOn();
    const { code, messages } = await listing;
    expect([code, messages.length]).toEqual([0, 3]);
    await closed;
    expect(handlersEnded).toBe(3);
  });

  it('that is not over after the drain time gets UNAVAILABLE', async () => {
    handle = async (_request, call) => {
      await upTo(1, call);
      await new Promise(() => undefined);
    };
    await start();
    const listing = client.serverStream(list, '');
    await until('it runs', () => calls.length === 1);
    await endpoint.close({ drainMs: 50 });
    expect(await listing).toMatchObject({ code: 14, details: 'docker-shim is shutting down' });
  });

  it('is no answer to more than one request message', async () => {
    handle = () => Promise.reject(new Error('must not run'));
    await start();
    const { session, stream } = rawCall(endpoint.socketPath, list, {});
    stream.end(Buffer.alloc(10));
    const [headers] = await once(stream, 'response');
    expect(headers['grpc-status']).toBe('13');
    expect(calls).toHaveLength(0);
    session.destroy();
  });
});

/** Bytes that a connection and each stream of it may send until they are given more. */
const firstRoom = 65_535;

function giveRoom(client: FrameClient, streamId: number, bytes: number): void {
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(bytes);
  for (const id of [0, streamId]) {
    client.write(buildFrame(frameType.windowUpdate, 0, id, increment));
  }
}

function receivedBytes(client: FrameClient): number {
  return client.received(frameType.data).reduce((sum, { payload }) => sum + payload.length, 0);
}

/** Waits until the endpoint has answered a PING: what it was about to send is there before. */
async function pong(client: FrameClient): Promise<void> {
  const before = client.received(frameType.ping).length;
  client.write(buildFrame(frameType.ping, 0, 0, Buffer.alloc(8)));
  await until('PING', () => client.received(frameType.ping).length > before);
}

describe.each([
  ['terminating', createTerminatingEndpoint],
  ['checked', createCheckedEndpoint],
] as const)('a %s endpoint without an upstream', (_kind, createEndpoint) => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());

  it.each([
    ['/runtime.v1.RuntimeService/CheckpointContainer', 'CheckpointContainer'],
    ['/runtime.v9.FutureService/Anything', 'Anything'],
    [`/x/${'a'.repeat(5000)}`, 'aaa'],
  ])('says UNIMPLEMENTED to what it has no handler for, with the name: %.50s', async (path) => {
    const summaries: CallSummary[] = [];
    const endpoint = await createEndpoint({
      socketPath: folder.file('shim.sock'),
      handlers: { '/runtime.v1.RuntimeService/Version': (request) => Promise.resolve(request) },
      calls: { ended: (call) => summaries.push(call) },
      service: 'docker-shim',
    });
    const client = new TestClient(endpoint.socketPath);
    const details = `${path.slice(0, 200)}: not implemented by docker-shim`;
    expect(await client.unary(path, 'x')).toMatchObject({ code: 12, details });
    expect(await client.serverStream(path, 'x')).toMatchObject({ code: 12, details });
    expect(await client.unary('/runtime.v1alpha2.RuntimeService/Version', 'x')).toMatchObject({
      code: 0,
    });
    await until('the summaries', () => summaries.length === 3);
    expect(summaries[0]).toMatchObject({ servedBy: 'local', grpcStatus: 12 });
    client.close();
    await endpoint.close();
  });
});
