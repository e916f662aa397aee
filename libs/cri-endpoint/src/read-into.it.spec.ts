import { once } from 'node:events';
import net from 'node:net';
import { PassThrough } from 'node:stream';
import { eventually } from '@stowage/testing';
import { listenUnix, type UnixListener } from './listen-unix';
import { ReadBuffer } from './read-buffer';
import { readInto } from './read-into';
import { temporaryFolder } from './testing/grpc-peers';

const folder = temporaryFolder();
const socketPath = folder.file('into.sock');

/** What is left when a test is over. */
const opened: net.Socket[] = [];
let listener: UnixListener | undefined;

afterEach(async () => {
  for (const socket of opened.splice(0)) socket.destroy();
  await listener?.close();
});
afterAll(() => folder.remove());

/** A client, which begins with `first`, and its connection, read into `received`. */
async function connection(received: ReadBuffer, first = '') {
  let accept: (socket: net.Socket) => void = () => undefined;
  const accepted = new Promise<net.Socket>((resolve) => (accept = resolve));
  listener = await listenUnix({ socketPath }, (socket) => accept(readInto(socket, received)));
  const client = net.connect(socketPath);
  client.write(first);
  const served = await accepted;
  opened.push(client, served);
  return { client, served };
}

it('reads into the same memory each time, and writes back', async () => {
  const received = new ReadBuffer(16, 16);
  const { client, served } = await connection(received);
  const chunks: string[] = [];
  const memory = new Set<ArrayBufferLike>();
  received.onChunk = (chunk) => {
    chunks.push(chunk.toString());
    memory.add(chunk.buffer);
    served.write(chunk.toString().toUpperCase());
    return true;
  };
  client.write('one');
  expect(String(await once(client, 'data'))).toBe('ONE');
  client.write('two');
  expect(String(await once(client, 'data'))).toBe('TWO');
  expect([chunks, memory.size]).toEqual([['one', 'two'], 1]);
});

it('reads no more at once than the memory holds, and loses nothing of more', async () => {
  const received = new ReadBuffer(16, 16);
  const { client } = await connection(received);
  const sent = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));
  let longest = 0;
  const all = new Promise<Buffer>((resolve) => {
    let got = Buffer.alloc(0);
    received.onChunk = (chunk) => {
      longest = Math.max(longest, chunk.length);
      got = Buffer.concat([got, chunk]);
      if (got.length === sent.length) resolve(got);
      return true;
    };
  });
  client.write(sent);
  expect((await all).equals(sent)).toBe(true);
  expect(longest).toBe(16);
});

it('leaves the memory of a chunk alone that is still needed', async () => {
  const received = new ReadBuffer(16, 16);
  const { client } = await connection(received);
  const chunks: Buffer[] = [];
  received.onChunk = (chunk) => {
    chunks.push(chunk);
    return false;
  };
  for (const text of ['one', 'two', 'six']) {
    client.write(text);
    await eventually(() => chunks.at(-1)?.toString() === text);
  }
  expect(chunks.map(String)).toEqual(['one', 'two', 'six']);
});

it('reads nothing while the connection is paused, and goes on after that', async () => {
  const received = new ReadBuffer(16, 16);
  const { client, served } = await connection(received);
  let text = '';
  received.onChunk = (chunk) => {
    text += chunk.toString();
    return true;
  };
  served.pause();
  expect(served.isPaused()).toBe(true);
  await new Promise((resolve) => client.write('wait', resolve));
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  expect(text).toBe('');
  served.resume();
  await eventually(() => text === 'wait');
});

it.each(['end', 'destroy'] as const)('ends with a client that leaves by %s', async (way) => {
  const { client, served } = await connection(new ReadBuffer(16, 16));
  const ended = once(served, 'end');
  const closed = once(served, 'close');
  client[way]();
  await Promise.all([ended, closed]);
  expect(served.destroyed).toBe(true);
});

it('takes what was sent before the connection was accepted', async () => {
  const received = new ReadBuffer(16, 16);
  const came = new Promise<string>((resolve) => {
    received.onChunk = (chunk) => {
      resolve(chunk.toString());
      return true;
    };
  });
  await connection(received, 'early');
  expect(await came).toBe('early');
});

it('a connection whose handle cannot be had is read as it is', async () => {
  const stream = new PassThrough() as unknown as net.Socket;
  const received = new ReadBuffer(16, 16);
  const came = new Promise<string>((resolve) => {
    received.onChunk = (chunk) => {
      resolve(chunk.toString());
      return true;
    };
  });
  expect(readInto(stream, received)).toBe(stream);
  stream.write('as it is');
  expect(await came).toBe('as it is');
});
