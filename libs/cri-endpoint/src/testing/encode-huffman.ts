import { huffmanCodes } from '../wire/huffman';

const codes = new Map(huffmanCodes().map((entry) => [entry.symbol, entry]));

/** The Huffman code of a text, padded with ones. */
export function encodeHuffman(text: Uint8Array): Uint8Array {
  let bits = '';
  for (const byte of text) {
    const { code = 0, length = 0 } = codes.get(byte) ?? {};
    bits += code.toString(2).padStart(length, '0');
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Uint8Array.from({ length: bits.length / 8 }, (_, i) =>
    Number.parseInt(bits.slice(i * 8, i * 8 + 8), 2),
  );
}
