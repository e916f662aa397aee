/**
 * The Huffman code of HPACK (RFC 7541, appendix B). It is canonical, so the code lengths alone
 * define it: codes are given out by rising length, then by rising symbol. Decoding goes four bits a
 * step through a table of states; no code is shorter than five bits, so a step gives at most one
 * symbol.
 */

/** Code length in bits of each byte value, then of the end-of-string symbol. */
const codeLengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const endOfString = 256;

const emits = 0x100;
const accepts = 0x200;
const fails = 0x400;
const stateShift = 16;

/**
 * Entry `state << 4 | nibble`: the symbol in the low byte when `emits`, whether the text may end
 * here (`accepts`), whether the input is wrong (`fails`), the next state from bit 16 on.
 */
const transitions = buildTransitions();

/** Every symbol (256 is end-of-string) with its code, shortest first. */
export function huffmanCodes(): { symbol: number; length: number; code: number }[] {
  const order = codeLengths
    .map((length, symbol) => ({ symbol, length }))
    .sort((a, b) => a.length - b.length || a.symbol - b.symbol);
  let code = 0;
  let previous = order[0]?.length ?? 0;
  return order.map(({ symbol, length }) => {
    code *= 2 ** (length - previous);
    previous = length;
    return { symbol, length, code: code++ };
  });
}

/**
 * The whole bytes with which the code of every text that begins with `prefix` begins: strings of a
 * header block are coded from a byte on.
 * @param prefix Latin-1
 */
export function huffmanPrefix(prefix: string): Buffer {
  const codes = new Map(huffmanCodes().map(({ symbol, ...code }) => [symbol, code]));
  const bits = [...Buffer.from(prefix, 'latin1')]
    .map((byte) => codes.get(byte))
    .map((code) => (code?.code ?? 0).toString(2).padStart(code?.length ?? 0, '0'))
    .join('');
  const bytes = bits.match(/.{8}/g) ?? [];
  return Buffer.from(bytes.map((byte) => Number.parseInt(byte, 2)));
}

function buildTransitions(): Uint32Array {
  // A node is a state; a child is a state, or ~symbol for a leaf.
  const children: [number | undefined, number | undefined][] = [[undefined, undefined]];
  for (const { symbol, length, code } of huffmanCodes()) {
    let node = 0;
    for (let bit = length - 1; bit >= 0; bit--) {
      const side = (code >>> bit) & 1 ? 1 : 0;
      const at = children[node];
      if (at === undefined) continue;
      if (bit === 0) {
        at[side] = ~symbol;
        continue;
      }
      node = at[side] ??= children.push([undefined, undefined]) - 1;
    }
  }
  // Padding is the most significant bits of the end-of-string code: all ones, at most seven of
  // them.
  const mayEnd = new Set<number>();
  for (let node = 0, bits = 0; bits <= 7; bits++) {
    mayEnd.add(node);
    node = children[node]?.[1] ?? 0;
  }
  const table = new Uint32Array(children.length * 16);
  children.forEach((_, state) => {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let entry = 0;
      for (let bit = 3; bit >= 0 && (entry & fails) === 0; bit--) {
        const child = children[node]?.[(nibble >>> bit) & 1 ? 1 : 0] ?? ~endOfString;
        if (child >= 0) {
          node = child;
        } else if (~child === endOfString) {
          entry = fails;
        } else {
          entry |= emits | ~child;
          node = 0;
        }
      }
      if (mayEnd.has(node)) entry |= accepts;
      table[(state << 4) | nibble] = (entry & fails) !== 0 ? fails : entry | (node << stateShift);
    }
  });
  return table;
}

/**
 * Decodes `input[start, end)` into `output` from 0 on and returns the number of bytes, or -1 when
 * the input is not the code of any text. `output` needs room for 8/5 of the input.
 */
export function decodeHuffman(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
): number {
  let state = 0;
  let length = 0;
  let entry = accepts;
  for (let i = start; i < end; i++) {
    const byte = input[i] ?? 0;
    entry = transitions[(state << 4) | (byte >>> 4)] ?? fails;
    if ((entry & emits) !== 0) output[length++] = entry & 0xff;
    if ((entry & fails) !== 0) return -1;
    entry = transitions[((entry >>> stateShift) << 4) | (byte & 15)] ?? fails;
    if ((entry & emits) !== 0) output[length++] = entry & 0xff;
    if ((entry & fails) !== 0) return -1;
    state = entry >>> stateShift;
  }
  return (entry & accepts) === 0 ? -1 : length;
}
