import { eventually } from '@stowage/testing';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { StreamingServer } from './streaming-server';
import { SpdyClient, type ClientStream, type SpdyClientOptions } from './testing/spdy-client';
import { cat, command, listen, only, untilStopped } from './testing/targets';
import type { ExecTarget, TerminalSize } from './types';

describe('exec over SPDY', () => {
  let server: StreamingServer;
  const clients: SpdyClient[] = [];
  beforeAll(async () => {
    server = await listen();
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  afterAll(() => server.close());

  const open = async (
    target: ExecTarget,
    streams: ReturnType<typeof only>,
    options: SpdyClientOptions = {},
  ) => {
    const url = await server.exec(streams, target);
    const client = await SpdyClient.open(url, { protocols: ['v4.channel.k8s.io'], ...options });
    clients.push(client);
    return client;
  };
  const create = async (client: SpdyClient, ...types: string[]) => {
    const streams: Record<string, ClientStream> = {};
    for (const streamType of types) streams[streamType] = await client.createStream({ streamType });
    return streams;
  };

  // D02
  it.each([false, true])(
    'brings output after the end of stdin, then the status, then the end of all (bytes one by one: %s)',
    async (cutsAtEachByte) => {
      const client = await open(cat, only('stdin', 'stdout'), { cutsAtEachByte });
      expect(client.head).toMatch(/^X-Stream-Protocol-Version: v4\.channel\.k8s\.io$/m);
      const { error, stdin, stdout } = await create(client, 'error', 'stdin', 'stdout');
      await eventually(() => [...client.streams.values()].every(({ isReplied }) => isReplied));
      client.write(stdin!, 'abc');
      client.end(stdin!);
      await eventually(() => [error, stdin, stdout].every((stream) => stream!.isEnded), {
        timeoutMs: 2000,
      });
      expect(stdout!.text).toBe('abc');
      expect(JSON.parse(error!.text)).toEqual({ metadata: {}, status: 'Success' });
    },
  );

  it.each([
    ['v4.channel.k8s.io', '{"metadata":{},"status":"Failure"'],
    ['v3.channel.k8s.io', 'command terminated with non-zero exit code'],
    ['v2.channel.k8s.io', 'command terminated with non-zero exit code'],
    ['channel.k8s.io', 'command terminated with non-zero exit code'],
    [undefined, 'command terminated with non-zero exit code'],
  ])('says how it ended in the words of %s', async (protocol, words) => {
    const target = command(({ stdout, stderr }) => {
      stdout!.write('out');
      stderr!.write('err');
      return 3;
    });
    const protocols = protocol === undefined ? [] : ['v5.channel.k8s.io', protocol];
    const client = await open(target, only('stdout', 'stderr'), { protocols });
    const streams = await create(client, 'error', 'stdout', 'stderr');
    await eventually(() => streams.error!.isEnded);
    expect(streams.stdout!.text).toBe('out');
    expect(streams.stderr!.text).toBe('err');
    expect(streams.error!.text).toContain(words);
  });

  it('reports what goes wrong, also with a command that does not wait for its input', async () => {
    const target = command(() => Promise.reject(new Error('no such program')));
    const client = await open(target, only('stdin', 'stdout'));
    const { error } = await create(client, 'error', 'stdin', 'stdout');
    await eventually(() => error!.isEnded);
    expect(JSON.parse(error!.text)).toMatchObject({
      status: 'Failure',
      reason: 'InternalError',
      code: 500,
    });
  });

  it('brings sizes of the terminal, and waits for their stream only where the client knows it', async () => {
    for (const [protocol, types] of [
      ['v4.channel.k8s.io', ['error', 'stdout', 'resize']],
      ['v2.channel.k8s.io', ['error', 'stdout']],
    ] as const) {
      const seen: TerminalSize[] = [];
      const target = command(({ onResize, stderr }) => {
        expect(stderr).toBeUndefined();
        onResize((size) => seen.push(size));
        return new Promise((resolve) => setTimeout(resolve, 100, 0));
      });
      const client = await open(target, only('stdout', 'tty'), { protocols: [protocol] });
      const { error, resize } = await create(client, ...types);
      if (resize !== undefined) client.write(resize, '{"Width":80,"Height":24}');
      await eventually(() => error!.isEnded);
      expect(seen).toEqual(resize === undefined ? [] : [{ width: 80, height: 24 }]);
    }
  });

  it('closes its direction of the connection last, and reads on until the client has closed its own', async () => {
    const client = await open(
      command(() => 0),
      only('stdin', 'stdout'),
    );
    const { stdin } = await create(client, 'error', 'stdin', 'stdout');
    await eventually(() => client.goAway === 0 && client.hasServerEnded, { timeoutMs: 5000 });
    // Input that nobody wants any more is taken, and not answered with a reset of the connection.
    for (let index = 0; index < 50; index += 1) client.write(stdin!, Buffer.alloc(64 * 1024));
    await new Promise((resolve) => client.socket.end(resolve));
    await eventually(() => client.isClosed && server.sessions === 0);
  });

  it('loses nothing of a large output that is read slowly, and makes the command wait for it', async () => {
    const total = 20 * 1024 * 1024;
    let made = 0;
    const target = command(async ({ stdout }) => {
      const source = Readable.from(
        (function* () {
          for (; made < total; made += 65_536) yield Buffer.alloc(65_536, 'x');
        })(),
      );
      await pipeline(source, stdout!);
      return 0;
    });
    const client = await open(target, only('stdout'));
    const { stdout, error } = await create(client, 'error', 'stdout');
    await eventually(() => stdout!.bytes > 0);
    client.socket.pause();
    await eventually(async () => {
      const before = made;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return made === before;
    });
    expect(made).toBeLessThan(total);
    client.socket.resume();
    await eventually(() => error!.isEnded, { timeoutMs: 10_000 });
    expect(stdout!.bytes).toBe(total);
    expect(error!.text).toContain('Success');
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
    const { stdin, error } = await create(client, 'error', 'stdin');
    for (let index = 0; index < 400; index += 1) client.write(stdin!, Buffer.alloc(65_536));
    await eventually(async () => {
      const before = client.socket.writableLength;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return client.socket.writableLength === before;
    });
    expect(client.socket.writableLength).toBeGreaterThan(1_000_000);
    go();
    client.end(stdin!);
    await eventually(() => error!.isEnded, { timeoutMs: 10_000 });
    expect(error!.text).toContain('Success');
    expect(read).toBe(400 * 65_536);
  });

  it('notices that the client is gone', async () => {
    let isAborted = false;
    const target = command(
      ({ signal, stdin }) =>
        new Promise((resolve) => {
          stdin!.resume().once('end', () => resolve(0));
          signal.addEventListener('abort', () => (isAborted = true));
        }),
    );
    const client = await open(target, only('stdin'));
    await create(client, 'error', 'stdin');
    await eventually(() => client.streams.get(3)?.isReplied === true);
    client.close();
    await eventually(() => server.sessions === 0);
    await eventually(() => isAborted);
  });

  it('notices that the client is gone while nothing is read of it', async () => {
    const probing = await listen({ probeIntervalMs: 50 });
    let isAborted = false;
    const deaf = command(
      ({ signal }) => new Promise(() => signal.addEventListener('abort', () => (isAborted = true))),
    );
    const client = await SpdyClient.open(await probing.exec(only('stdin'), deaf), {
      protocols: ['v4.channel.k8s.io'],
    });
    const { stdin } = await create(client, 'error', 'stdin');
    await eventually(() => stdin!.isReplied);
    for (let index = 0; index < 400; index += 1) client.write(stdin!, Buffer.alloc(65_536));
    await eventually(() => client.pings.includes(2));
    client.close();
    await eventually(() => isAborted && probing.sessions === 0);
    await probing.close();
  });

  it('answers pings of the client, ignores settings, windows and what is unknown', async () => {
    const client = await open(untilStopped, only('stdout'));
    await create(client, 'error', 'stdout');
    client.send(Buffer.from([0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0]));
    client.send(Buffer.from([0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 9]));
    client.send(Buffer.from([0x80, 3, 0x70, 0, 0, 0, 0, 1, 0]));
    for (const id of [1, 2, 3]) client.ping(id);
    await eventually(() => client.pings.length === 2);
    expect(client.pings).toEqual([1, 3]);
  });

  it('refuses a second stream of a kind, and one that goes back in the numbers', async () => {
    const client = await open(untilStopped, only('stdout'));
    await create(client, 'error', 'stdout');
    const second = await client.createStream({ streamType: 'stdout' });
    await eventually(() => second.isReset);
    expect(client.goAway).toBeUndefined();
    await client.sendSynStream(1, { streamType: 'stdin' });
    await eventually(() => client.goAway === 1);
    await eventually(() => server.sessions === 0, { timeoutMs: 5000 });
  });

  it('ends a session whose streams are not created in time, and says so where it can', async () => {
    const strict = await listen({ createWithinMs: 300 });
    const client = await SpdyClient.open(await strict.exec(only('stdin', 'stdout'), cat), {
      protocols: ['v4.channel.k8s.io'],
    });
    clients.push(client);
    const { error } = await create(client, 'error', 'stdin');
    await eventually(() => error!.isEnded, { timeoutMs: 2000 });
    expect(error!.text).toContain('creation of the streams by the client timed out after 300 ms');
    await eventually(() => client.hasServerEnded, { timeoutMs: 5000 });
    client.close();
    await eventually(() => strict.sessions === 0);
    await strict.close();
  });
});
