import { eventually } from '@stowage/testing';
import { once } from 'node:events';
import { WebSocket, type RawData } from 'ws';
import type { StreamingServer } from './streaming-server';
import { cat, command, listen, only, untilStopped } from './testing/targets';
import type { ExecTarget, TerminalSize } from './types';

describe('exec over WebSocket', () => {
  let server: StreamingServer;
  const sockets: WebSocket[] = [];
  beforeAll(async () => {
    server = await listen();
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.terminate();
  });
  afterAll(() => server.close());

  const open = async (
    target: ExecTarget,
    streams: ReturnType<typeof only>,
    protocols: string | readonly string[] = 'v5.channel.k8s.io',
  ) => {
    const url = await server.exec(streams, target);
    const socket = new WebSocket(url.replace('http', 'ws'), [protocols].flat());
    sockets.push(socket);
    const isBase64 = () => socket.protocol.includes('base64');
    const channels: string[] = [];
    const messages: { channel: number; length: number; isBinary: boolean }[] = [];
    socket.on('message', (data: RawData, isBinary) => {
      const message = data as Buffer;
      const channel = isBase64() ? message[0]! - 0x30 : message[0]!;
      const content = isBase64()
        ? Buffer.from(message.toString('latin1', 1), 'base64')
        : message.subarray(1);
      messages.push({ channel, length: content.length, isBinary });
      channels[channel] = (channels[channel] ?? '') + content.toString('latin1');
    });
    const closed = once(socket, 'close').then(([code]) => code as number);
    await once(socket, 'open');
    return {
      socket,
      channels,
      messages,
      closed,
      write: (channel: number, text: string) =>
        socket.send(
          isBase64()
            ? `${channel}${Buffer.from(text).toString('base64')}`
            : Buffer.from([channel, ...Buffer.from(text)]),
        ),
    };
  };

  // D02
  it('brings output after the end of stdin, then the status, and closes as it should', async () => {
    const client = await open(cat, only('stdin', 'stdout'), [
      'v6.channel.k8s.io',
      'v5.channel.k8s.io',
      'v4.channel.k8s.io',
    ]);
    expect(client.socket.protocol).toBe('v5.channel.k8s.io');
    client.write(0, 'abc');
    client.socket.send(Buffer.from([255, 0]));
    expect(await client.closed).toBe(1000);
    expect(client.channels[1]).toBe('abc');
    expect(JSON.parse(client.channels[3]!)).toEqual({ metadata: {}, status: 'Success' });
    await eventually(() => server.sessions === 0);
  });

  it.each([
    ['v5.channel.k8s.io', true, '"reason":"NonZeroExitCode"'],
    ['v4.channel.k8s.io', true, '"reason":"NonZeroExitCode"'],
    ['v4.base64.channel.k8s.io', false, '"reason":"NonZeroExitCode"'],
    ['channel.k8s.io', true, 'command terminated with exit code 3'],
    ['base64.channel.k8s.io', false, 'command terminated with exit code 3'],
    [[], true, 'command terminated with exit code 3'],
  ])('has the streams in the messages of %s', async (protocols, binary, words) => {
    const target = command(async ({ stdin, stdout, stderr }) => {
      const [chunk] = (await once(stdin!, 'data')) as [Buffer];
      stdout!.write(`out ${chunk.toString()}`);
      stderr!.write('err');
      return 3;
    });
    const client = await open(target, only('stdin', 'stdout', 'stderr'), protocols);
    await eventually(() => client.messages.length === 1);
    // An empty message says that the streams are there.
    expect(client.messages[0]).toEqual({ channel: 1, length: 0, isBinary: binary });
    client.write(9, 'for a channel that there is not');
    client.write(1, 'for a channel that is not read');
    client.write(0, 'héllo');
    expect(await client.closed).toBe(1000);
    expect(client.channels[1]).toBe(Buffer.from('out héllo').toString('latin1'));
    expect(client.channels[2]).toBe('err');
    expect(client.channels[3]).toContain(words);
    expect(client.messages.every(({ isBinary }) => isBinary === binary)).toBe(true);
    // The status comes when all output has.
    expect(client.messages.at(-1)!.channel).toBe(3);
  });

  it('says nothing of success before version 4', async () => {
    const client = await open(
      command(() => 0),
      only('stderr'),
      'channel.k8s.io',
    );
    await client.closed;
    expect(client.channels[3]).toBeUndefined();
    expect(client.messages[0]).toMatchObject({ channel: 2, length: 0 });
  });

  it('brings sizes of the terminal', async () => {
    const sizes: TerminalSize[] = [];
    const target = command(
      ({ onResize }) =>
        new Promise((resolve) => {
          onResize((size) => {
            sizes.push(size);
            if (sizes.length === 2) resolve(0);
          });
        }),
    );
    const client = await open(target, only('stdin', 'stdout', 'tty'));
    client.write(4, '{"Width":80,"Height":24}');
    client.write(4, '{"Width":100,"Height":30}\n');
    await client.closed;
    expect(sizes).toEqual([
      { width: 80, height: 24 },
      { width: 100, height: 30 },
    ]);
  });

  it('closes the connection of a client that ends a channel that there is not', async () => {
    const client = await open(untilStopped, only('stdin'));
    client.socket.send(Buffer.from([255, 7]));
    expect(await client.closed).toBe(1002);
    await eventually(() => server.sessions === 0);
  });

  it('loses nothing of a large output that is read slowly, and makes the command wait for it', async () => {
    const total = 20 * 1024 * 1024;
    let made = 0;
    const target = command(async ({ stdout }) => {
      while (made < total) {
        made += 65_536;
        if (!stdout!.write(Buffer.alloc(65_536, 'x'))) await once(stdout!, 'drain');
      }
      return 0;
    });
    const client = await open(target, only('stdout'));
    client.socket.pause();
    await eventually(async () => {
      const before = made;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return made === before;
    });
    expect(made).toBeLessThan(total);
    client.socket.resume();
    expect(await client.closed).toBe(1000);
    const received = client.messages.filter(({ channel }) => channel === 1);
    expect(received.reduce((sum, { length }) => sum + length, 0)).toBe(total);
    expect(client.channels[3]).toContain('Success');
  });

  it('takes no more input than the command reads', async () => {
    let go!: () => void;
    const wanted = new Promise<void>((resolve) => (go = resolve));
    let read = 0;
    const target = command(async ({ stdin }) => {
      await wanted;
      for await (const chunk of stdin!) read += (chunk as Buffer).length;
      return 0;
    });
    const client = await open(target, only('stdin'));
    const piece = 'x'.repeat(65_536);
    for (let index = 0; index < 400; index += 1) client.write(0, piece);
    await eventually(async () => {
      const before = client.socket.bufferedAmount;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return client.socket.bufferedAmount === before;
    });
    expect(client.socket.bufferedAmount).toBeGreaterThan(1_000_000);
    go();
    client.socket.send(Buffer.from([255, 0]));
    await client.closed;
    expect(read).toBe(400 * 65_536);
  });

  it('notices that the client is gone', async () => {
    let isAborted = false;
    const target = command(
      ({ signal }) => new Promise(() => signal.addEventListener('abort', () => (isAborted = true))),
    );
    const client = await open(target, only('stdin'));
    client.socket.terminate();
    await eventually(() => isAborted && server.sessions === 0);
  });
});
