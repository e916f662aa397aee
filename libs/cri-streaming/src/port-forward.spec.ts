import { eventually, freePort } from '@stowage/testing';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { WebSocket, type RawData } from 'ws';
import type { StreamingServer } from './streaming-server';
import { SpdyClient, type ClientStream } from './testing/spdy-client';
import { listen } from './testing/targets';
import { openTunnel } from './testing/open-tunnel';
import type { PortTarget } from './types';
import { WebSocketTransport } from './websocket/websocket-transport';

/** To ports of this machine. */
const target: PortTarget = {
  connect: async (port) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  },
};

describe('port-forward', () => {
  let server: StreamingServer;
  /** Answers with all it got, when that has ended. */
  let echo: Server;
  let port: number;
  const connections = new Set<Socket>();
  const clients: { close(): void }[] = [];

  beforeAll(async () => {
    server = await listen({ createWithinMs: 2000 });
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      connections.add(socket);
      socket.on('error', () => undefined).on('close', () => connections.delete(socket));
      socket.write('hello ');
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    ({ port } = echo.address() as AddressInfo);
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  afterAll(async () => {
    await server.close();
    echo.close();
  });

  const open = async (cutsAtEachByte = false) => {
    const url = await server.portForward([], target);
    const protocols = ['portforward.k8s.io'];
    const client = await SpdyClient.open(url, { protocols, cutsAtEachByte });
    clients.push(client);
    return client;
  };
  const pair = async (client: SpdyClient, requestID: string, to = port) => {
    const headers = { port: String(to), requestID };
    const error = await client.createStream({ ...headers, streamType: 'error' });
    client.end(error);
    const data = await client.createStream({ ...headers, streamType: 'data' });
    return { error, data };
  };
  const bothEnded = ({ error, data }: { error: ClientStream; data: ClientStream }) =>
    eventually(() => error.isEnded && data.isEnded);

  describe.each([false, true])('over SPDY, cut at each byte: %s', (cut) => {
    it('carries several connections, and the end of each direction', async () => {
      const client = await open(cut);
      const pairs = [await pair(client, '0'), await pair(client, '1')] as const;
      await eventually(() => pairs.every(({ data }) => data.text === 'hello '));
      client.write(pairs[0].data, 'first');
      client.write(pairs[1].data, 'second');
      client.end(pairs[0].data);
      await bothEnded(pairs[0]);
      expect([pairs[0].data.text, pairs[0].error.text]).toEqual(['hello first', '']);
      await eventually(() => pairs[1].data.text === 'hello second');
      expect(pairs[1].data.isEnded).toBe(false);
      client.end(pairs[1].data);
      await bothEnded(pairs[1]);
      await eventually(() => connections.size === 0);
    });
  });

  it('reports a port on which nothing listens, and the others live on', async () => {
    const client = await open();
    const good = await pair(client, '0');
    const closed = await freePort();
    const bad = await pair(client, '1', closed);
    await bothEnded(bad);
    expect(bad.error.text).toBe(
      `error forwarding port ${closed}: connect ECONNREFUSED 127.0.0.1:${closed}`,
    );
    client.write(good.data, 'on');
    await eventually(() => good.data.text === 'hello on');
  });

  it('closes the connection when the client resets its stream, or is gone', async () => {
    const client = await open();
    const first = await pair(client, '0');
    const second = await pair(client, '1');
    await eventually(() => first.data.text === 'hello ' && second.data.text === 'hello ');
    client.reset(first.data);
    await eventually(() => connections.size === 1 && first.error.isEnded);
    client.close();
    await eventually(() => connections.size === 0 && server.sessions === 0);
  });

  it('ends the error stream without a text when the other side breaks the connection', async () => {
    const client = await open();
    const { error, data } = await pair(client, '0');
    await eventually(() => data.text === 'hello ');
    for (const connection of connections) connection.resetAndDestroy();
    await eventually(() => error.isEnded && (data.isEnded || data.isReset));
    expect(error.text).toBe('');
  });

  it('finds the streams of a client that numbers no requests, and refuses what cannot be', async () => {
    const client = await open();
    const headers = { port: String(port) };
    await client.createStream({ ...headers, streamType: 'error' });
    const data = await client.createStream({ ...headers, streamType: 'data' });
    await eventually(() => data.text === 'hello ');
    const wrongs: Record<string, string>[] = [
      { port: '0', streamType: 'data' },
      { port: '65536', streamType: 'data' },
      { streamType: 'data' },
      { port: '80', streamType: 'stdin' },
    ];
    for (const wrong of wrongs) {
      const stream = await client.createStream({ requestID: '7', ...wrong });
      await eventually(() => stream.isReset);
    }
    const lonely = await client.createStream({ port: '80', requestID: '8', streamType: 'error' });
    await eventually(() => lonely.isEnded);
    expect(lonely.text).toBe('the data stream of request 8 was not opened in time');
  });

  it('carries a whole SPDY connection inside a WebSocket', async () => {
    const url = await server.portForward([], target);
    const socket = await openTunnel(url);
    expect(socket.protocol).toBe('SPDY/3.1+portforward.k8s.io');
    const closed = once(socket, 'close');
    const transport = new WebSocketTransport(socket);
    const client = SpdyClient.over(transport);
    const good = await pair(client, '0');
    await eventually(() => good.data.text === 'hello ');
    const large = Buffer.alloc(3_000_000, 'x');
    client.write(good.data, large);
    client.end(good.data);
    await bothEnded(good);
    expect(good.data.bytes).toBe(large.length + 6);
    transport.end();
    expect((await closed)[0]).toBe(1000);
    await eventually(() => server.sessions === 0);
  });

  it.each([
    ['v4.channel.k8s.io', false],
    ['v4.base64.channel.k8s.io', true],
    [[], false],
  ])('has two channels for each port in the messages of %s', async (protocols, isBase64) => {
    const closedPort = await freePort();
    const url = await server.portForward([], target);
    const socket = new WebSocket(
      `${url.replace('http', 'ws')}?port=${port}&port=${closedPort},${port}`,
      [protocols].flat(),
    );
    const channels = Array.from({ length: 6 }, () => Buffer.alloc(0));
    socket.on('message', (data: RawData) => {
      const message = data as Buffer;
      const channel = isBase64 ? message[0]! - 0x30 : message[0]!;
      const content = isBase64
        ? Buffer.from(message.toString('latin1', 1), 'base64')
        : message.subarray(1);
      channels[channel] = Buffer.concat([channels[channel]!, content]);
    });
    const closed = once(socket, 'close');
    await once(socket, 'open');
    const named = (of: number) => Buffer.from([of & 0xff, of >> 8]).toString('latin1');
    await eventually(() => channels[0]!.length === 8 && channels[4]!.length === 8);
    socket.send(isBase64 ? `0${Buffer.from('abc').toString('base64')}` : Buffer.from('\0abc'));
    await eventually(() => channels[0]!.length === 11);
    expect(channels.map((content) => content.toString('latin1'))).toEqual([
      `${named(port)}hello abc`,
      named(port),
      named(closedPort),
      `${named(closedPort)}error forwarding port ${closedPort}: connect ECONNREFUSED 127.0.0.1:${closedPort}`,
      `${named(port)}hello `,
      named(port),
    ]);
    for (const connection of connections) connection.end();
    expect((await closed)[0]).toBe(1000);
  });

  it('refuses channels for no port', async () => {
    for (const query of ['', '?port=http']) {
      const url = await server.portForward([], target);
      const socket = new WebSocket(url.replace('http', 'ws') + query, ['v4.channel.k8s.io']);
      const [, response] = (await once(socket, 'unexpected-response')) as [
        unknown,
        { statusCode: number },
      ];
      expect(response.statusCode).toBe(400);
    }
  });
});
