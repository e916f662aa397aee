import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { KeptOutput, readTerminal, splitStream, writeTo } from './split-stream';

const frame = (kind: number, text: string) => {
  const head = Buffer.alloc(8);
  head[0] = kind;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
};

const split = async (chunks: readonly Buffer[]) => {
  const [stdout, stderr] = [new KeptOutput(1000), new KeptOutput(1000)];
  await splitStream(Readable.from(chunks), { stdout: stdout.sink, stderr: stderr.sink });
  return [stdout.content().toString(), stderr.content().toString()];
};

describe('splitStream', () => {
  const bytes = Buffer.concat([
    frame(1, 'out'),
    frame(2, 'err'),
    frame(1, ''),
    frame(3, ' of the engine'),
    frame(1, 'put'),
  ]);

  it('parts the outputs however the bytes are cut', async () => {
    const parted = ['output', 'err of the engine'];
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(await split([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(parted);
    }
    expect(await split([...bytes].map((byte) => Buffer.from([byte])))).toEqual(parted);
  });

  it.each([
    ['what is no such stream', Buffer.from('HTTP/1.1 200 OK'), 'is no stream of frames'],
    ['an end inside a frame', bytes.subarray(0, -1), 'ends in the middle of a frame'],
    ['an end before a frame', bytes.subarray(0, 4), 'ends in the middle of a frame'],
  ])('refuses %s', async (_what, chunk, problem) => {
    await expect(split([chunk])).rejects.toThrow(problem);
  });

  it('waits for a slow reader, and for none that is gone', async () => {
    const slow = new PassThrough({ highWaterMark: 1 });
    const sinks = { stdout: writeTo(slow), stderr: writeTo(undefined) };
    let isDone = false;
    const done = splitStream(
      Readable.from([frame(1, 'one'), frame(2, 'x'), frame(1, 'two')]),
      sinks,
    );
    void done.then(() => (isDone = true));
    await once(slow, 'readable');
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDone).toBe(false);
    slow.destroy();
    await done;
  });

  it('reads the one output of a terminal as it is', async () => {
    const kept = new KeptOutput(5);
    await readTerminal(Readable.from([Buffer.from('abc'), Buffer.from('defg')]), kept.sink);
    expect(kept.content().toString()).toBe('abcde');
  });
});
