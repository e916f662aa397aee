import { SeenMessages } from './seen-messages';

const perBlock = 4096;

describe('messages of a stream that were handled', () => {
  it('are known one by one, in any order', () => {
    const seen = new SeenMessages();
    seen.begin('a');
    const sequences = [1, 33, 4095, 4096, 4097, 2 ** 40, 7, 2 ** 40 + 31];
    for (const sequence of sequences) seen.add(sequence);
    expect(sequences.every((sequence) => seen.has(sequence))).toBe(true);
    expect([2, 32, 34, 4094, 4098, 2 ** 40 + 1, 0].some((other) => seen.has(other))).toBe(false);
  });

  it('are forgotten when the stream is another one, or cannot be distinguished from another one', () => {
    const seen = new SeenMessages();
    seen.begin('a');
    seen.add(1);
    seen.begin('a');
    expect(seen.has(1)).toBe(true);
    seen.begin('b');
    expect(seen.has(1)).toBe(false);
    seen.add(1);
    seen.begin(undefined);
    expect(seen.has(1)).toBe(false);
    seen.add(1);
    seen.begin(undefined);
    expect(seen.has(1)).toBe(false);
  });

  it('are the last 16 777 216 of a stream', () => {
    const seen = new SeenMessages();
    seen.begin('a');
    for (let block = 0; block <= 4096; block += 1) seen.add(block * perBlock);
    expect([seen.has(0), seen.has(perBlock), seen.has(4096 * perBlock)]).toEqual([
      false,
      true,
      true,
    ]);
  });
});
