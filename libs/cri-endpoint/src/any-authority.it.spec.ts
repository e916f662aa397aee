import http2 from 'node:http2';
import net from 'node:net';
import { awaitAuthority, type AwaitedClient } from './any-authority';
import { defaultReaderLimits } from './connection-reader';
import { buildFrame, dataFrame, headerFrames } from './testing/build-frames';
import { HpackEncoder } from './testing/encode-hpack';
import { temporaryFolder, until } from './testing/grpc-peers';
import { clientPreface, FrameReader, frameType } from './wire/frame-reader';
import { HpackDecoder } from './wire/hpack-decoder';
import { settingsAckFrame, settingsFrame } from './wire/raw-frames';

const socketPath = '/run/stowage/image.sock';

/** A client of raw frames, which sends exactly what the test asks for. */
class RawClient {
  readonly frames: string[] = [];
  readonly answers: Record<string, string>[] = [];
  closed = false;
  private readonly encoder = new HpackEncoder();
  private readonly socket: net.Socket;
  private calls = 0;

  constructor(path: string) {
    this.socket = net.connect(path);
    const decoder = new HpackDecoder(4096);
    const reader = new FrameReader(
      {
        onData: () => undefined,
        onDataEnd: () => undefined,
        onHeaderBlock: (_streamId, block, start, end) => {
          const fields: Record<string, string> = {};
          decoder.decode(block, start, end, (name, value) => (fields[name] = value));
          this.answers.push(fields);
        },
        onRstStream: (streamId, code) => this.frames.push(`rst ${streamId} ${code}`),
        onSettings: (ack) => this.frames.push(ack ? 'settings ack' : 'settings'),
        onPing: (ack) => this.frames.push(ack ? 'ping ack' : 'ping'),
        onGoAway: (_last, code) => this.frames.push(`goaway ${code}`),
      },
      1 << 20,
      { preface: false },
    );
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => (this.closed = true));
    this.socket.on('data', (chunk: Buffer) => reader.push(chunk));
  }

  /** What Go clients send before they wait for SETTINGS. */
  static readonly start = Buffer.concat([clientPreface, settingsFrame()]);

  /** The frames of one call. Header fields are indexed, so that a later call is a few bytes. */
  call(authority: string): Buffer {
    const streamId = 2 * this.calls++ + 1;
    const fields = Object.entries({
      ':method': 'POST',
      ':scheme': 'http',
      ':path': '/runtime.v1.ImageService/ListImages',
      ':authority': authority,
      'content-type': 'application/grpc',
    }).map(([name, value]) =>
      this.encoder.field({ name, value, form: 'index', huffman: true, nameIndex: true }),
    );
    return Buffer.concat([
      headerFrames(streamId, Buffer.concat(fields)),
      dataFrame(streamId, Buffer.from([0, 0, 0, 0, 0]), { endStream: true }),
    ]);
  }

  write(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Each byte on its own. */
  async writeSlowly(bytes: Buffer): Promise<void> {
    for (const byte of bytes) {
      await new Promise((resolve) => this.socket.write(Buffer.of(byte), resolve));
    }
  }

  settings(): Promise<void> {
    return until('SETTINGS', () => this.frames.includes('settings'));
  }

  answered(count: number): Promise<void> {
    return until(`answer ${count}`, () => this.answers.length >= count);
  }

  end(): void {
    this.socket.destroy();
  }
}

describe('awaitAuthority', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: http2.Http2Server;
  let listener: net.Server;
  let client: RawClient;
  /** How each client was handed over. */
  let handed: ('socket' | 'rewritten')[];
  let awaited: AwaitedClient[];
  let leavers: number;
  const sessions = new Set<http2.ServerHttp2Session>();

  beforeEach(async () => {
    folder = temporaryFolder();
    handed = [];
    awaited = [];
    leavers = 0;
    server = http2.createServer();
    server.on('session', (session) => sessions.add(session.on('error', () => undefined)));
    server.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200, 'x-authority': headers[':authority'] }, { endStream: true });
    });
    listener = net.createServer((socket) => {
      socket.on('error', () => undefined).on('close', () => leavers++);
      awaited.push(
        awaitAuthority(socket, defaultReaderLimits, (connection) => {
          handed.push(connection === socket ? 'socket' : 'rewritten');
          server.emit('connection', connection);
        }),
      );
    });
    await new Promise<void>((resolve) => listener.listen(folder.file('s'), resolve));
    client = new RawClient(folder.file('s'));
  });

  afterEach(() => {
    client.end();
    for (const session of sessions) session.destroy();
    sessions.clear();
    listener.close();
    folder.remove();
  });

  it.each([
    ['localhost', 'socket', 'localhost'],
    ['registry.example:5000', 'socket', 'registry.example:5000'],
    [socketPath, 'rewritten', 'localhost'],
    ['%2Frun%2Fstowage%2Fimage.sock', 'socket', '%2Frun%2Fstowage%2Fimage.sock'],
    ['', 'rewritten', 'localhost'],
  ])('serves Go clients, whose authority is "%s": as %s', async (authority, way, seen) => {
    client.write(RawClient.start);
    await client.settings();
    client.write(settingsAckFrame(), client.call(authority));
    await client.answered(1);
    client.write(client.call(authority), client.call(authority));
    await client.answered(3);
    expect(client.answers.map((fields) => fields['x-authority'])).toEqual([seen, seen, seen]);
    expect(handed).toEqual([way]);
    expect(client.frames.filter((frame) => /rst|goaway/.test(frame))).toEqual([]);
    expect(client.closed).toBe(false);
  });

  it.each(['localhost', socketPath])('takes "%s" byte by byte', async (authority) => {
    await client.writeSlowly(RawClient.start);
    await client.settings();
    await client.writeSlowly(Buffer.concat([settingsAckFrame(), client.call(authority)]));
    await client.writeSlowly(client.call(authority));
    await client.answered(2);
    expect(client.answers.map((fields) => fields['x-authority'])).toEqual([
      'localhost',
      'localhost',
    ]);
  });

  it.each([
    ['localhost', 'socket'],
    [socketPath, 'rewritten'],
  ])('adds no SETTINGS for a client that does not wait: "%s"', async (authority, way) => {
    client.write(RawClient.start, client.call(authority));
    await client.answered(1);
    client.write(settingsAckFrame());
    client.write(client.call(authority));
    await client.answered(2);
    expect(client.frames).toEqual(['settings', 'settings ack']);
    expect(handed).toEqual([way]);
  });

  it.each(['localhost', socketPath])(
    'serves one that acknowledges late: "%s"',
    async (authority) => {
      client.write(RawClient.start);
      await client.settings();
      client.write(client.call(authority));
      await client.answered(1);
      // For both SETTINGS that it got; one of them is not node:http2's.
      client.write(settingsAckFrame(), settingsAckFrame(), client.call(authority));
      await client.answered(2);
      expect(handed).toEqual(['rewritten']);
      expect(client.frames.filter((frame) => /rst|goaway/.test(frame))).toEqual([]);
    },
  );

  it('lets node:http2 answer a client that makes no call', async () => {
    client.write(RawClient.start, buildFrame(frameType.ping, 0, 0, Buffer.alloc(8)));
    await until('the PING is answered', () => client.frames.includes('ping ack'));
    expect(client.frames).toContain('settings ack');
    client.write(settingsAckFrame(), settingsAckFrame(), client.call(socketPath));
    await client.answered(1);
    expect(client.answers[0]).toMatchObject({ 'x-authority': 'localhost' });
  });

  it('leaves another protocol to node:http2, which closes', async () => {
    client.write(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'));
    await until('the connection is closed', () => client.closed);
    expect(handed).toEqual(['rewritten']);
  });

  it('hands nothing over for a client that leaves without a word', async () => {
    await until('it is accepted', () => awaited.length === 1);
    client.end();
    await until('it has left', () => leavers === 1);
    awaited[0]?.release();
    expect(handed).toEqual([]);
  });

  it('hands a silent client over at once when asked to, so that it can be sent away', async () => {
    client.write(RawClient.start);
    await client.settings();
    awaited[0]?.release();
    for (const session of sessions) session.close();
    await until('GOAWAY', () => client.frames.includes('goaway 0'));
    await until('the connection is closed', () => client.closed);
    expect(handed).toEqual(['rewritten']);
  });

  it('keeps little of a client that never makes a call', async () => {
    client.write(RawClient.start);
    await client.settings();
    const pings = buildFrame(frameType.ping, 0, 0, Buffer.alloc(8));
    client.write(...Array.from({ length: 20_000 }, () => pings));
    await until('it is handed over', () => handed.length === 1);
    expect(handed).toEqual(['rewritten']);
  });

  it('ends a connection whose headers cannot be read after a change', async () => {
    client.write(RawClient.start, client.call(socketPath));
    await client.answered(1);
    client.write(headerFrames(3, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff)));
    await until('the connection is closed', () => client.closed);
  });
});
