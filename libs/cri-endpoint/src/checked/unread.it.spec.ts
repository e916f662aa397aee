import net from 'node:net';
import { createCheckedEndpoint } from '../checked-endpoint';
import { frameMessage } from '../grpc-wire';
import { buildFrame, dataFrame, headerFrames } from '../testing/build-frames';
import { FrameClient } from '../testing/frame-client';
import { methodPath, temporaryFolder, until } from '../testing/grpc-peers';
import type { Endpoint } from '../types';
import { FrameReader, frameType } from '../wire/frame-reader';
import { headerBlock } from '../wire/header-fields';
import { settingsFrame } from '../wire/raw-frames';

const events = methodPath('Events');
const images = '/runtime.v1.ImageService/ListImages';
const cancelled = '/any/Cancelled';

const head = headerBlock([
  [':status', '200'],
  ['content-type', 'application/grpc'],
]);
const end = headerBlock([['grpc-status', '0']]);

function window(streamId: number, bytes: number): Buffer {
  const increment = Buffer.alloc(4);
  increment.writeUInt32BE(bytes);
  return buildFrame(frameType.windowUpdate, 0, streamId, increment);
}

/** A runtime of raw frames: what it does with a call is up to the test. */
class RawRuntime {
  /** Paths and streams of the calls, in order. */
  readonly calls: [path: string, streamId: number, socket: net.Socket][] = [];
  readonly resets: number[] = [];
  /** What it was given of the window of each connection, beyond the first. */
  given = 0;
  readonly #server: net.Server;

  private constructor(onReset: (socket: net.Socket, streamId: number) => void) {
    this.#server = net.createServer((socket) => {
      const nothing = (): undefined => undefined;
      const reader = new FrameReader(
        {
          onData: nothing,
          onDataEnd: nothing,
          onHeaderBlock: (streamId, block, from, to) => {
            const text = block.toString('latin1', from, to);
            const path = [events, images, cancelled].find((known) => text.includes(known)) ?? '';
            this.calls.push([path, streamId, socket]);
          },
          onRstStream: (streamId) => {
            this.resets.push(streamId);
            onReset(socket, streamId);
          },
          onSettings: nothing,
          onPing: nothing,
          onGoAway: nothing,
        },
        1 << 16,
        { preface: true },
      );
      socket.on('error', nothing);
      socket.on('data', (chunk: Buffer) => {
        this.#noteWindows(chunk);
        reader.push(chunk);
      });
      socket.write(settingsFrame());
    });
  }

  static async start(
    socketPath: string,
    onReset: (socket: net.Socket, streamId: number) => void = () => undefined,
  ): Promise<RawRuntime> {
    const runtime = new RawRuntime(onReset);
    await new Promise<void>((resolve) => runtime.#server.listen(socketPath, resolve));
    return runtime;
  }

  stop(): void {
    this.#server.close();
    for (const [, , socket] of this.calls) socket.destroy();
  }

  /** WINDOW_UPDATE of a connection: 13 bytes, which the endpoint writes in one piece. */
  #noteWindows(chunk: Buffer): void {
    const header = Buffer.from([0, 0, 4, frameType.windowUpdate, 0, 0, 0, 0, 0]);
    for (let at = chunk.indexOf(header); at >= 0; at = chunk.indexOf(header, at + 13)) {
      this.given += chunk.readUInt32BE(at + 9);
    }
  }
}

const code = (client: FrameClient, streamId: number): number | undefined =>
  client.received(frameType.rstStream, streamId)[0]?.payload.readUInt32BE(0);
const enhanceYourCalm = 11;

describe('a client of a checked endpoint that keeps the runtime waiting', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let endpoint: Endpoint;
  let client: FrameClient;
  let runtime: RawRuntime;
  let imageRuntime: RawRuntime | undefined;

  beforeEach(async () => {
    folder = temporaryFolder();
    imageRuntime = undefined;
    endpoint = await createCheckedEndpoint({
      socketPath: folder.file('gw.sock'),
      upstream: {
        address: (method) => folder.file(method === images ? 'image.sock' : 'rt.sock'),
      },
      handlers: {},
      unreadLimitMs: (method) => (method === events ? 2000 : undefined),
    });
    client = new FrameClient(endpoint.socketPath);
    await client.begin();
  });

  afterEach(async () => {
    client.leave();
    await endpoint.close();
    runtime.stop();
    imageRuntime?.stop();
    folder.remove();
  });

  const received = (): number =>
    client.received(frameType.data).reduce((sum, { payload }) => sum + payload.length, 0);
  const sendData = (socket: net.Socket, streamId: number, bytes: number): void => {
    for (let left = bytes; left > 0; left -= 16_384) {
      socket.write(dataFrame(streamId, Buffer.alloc(Math.min(left, 16_384))));
    }
  };

  it('byte by byte is cut off as one that reads nothing', async () => {
    runtime = await RawRuntime.start(folder.file('rt.sock'));
    const streamId = client.call(events);
    await until('the call', () => runtime.calls.length === 1);
    const [, id, socket] = runtime.calls[0]!;
    socket.write(headerFrames(id, head));
    sendData(socket, id, 65_535);
    client.write(window(0, 1 << 20));
    await until('all that the window allows', () => received() === 65_535);
    // The runtime has more, and sends of it what it may.
    const timer = setInterval(() => {
      client.write(window(streamId, 1));
      socket.write(dataFrame(id, Buffer.alloc(1)));
    }, 300);
    await until('RST_STREAM', () => code(client, streamId) !== undefined, 10_000).finally(() =>
      clearInterval(timer),
    );
    expect(code(client, streamId)).toBe(enhanceYourCalm);
    await until('the runtime hears of it', () => runtime.resets.includes(id));
  });

  it('with the rest of a window that is too small for what waits is cut off too', async () => {
    runtime = await RawRuntime.start(folder.file('rt.sock'));
    imageRuntime = await RawRuntime.start(folder.file('image.sock'));
    const streamId = client.call(events);
    await until('the call', () => runtime.calls.length === 1);
    // Its own window is as large as can be, that of the connection is used up but for a little.
    client.write(window(streamId, 1 << 30));
    client.call(images);
    await until('the other call', () => imageRuntime?.calls.length === 1);
    const [, imagesId, imageSocket] = imageRuntime.calls[0]!;
    imageSocket.write(headerFrames(imagesId, head));
    sendData(imageSocket, imagesId, 65_525);
    await until('the images', () => received() === 65_525);
    const [, id, socket] = runtime.calls[0]!;
    socket.write(headerFrames(id, head));
    sendData(socket, id, 500);
    await until('RST_STREAM', () => code(client, streamId) !== undefined, 10_000);
    expect(code(client, streamId)).toBe(enhanceYourCalm);
    await until('the runtime hears of it', () => runtime.resets.includes(id));
  });

  it('has all of its window at the runtime, whatever came for calls that it has cancelled', async () => {
    runtime = await RawRuntime.start(folder.file('rt.sock'), (socket, id) => {
      // It was on its way already.
      sendData(socket, id, 10_000);
    });
    const first = client.call(events);
    await until('the call', () => runtime.calls.length === 1);
    const [, id, socket] = runtime.calls[0]!;
    socket.write(headerFrames(id, head));
    sendData(socket, id, 55_535);
    socket.write(headerFrames(id, end, { endStream: true }));
    await until('its end', () => client.isAnswered(first));
    const second = client.call(cancelled);
    await until('the second', () => runtime.calls.length === 2);
    client.write(client.reset(second));
    await until('the reset', () => runtime.resets.length === 1);
    // The client still takes 10 000 bytes, of which the runtime has sent all that it knew of.
    await until('the window', () => runtime.given === 10_000, 3000);
    const third = client.call(events);
    await until('the third', () => runtime.calls.length === 3);
    const thirdId = runtime.calls[2]![1];
    socket.write(headerFrames(thirdId, head));
    const message = frameMessage(Buffer.alloc(9_995));
    socket.write(dataFrame(thirdId, message));
    await until('what it sent', () => client.received(frameType.data, third).length === 1);
  });
});
