import type { Socket } from 'node:net';
import { frameType } from './frame-reader';
import { FrameWriter } from './frame-writer';

/** A socket that takes everything at once, or nothing. */
class FakeSocket {
  writable = true;
  writableLength = 0;
  takes = true;
  readonly writes: Buffer[] = [];
  corks = 0;

  write(bytes: Buffer, left?: () => void): boolean {
    this.writes.push(bytes);
    if (!this.takes) this.writableLength += bytes.length;
    if (this.takes) left?.();
    return this.takes;
  }

  cork(): void {
    this.corks++;
  }

  uncork(): void {
    this.corks--;
  }
}

function writer(): { socket: FakeSocket; writer: FrameWriter } {
  const socket = new FakeSocket();
  return { socket, writer: new FrameWriter(socket as unknown as Socket) };
}

it('sends small frames with one write, in their order', () => {
  const made = writer();
  made.writer.uint32(frameType.rstStream, 3, 8);
  made.writer.header(frameType.ping, 1, 0, 8);
  made.writer.bytes(Buffer.from('pingpong'), 0, 8);
  made.writer.uint32(frameType.windowUpdate, 0, 2 ** 31 - 1);
  expect(made.writer.isEmpty).toBe(false);
  made.writer.flush();
  expect(made.writer.isEmpty).toBe(true);
  expect(made.socket.writes.map((bytes) => bytes.toString('hex'))).toEqual([
    '00000403000000000300000008' +
      '00000806010000000070696e67706f6e67' +
      '0000040800000000007fffffff',
  ]);
  made.writer.flush();
  expect(made.socket.writes).toHaveLength(1);
});

it('does not copy what is long, and takes neighbours together', () => {
  const made = writer();
  const chunk = Buffer.alloc(10_000, 7);
  made.writer.uint32(frameType.rstStream, 1, 8);
  made.writer.bytes(chunk, 100, 3_000);
  made.writer.bytes(chunk, 3_000, 9_000);
  made.writer.uint32(frameType.rstStream, 5, 8);
  made.writer.flush();
  const [, payload] = made.socket.writes;
  expect(made.socket.writes.map(({ length }) => length)).toEqual([13, 8_900, 13]);
  expect(payload?.buffer).toBe(chunk.buffer);
  expect(made.socket.corks).toBe(0);
});

it('goes on in other memory when one piece is full, and gives nothing away that waits', () => {
  const made = writer();
  made.socket.takes = false;
  for (let i = 0; i < 3_000; i++) made.writer.uint32(frameType.windowUpdate, i, i + 1);
  made.writer.flush();
  const before = Buffer.concat(made.socket.writes).toString('hex');
  for (let i = 0; i < 3_000; i++) made.writer.uint32(frameType.rstStream, i, 0xffff);
  made.writer.flush();
  const all = Buffer.concat(made.socket.writes).toString('hex');
  expect(all.length).toBe(2 * 2 * 3_000 * 13);
  expect(all.startsWith(before)).toBe(true);
  expect(made.writer.hasLeft).toBe(false);
});

it('says when what was written has left, or cannot any more', () => {
  const made = writer();
  const left: string[] = [];
  made.writer.uint32(frameType.rstStream, 1, 8);
  made.writer.onLeft(() => left.push('first'));
  expect(left).toEqual([]);
  made.writer.flush();
  expect(left).toEqual(['first']);
  made.socket.writable = false;
  made.writer.uint32(frameType.rstStream, 1, 8);
  made.writer.onLeft(() => left.push('second'));
  made.writer.flush();
  expect(left).toEqual(['first', 'second']);
  expect(made.socket.writes).toHaveLength(1);
});
