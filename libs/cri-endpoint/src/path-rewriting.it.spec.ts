import net from 'node:net';
import {
  methodPath,
  patterned,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
  type TestServer,
} from './testing/grpc-peers';
import { createPipedEndpoint } from './piped-endpoint';
import type { Endpoint, ObservedCall } from './types';

const echo = methodPath('Echo');
const old = (path: string) => path.replace('runtime.v1.', 'runtime.v1alpha2.');

describe.each([
  ['every header block decoded', {}],
  ['header blocks decoded from the first such path on', { prefix: '/runtime.v1alpha2.' }],
])('piped endpoint with paths changed on the way, %s', (_how, onSight) => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: TestServer;
  let endpoint: Endpoint;
  let client: TestClient;
  let observed: ObservedCall[];

  beforeEach(async () => {
    folder = temporaryFolder();
    observed = [];
    server = await startTestServer(folder.file('rt.sock'));
    endpoint = await createPipedEndpoint({
      socketPath: folder.file('gw.sock'),
      upstreamPath: server.socketPath,
      observer: { observes: () => true, ended: (call) => observed.push(call) },
      rewritePaths: () => ({
        path: (path) => path.replace('runtime.v1alpha2.', 'runtime.v1.'),
        ...onSight,
      }),
      unavailableReason: () => undefined,
    });
    client = new TestClient(endpoint.socketPath);
  });

  afterEach(async () => {
    client.close();
    await endpoint.close();
    server.kill();
    folder.remove();
  });

  it('serves both packages on one connection, with metadata, errors, large messages and streams', async () => {
    expect(String((await client.unary(echo, 'first')).message)).toBe('first');
    const answer = await client.unary(old(echo), 'second', {
      metadata: { 'x-several': 'a', 'x-bytes-bin': Buffer.from([1, 2, 3]) },
    });
    expect(answer).toMatchObject({ code: 0 });
    expect(String(answer.message)).toBe('second');
    expect(answer.headers?.get('x-bytes-bin')).toEqual([Buffer.from([1, 2, 3])]);
    expect(
      await client.unary(old(methodPath('Fail')), 'why', { metadata: { 'x-code': '9' } }),
    ).toMatchObject({ code: 9, details: 'why' });
    const large = patterned(20 * 1024 * 1024);
    expect((await client.unary(old(echo), large)).message?.equals(large)).toBe(true);
    expect((await client.serverStream(methodPath('Count'), '100')).messages).toHaveLength(100);
    expect(server.seen.map(({ method }) => method)).toEqual([
      echo,
      echo,
      methodPath('Fail'),
      echo,
      methodPath('Count'),
    ]);
    expect(endpoint.stats()).toMatchObject({ acceptedConnections: 1, detached: {} });
  });

  it('reports to the observer what the client asked for', async () => {
    await client.unary(old(echo), 'hello');
    await until('the call', () => observed.length === 1);
    expect(observed[0]).toMatchObject({ method: old(echo), grpcStatus: 0, outcome: 'completed' });
    expect(String(observed[0]?.request)).toBe('hello');
    expect(String(observed[0]?.response)).toBe('hello');
  });

  it('lets a cancellation reach the runtime, and many calls run at once', async () => {
    const hang = client.unary(old(methodPath('Hang')), 'x', {}, (call) => {
      void until('the call', () => server.seen.length === 1).then(() => call.cancel());
    });
    expect(await hang).toMatchObject({ code: 1 });
    await until('the cancellation', () => server.seen[0]?.cancelled === true);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => client.unary(i % 2 ? echo : old(echo), String(i))),
    );
    expect(answers.map(({ message }) => String(message))).toEqual(answers.map((_, i) => String(i)));
  });

  it('closes gracefully: calls in flight end', async () => {
    const chat = client.unary(old(methodPath('Hang')), 'x');
    await until('the call', () => server.seen.length === 1);
    const answer = client.unary(old(echo), 'last');
    await until('both calls', () => server.seen.length === 2);
    await endpoint.close({ drainMs: 100 });
    expect(await answer).toMatchObject({ code: 0 });
    expect(await chat).toMatchObject({ code: 14 });
  });

  it('passes bytes of another protocol', async () => {
    const stranger = net.connect(endpoint.socketPath);
    stranger.on('error', () => undefined);
    stranger.write('GET / HTTP/1.1\r\n\r\n');
    await until('the reader detaches', () => endpoint.stats().detached['not-http2'] === 1);
    stranger.destroy();
    expect(await client.unary(echo, 'x')).toMatchObject({ code: 0 });
  });
});
