import { buildFrame, dataFrame } from '../testing/build-frames';
import { clientPreface, frameType } from './frame-reader';
import { FrameSplitter, maxFrameBytes } from './frame-splitter';

/** What a splitter reports of chunks: type, flags, stream and payload. */
function framesOf(chunks: readonly Buffer[], preface = false): string[] {
  const seen: string[] = [];
  const splitter = new FrameSplitter(
    (type, flags, streamId, input, start, end) =>
      seen.push(`${type} ${flags} ${streamId} ${input.toString('latin1', start, end)}`),
    { preface },
  );
  for (const chunk of chunks) splitter.push(chunk);
  return seen;
}

const bytes = Buffer.concat([
  clientPreface,
  buildFrame(frameType.settings, 0, 0),
  dataFrame(1, Buffer.from('hello'), { endStream: true }),
  dataFrame(3, Buffer.alloc(0)),
  buildFrame(0x77, 0xff, 0x7fffffff, Buffer.from('unknown')),
]);
const whole = ['4 0 0 ', '0 1 1 hello', '0 0 3 ', '119 255 2147483647 unknown'];

it('reports the same frames wherever the bytes are cut', () => {
  expect(framesOf([bytes], true)).toEqual(whole);
  expect(
    framesOf(
      [...bytes].map((byte) => Buffer.of(byte)),
      true,
    ),
  ).toEqual(whole);
  for (let first = 0; first < bytes.length; first++) {
    for (const second of [first + 1, first + 8, first + 9, first + 10]) {
      const chunks = [
        bytes.subarray(0, first),
        bytes.subarray(first, second),
        bytes.subarray(second),
      ];
      expect(framesOf(chunks, true)).toEqual(whole);
    }
  }
});

it('ignores the reserved bit of a stream number', () => {
  const frame = dataFrame(5, Buffer.from('x'));
  frame.writeUInt32BE(0x80000005, 5);
  expect(framesOf([frame])).toEqual(['0 0 5 x']);
});

it.each([
  ['in one piece', [9]],
  ['when the header comes in two', [2, 9]],
  ['byte by byte', [1, 2, 3, 4, 5, 6, 7, 8, 9]],
])('refuses a frame that is too large by its header, %s', (_how, places) => {
  const frame = buildFrame(frameType.data, 0, 1, Buffer.alloc(maxFrameBytes + 1));
  const chunks = places.map((place, i) => frame.subarray(places[i - 1] ?? 0, place));
  expect(() => framesOf(chunks)).toThrow('a frame of 16385 bytes');
  expect(framesOf([buildFrame(0, 0, 1, Buffer.alloc(maxFrameBytes))])).toHaveLength(1);
});

it('keeps no more than has come of a frame', () => {
  const splitter = new FrameSplitter(() => undefined, { preface: false });
  const frame = buildFrame(frameType.headers, 0, 1, Buffer.alloc(maxFrameBytes));
  splitter.push(frame.subarray(0, 20));
  expect(splitter.heldType).toBe(frameType.headers);
  expect(splitter.heldBytes).toBeLessThan(300);
  splitter.push(frame.subarray(20, 5_000));
  expect(splitter.heldBytes).toBeLessThan(10_100);
  splitter.push(frame.subarray(5_000));
  expect(splitter.heldBytes).toBe(0);
});

it('reports nothing once it is stopped, not even of the same chunk', () => {
  const seen: number[] = [];
  const splitter = new FrameSplitter(
    (type) => {
      seen.push(type);
      splitter.stop();
    },
    { preface: false },
  );
  splitter.push(Buffer.concat([dataFrame(1, Buffer.alloc(3)), dataFrame(1, Buffer.alloc(3))]));
  expect(seen).toEqual([0]);
});

it.each(['GET / HTTP/1.1\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r'])(
  'takes no other preface: %j',
  (text) => {
    expect(() => framesOf([Buffer.from(text)], true)).toThrow('no client preface');
  },
);
