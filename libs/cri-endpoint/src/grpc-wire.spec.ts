import fc from 'fast-check';
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  frameMessage,
  MessageReader,
  parseGrpcTimeout,
} from './grpc-wire';

describe('grpc-message', () => {
  it.each([
    ['plain text', 'no such image', 'no such image'],
    ['a percent sign', '100%', '100%25'],
    ['a line break and tab', 'a\n\tb', 'a%0A%09b'],
    ['text beyond ASCII', 'bläh ✓', 'bl%C3%A4h %E2%9C%93'],
    ['the last printable character', '~\x7f', '~%7F'],
  ])('escapes %s', (_what, text, wire) => {
    expect(encodeGrpcMessage(text)).toBe(wire);
    expect(decodeGrpcMessage(wire)).toBe(text);
  });

  it('survives the round trip for every string', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(encodeGrpcMessage(text)).toMatch(/^[ -~]*$/);
        expect(decodeGrpcMessage(encodeGrpcMessage(text))).toBe(text);
      }),
    );
  });

  it.each(['%', '%4', '%zz', 'a%', '%%41'])(
    'reads the broken escape %s without failing',
    (wire) => {
      expect(decodeGrpcMessage(wire)).toBe(wire.replace('%41', 'A'));
    },
  );
});

describe('grpc-timeout', () => {
  it.each([
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3_000],
    ['4m', 4],
    ['1500u', 2],
    ['1n', 1],
    ['0n', 0],
    ['99999999H', 359_999_996_400_000],
    ['', undefined],
    ['S', undefined],
    ['1', undefined],
    ['-1S', undefined],
    ['1.5S', undefined],
    ['123456789S', undefined],
    ['1s', undefined],
    [' 1S', undefined],
  ])('%j is %p ms', (wire, ms) => {
    expect(parseGrpcTimeout(wire)).toBe(ms);
  });
});

describe('message reader', () => {
  it('puts a message together however it is cut', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 64 }),
        fc.array(fc.nat(80), { maxLength: 8 }),
        (message, cuts) => {
          const framed = frameMessage(message);
          const reader = new MessageReader(64);
          const places = [...cuts.filter((cut) => cut < framed.length), 0, framed.length];
          places.sort((a, b) => a - b);
          places.slice(1).forEach((place, i) => {
            expect(reader.complete).toBe(false);
            reader.push(framed.subarray(places[i] ?? 0, place));
          });
          expect(reader.complete).toBe(true);
          expect(Buffer.from(reader.message())).toEqual(Buffer.from(message));
        },
      ),
    );
  });

  it.each([
    ['compressed', [1, 0, 0, 0, 0]],
    ['too-large', [0, 0, 0, 0, 65]],
    ['too-many', [0, 0, 0, 0, 1, 7, 8]],
  ])('says %s and holds nothing', (problem, bytes) => {
    const reader = new MessageReader(64);
    for (const byte of bytes) reader.push(Uint8Array.of(byte));
    reader.push(Buffer.alloc(1000));
    expect(reader.problem).toBe(problem);
    expect(reader.complete).toBe(false);
    expect(reader.message()).toHaveLength(0);
  });
});
