import { Worker } from 'node:worker_threads';
import { FrameClient } from './testing/frame-client';
import { temporaryFolder, TestClient, until } from './testing/grpc-peers';
import { createCheckedEndpoint } from './checked-endpoint';
import { createTerminatingEndpoint } from './terminating-endpoint';
import type { Endpoint, LocalHandler, UnaryCall } from './types';
import { buildFrame } from './testing/build-frames';
import { frameType } from './wire/frame-reader';

const method = '/runtime.v1.ImageService/PullImage';
const answer = Buffer.alloc(100_000, 7);

/**
 * A client in a thread of its own: notes in `seen` that it has the trailers, also while this thread
 * stands still.
 */
const clientThread = `
  const { workerData, parentPort } = require('node:worker_threads');
  const net = require('node:net');
  const { socketPath, frames, seen } = workerData;
  const socket = net.connect(socketPath, () => socket.write(Buffer.from(frames)));
  let read = 0;
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const [type, flags] = [rest[3], rest[4]];
      rest = rest.subarray(9 + rest.readUIntBE(0, 3));
      if (type === 1 && (flags & 1) === 1) {
        Atomics.store(seen, 0, 1);
        Atomics.notify(seen, 0);
        socket.destroy();
      }
    }
  });`;

describe.each([
  ['terminating', createTerminatingEndpoint],
  ['checked', createCheckedEndpoint],
] as const)('answered, %s endpoint', (_kind, createEndpoint) => {
  let folder: ReturnType<typeof temporaryFolder>;
  let endpoint: Endpoint;

  beforeEach(() => (folder = temporaryFolder()));
  afterEach(async () => {
    await endpoint.close();
    folder.remove();
  });

  const start = async (handler: LocalHandler): Promise<void> => {
    endpoint = await createEndpoint({
      socketPath: folder.file('image.sock'),
      handlers: { [method]: handler },
    });
  };

  describe.each(['localhost', '/run/stowage/image.sock'])('with the authority %s', (authority) => {
    it.each([
      ['a unary answer', 'unary'],
      ['a streamed answer', 'stream'],
    ])('of %s: the client has all of it', async (_what, kind) => {
      const seen = new Int32Array(new SharedArrayBuffer(4));
      let outcome: string | undefined;
      const look = ({ answered }: UnaryCall) =>
        void answered.then(() => {
          // This thread does nothing more: what has not left by now does not come.
          outcome = Atomics.wait(seen, 0, 0, 5_000);
        });
      await start(
        kind === 'unary'
          ? (_request, call) => {
              look(call);
              return Promise.resolve(answer);
            }
          : {
              stream: async (_request, call) => {
                look(call);
                await call.send(answer);
              },
            },
      );
      const writer = new FrameClient(folder.file('none.sock'), authority);
      const frames: Buffer[] = [FrameClient.start, windowUpdate(0), windowUpdate(1)];
      writer.write = (...parts) => void frames.push(...parts);
      writer.call(method);
      const [preface, forConnection, forStream, ...call] = frames;
      const worker = new Worker(clientThread, {
        eval: true,
        workerData: {
          socketPath: endpoint.socketPath,
          frames: Buffer.concat([preface!, forConnection!, ...call, forStream!]),
          seen,
        },
      });
      await until('the answer has left', () => outcome !== undefined);
      expect(outcome).not.toBe('timed-out');
      await worker.terminate();
    });
  });

  it('of a call that is cancelled, or fails: as soon as it has ended', async () => {
    const answered: string[] = [];
    const begun: string[] = [];
    await start(async (request, call) => {
      const name = Buffer.from(request).toString();
      begun.push(name);
      void call.answered.then(() => answered.push(name));
      if (name === 'fails') throw new Error('broken');
      await new Promise(() => undefined);
      return request;
    });
    const client = new TestClient(endpoint.socketPath);
    await client.unary(method, 'fails');
    await until('the end of the first', () => answered[0] === 'fails');
    await client.unary(method, 'cancelled', {}, (call) => {
      void until('it runs', () => begun.length === 2).then(() => call.cancel());
    });
    await until('the end of the second', () => answered[1] === 'cancelled');
    client.close();
  });

  it('of an answer that the client does not take: a second later', async () => {
    let answeredAt: number | undefined;
    await start((_request, call) => {
      void call.answered.then(() => (answeredAt = performance.now()));
      return Promise.resolve(answer);
    });
    const began = performance.now();
    // Has room for 64 KiB.
    const client = new FrameClient(endpoint.socketPath);
    await client.begin();
    client.call(method);
    await until('it resolves', () => answeredAt !== undefined);
    expect(answeredAt! - began).toBeGreaterThan(900);
    expect(endpoint.stats().callsInFlight).toBe(1);
    client.leave();
  });
});

/** Room for a megabyte more. */
function windowUpdate(streamId: number): Buffer {
  return buildFrame(frameType.windowUpdate, 0, streamId, Buffer.from([0, 0x10, 0, 0]));
}
