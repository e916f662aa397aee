import { readdirSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { buildFrame, dataFrame, headerFrames } from './testing/build-frames';
import { emptyMessage, FrameClient } from './testing/frame-client';
import {
  methodPath,
  patterned,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
  type TestServer,
} from './testing/grpc-peers';
import { createCheckedEndpoint } from './checked-endpoint';
import { createTerminatingEndpoint, type TerminatingEndpointOptions } from './terminating-endpoint';
import type { Endpoint, UnaryHandler } from './types';
import { frameFlag, frameType } from './wire/frame-reader';
import { settingsAckFrame } from './wire/raw-frames';

const { NGHTTP2_REFUSED_STREAM, NGHTTP2_NO_ERROR } = http2.constants;
const pull = '/runtime.v1.ImageService/PullImage';
const echo = methodPath('Echo');
const hang = methodPath('Hang');
const mebibyte = 1024 * 1024;
const seconds = 1_000;

describe.each([
  ['terminating', createTerminatingEndpoint],
  ['checked', createCheckedEndpoint],
] as const)(
  '%s endpoint: a terminating endpoint and clients that break rules or take much',
  (_kind, createEndpoint) => {
    let folder: ReturnType<typeof temporaryFolder>;
    let server: TestServer;
    let endpoint: Endpoint;
    let warnings: string[];
    let givenUp: string[];
    let release: () => void;
    const clients: { close(): void }[] = [];

    const onWarning = ({ message }: Error): void => void warnings.push(message);
    const hold: UnaryHandler = (request, { signal }) =>
      new Promise((resolve, reject) => {
        const before = release;
        release = () => {
          before();
          resolve(request);
        };
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });

    beforeEach(async () => {
      folder = temporaryFolder();
      server = await startTestServer(folder.file('rt.sock'));
      warnings = [];
      givenUp = [];
      release = () => undefined;
      process.on('warning', onWarning);
      await start();
    });

    const start = async (options: Partial<TerminatingEndpointOptions> = {}): Promise<void> => {
      endpoint = await createEndpoint({
        socketPath: folder.file('gw.sock'),
        upstream: { address: () => server.socketPath },
        handlers: { [pull]: hold },
        unavailableReason: () => undefined,
        onGivenUp: (address, reason) => givenUp.push(`${address}: ${reason}`),
        service: 'gateway',
        ...options,
      });
    };
    const restart = async (options: Partial<TerminatingEndpointOptions>): Promise<void> => {
      await endpoint.close();
      await start(options);
    };

    afterEach(async () => {
      for (const client of clients.splice(0)) client.close();
      await endpoint.close();
      server.kill();
      folder.remove();
      process.off('warning', onWarning);
      expect(warnings.filter((message) => /listeners/.test(message))).toEqual([]);
    });

    const connect = (): TestClient => {
      const client = new TestClient(endpoint.socketPath);
      clients.push(client);
      return client;
    };
    const frames = (authority?: string): FrameClient => {
      const client = new FrameClient(endpoint.socketPath, authority);
      clients.push({ close: () => client.leave() });
      return client;
    };
    /** Somebody else is served, and soon. */
    const servesOthers = async (): Promise<void> => {
      const client = connect();
      expect(
        await client.unary(echo, 'hello', { deadline: Date.now() + 20 * seconds }),
      ).toMatchObject({ code: 0 });
      client.close();
    };

    describe('a connection to the runtime that does not move', () => {
      /** A runtime that takes whatever is sent, answers nothing, and stops reading. */
      const stopReading = async (): Promise<() => void> => {
        server.kill();
        const sessions: http2.ServerHttp2Session[] = [];
        const runtime = http2.createServer({ settings: { initialWindowSize: 64 * mebibyte } });
        runtime.on('session', (session) => {
          sessions.push(session);
          session.setLocalWindowSize(64 * mebibyte);
          session.on('error', () => undefined);
        });
        runtime.on('stream', (stream) => stream.on('error', () => undefined));
        const stuck: net.Socket[] = [];
        const listener = net.createServer((socket) => {
          socket.on('error', () => undefined);
          stuck.push(socket);
          runtime.emit('connection', socket);
          // As a peer whose own answers wait does: it reads no more.
          (socket as unknown as { _handle: { readStop(): void } })._handle.readStop();
          sessions
            .at(-1)
            ?.once('localSettings', () =>
              (socket as unknown as { _handle: { readStop(): void } })._handle.readStop(),
            );
        });
        await new Promise<void>((resolve) => listener.listen(server.socketPath, resolve));
        return () => {
          listener.close();
          for (const socket of stuck) socket.destroy();
        };
      };

      it('is given up within seconds: its calls get UNAVAILABLE, the next ones a new one', async () => {
        const end = await stopReading();
        const client = connect();
        const began = Date.now();
        const calls = Array.from({ length: 20 }, () => client.unary(echo, patterned(100_000)));
        await until('the runtime is connected to', () => endpoint.stats().callsInFlight === 20);
        const results = await Promise.all(calls);
        expect(Date.now() - began).toBeLessThan(30 * seconds);
        const reason = 'the connection to it took nothing for 5 s and was given up';
        expect(results[0]).toMatchObject({
          code: 14,
          details: `container runtime at ${server.socketPath} is unavailable: ${reason}`,
        });
        expect(new Set(results.map(({ code }) => code))).toEqual(new Set([14]));
        expect(givenUp).toEqual([`${server.socketPath}: ${reason}`]);
        expect(endpoint.stats().upstreamsGivenUp).toBe(1);
        end();
        server = await startTestServer(folder.file('rt.sock'));
        expect(await client.unary(echo, 'x')).toMatchObject({ code: 0 });
      });

      it('is that of one client only', async () => {
        const wedged = frames();
        await wedged.begin();
        const streams = Array.from({ length: 600 }, () => wedged.call(hang));
        await until('they are forwarded', () => server.seen.length === streams.length);
        wedged.socket.pause();
        await servesOthers();
        wedged.leave();
        await until('the runtime notices', () => server.seen.every(({ cancelled }) => cancelled));
        await servesOthers();
      });

      it('is given up when the runtime breaks HTTP/2, which node:http2 does not report', async () => {
        server.kill();
        const listener = net.createServer((socket) => {
          socket.on('error', () => undefined);
          socket.write(
            Buffer.concat([
              buildFrame(frameType.settings, 0, 0),
              settingsAckFrame(),
              buildFrame(frameType.ping, 0, 0, Buffer.alloc(3)),
            ]),
          );
          socket.resume();
        });
        await new Promise<void>((resolve) => listener.listen(server.socketPath, resolve));
        const result = await connect().unary(echo, 'x', { deadline: Date.now() + 30 * seconds });
        expect(result).toMatchObject({ code: 14 });
        listener.close();
      });
    });

    describe('calls that are cancelled by the thousand', () => {
      it('leave alone a call that runs beside them on the same connection', async () => {
        const client = connect();
        const pulled = client.unary(pull, 'image');
        await until('the pull runs', () => endpoint.stats().callsInFlight === 1);
        for (let round = 0; round < 30; round++) {
          const codes = Array.from({ length: 100 }, () =>
            client.unary(hang, 'x', {}, (call) => setImmediate(() => call.cancel())),
          );
          for (const { code } of await Promise.all(codes)) expect(code).toBe(1);
        }
        release();
        expect(await pulled).toMatchObject({ code: 0, message: Buffer.from('image') });
        await servesOthers();
      });

      it('move a client to a new connection, on which it goes on', async () => {
        const client = frames();
        await client.begin();
        client.write(settingsAckFrame());
        const running = client.call(pull);
        for (let round = 0; round < 40; round++) {
          const streams = Array.from({ length: 20 }, () => client.call(hang));
          client.write(...streams.map((streamId) => client.reset(streamId)));
        }
        await until('GOAWAY', () => client.received(frameType.goAway).length > 0);
        const [goAway] = client.received(frameType.goAway);
        expect(goAway?.payload.readUInt32BE(4)).toBe(NGHTTP2_NO_ERROR);
        release();
        await until('the call is answered', () => client.isAnswered(running));
        await until('the connection is closed', () => client.closed);
      });
    });

    describe('descriptors', () => {
      const descriptors = (): number => readdirSync('/proc/self/fd').length;
      const whole = (client: FrameClient): Buffer[] => [
        client.headers(echo),
        dataFrame(1, emptyMessage, { endStream: true }),
      ];
      const ping = (bytes: number): Buffer => buildFrame(frameType.ping, 0, 0, Buffer.alloc(bytes));
      const attacks: Record<string, (client: FrameClient) => Buffer[]> = {
        'a header block without its end, then another frame': (client) => [
          buildFrame(frameType.headers, 0, 1, client.block(echo)),
          ping(8),
        ],
        'a header block without its end': (client) => [
          buildFrame(frameType.headers, 0, 1, client.block(echo)),
        ],
        'headers that cannot be decoded': () => [
          headerFrames(1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff)),
        ],
        'CONTINUATION first': () => [
          buildFrame(frameType.continuation, frameFlag.endHeaders, 1, Buffer.alloc(3)),
        ],
        'a good call and then a PING of 3 bytes': (client) => [...whole(client), ping(3)],
        'a good call and then a PING without content': (client) => [...whole(client), ping(0)],
        'a good call and then SETTINGS of 5 bytes': (client) => [
          ...whole(client),
          buildFrame(frameType.settings, 0, 0, Buffer.alloc(5)),
        ],
        'a good call and then headers that cannot be decoded': (client) => [
          ...whole(client),
          headerFrames(3, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff)),
        ],
        'a good call and then a window that is too large': (client) => [
          ...whole(client),
          buildFrame(frameType.windowUpdate, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
        ],
        'a good call and then CONTINUATION': (client) => [
          ...whole(client),
          buildFrame(frameType.continuation, frameFlag.endHeaders, 1, Buffer.alloc(3)),
        ],
        'half a frame': (client) => [client.headers(echo).subarray(0, 20)],
      };

      it.each(
        Object.keys(attacks).flatMap((attack) => [
          [attack, 'localhost'],
          [attack, '/run/stowage/image.sock'],
        ]),
      )('come back after %s, authority %s', async (attack, authority) => {
        await servesOthers();
        await until('the first one has left', () => endpoint.stats().openConnections === 0);
        const before = descriptors();
        const attackers = Array.from({ length: 10 }, (_, index) => {
          const client = frames(authority);
          client.write(FrameClient.start, settingsAckFrame(), ...(attacks[attack]?.(client) ?? []));
          // Some also say that they leave.
          if (index % 2 === 0) client.socket.end();
          return client;
        });
        await until('all were taken', () => endpoint.stats().acceptedConnections === 11);
        await servesOthers();
        for (const client of attackers) client.leave();
        await until('nothing is open', () => endpoint.stats().openConnections === 0);
        await until('they are back', () => descriptors() <= before);
      });

      it('come back after a second call that breaks HTTP/2 on a connection that was fine', async () => {
        const before = descriptors();
        const client = frames();
        await client.begin();
        client.write(settingsAckFrame());
        const streamId = client.call(echo);
        await until('it is answered', () => client.isAnswered(streamId));
        client.write(ping(3));
        await until('GOAWAY', () => client.received(frameType.goAway).length > 0);
        client.leave();
        await until('nothing is open', () => endpoint.stats().openConnections === 0);
        await until('they are back', () => descriptors() <= before);
        expect(endpoint.stats().detached).toEqual({ protocol: 1 });
      });

      it('of clients whose header block, or preface, does not end are taken back after a while', async () => {
        const unfinished = [frames(), frames('/run/stowage/image.sock'), frames(), frames()];
        unfinished[0]?.write(
          FrameClient.start,
          buildFrame(frameType.headers, 0, 1, unfinished[0].block(echo)),
        );
        unfinished[1]?.write(FrameClient.start, ...whole(unfinished[1]));
        unfinished[1]?.write(buildFrame(frameType.headers, 0, 3, unfinished[1].block(echo)));
        unfinished[2]?.write(FrameClient.start.subarray(0, 10));
        await until(
          'they are closed',
          () => unfinished.every(({ closed }) => closed),
          20 * seconds,
        );
        await servesOthers();
      });
    });

    describe('memory', () => {
      it('is not taken by calls beyond what a connection may have open: they are refused', async () => {
        const client = frames();
        await client.begin();
        const block = client.block(pull);
        const streams = Array.from({ length: 3_000 }, () => client.nextStreamId());
        client.write(...streams.map((streamId) => headerFrames(streamId, block)));
        await until('the last is refused', () =>
          client.received(frameType.rstStream).some(({ streamId }) => streamId === streams.at(-1)),
        );
        const refused = client.received(frameType.rstStream);
        expect(refused).toHaveLength(2_000);
        expect(new Set(refused.map(({ payload }) => payload.readUInt32BE(0)))).toEqual(
          new Set([NGHTTP2_REFUSED_STREAM]),
        );
        expect(endpoint.stats().callsInFlight).toBe(1_000);
        await servesOthers();
        client.leave();
        await until('all are over', () => endpoint.stats().callsInFlight === 0);
      });

      it('is not taken by calls beyond what all may have open; who has few is served', async () => {
        const many = [frames(), frames(), frames()];
        for (const client of many) {
          await client.begin();
          const block = client.block(pull);
          client.write(
            ...Array.from({ length: 900 }, () => headerFrames(client.nextStreamId(), block)),
          );
        }
        await until('some are refused', () =>
          many.some((client) => client.received(frameType.headers).length > 0),
        );
        await until('the rest is open', () => endpoint.stats().callsInFlight <= 2_100);
        const answers = many.flatMap((client) => client.received(frameType.headers));
        expect(answers[0]?.payload.toString('latin1')).toContain('8');
        await servesOthers();
      });

      it('is bounded for requests of a connection that do not end; who has less is served', async () => {
        await restart({ maxRequestBytes: mebibyte });
        const client = frames();
        await client.begin();
        client.write(settingsAckFrame());
        const prefix = Buffer.from([0, 0, 0x0f, 0xff, 0xff]);
        const streams = Array.from({ length: 60 }, () => client.nextStreamId());
        for (const streamId of streams) {
          client.write(headerFrames(streamId, client.block(pull)), dataFrame(streamId, prefix));
          client.sendZeros(streamId, 60_000);
        }
        const refused = (): number[] => streams.filter((streamId) => client.isAnswered(streamId));
        // A MiB, and what is always granted: 22 of them.
        await until('what does not fit is refused', () => refused().length > 34);
        await until('what is refused is cut', () =>
          refused().every(
            (streamId) => client.received(frameType.rstStream, streamId).length === 1,
          ),
        );
        const open = (): number => streams.length - refused().length;
        await until('what is refused has ended', () => endpoint.stats().callsInFlight === open());
        const other = connect();
        const pulled = other.unary(pull, patterned(900_000));
        await until('it is taken', () => endpoint.stats().callsInFlight === open() + 1);
        release();
        // Its request may still be on the way.
        const done = setInterval(() => release(), 10);
        expect(await pulled).toMatchObject({ code: 0 });
        clearInterval(done);
        client.leave();
      });

      it('is given back: a message of the largest size is taken after such requests', async () => {
        await restart({ maxRequestBytes: 2 * mebibyte });
        for (let round = 0; round < 3; round++) {
          const client = connect();
          const calls = Array.from({ length: 4 }, () =>
            client.unary(pull, patterned(1.5 * mebibyte)),
          );
          const done = setInterval(() => release(), 10);
          const codes = (await Promise.all(calls)).map(({ code }) => code);
          expect(codes).toContain(8);
          expect(await client.unary(pull, patterned(2 * mebibyte))).toMatchObject({ code: 0 });
          clearInterval(done);
        }
      });
    });
  },
);
