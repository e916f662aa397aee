import { staticTable } from '../wire/static-table';
import { encodeHuffman } from './encode-huffman';

/** How a field is put on the wire. */
export interface FieldForm {
  readonly name: string;
  readonly value: string;
  readonly form: 'index' | 'incremental' | 'plain' | 'never';
  readonly huffman: boolean;
  /** Refer to a table entry for the name where there is one. */
  readonly nameIndex: boolean;
}

/**
 * An HPACK encoder that uses any of the many valid forms that it is asked for, with a model of the
 * table.
 */
export class HpackEncoder {
  private entries: [string, string][] = [];
  private limitBytes = 4096;

  get tableBytes(): number {
    return this.entries.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  }

  get tableEntries(): number {
    return this.entries.length;
  }

  sizeUpdate(bytes: number): Buffer {
    this.limitBytes = bytes;
    this.evict(0);
    return integer(bytes, 5, 0x20);
  }

  field({ name, value, form, huffman, nameIndex }: FieldForm): Buffer {
    const table = [...staticTable, ...this.entries];
    const whole = table.findIndex(([n, v]) => n === name && v === value) + 1;
    if (form === 'index' && whole > 0) return integer(whole, 7, 0x80);
    const index = nameIndex ? table.findIndex(([n]) => n === name) + 1 : 0;
    const [bits, pattern] = form === 'plain' ? [4, 0x00] : form === 'never' ? [4, 0x10] : [6, 0x40];
    if (form === 'index' || form === 'incremental') this.add(name, value);
    return Buffer.concat([
      integer(index, bits, pattern),
      ...(index === 0 ? [string(name, huffman)] : []),
      string(value, huffman),
    ]);
  }

  private add(name: string, value: string): void {
    const bytes = name.length + value.length + 32;
    this.evict(bytes);
    if (bytes <= this.limitBytes) this.entries.unshift([name, value]);
  }

  private evict(room: number): void {
    while (this.entries.length > 0 && this.tableBytes + room > this.limitBytes) this.entries.pop();
  }
}

function integer(value: number, bits: number, pattern: number): Buffer {
  const mask = (1 << bits) - 1;
  if (value < mask) return Buffer.of(pattern | value);
  const bytes = [pattern | mask];
  for (value -= mask; value >= 128; value = Math.floor(value / 128))
    bytes.push((value & 127) | 128);
  bytes.push(value);
  return Buffer.from(bytes);
}

function string(text: string, huffman: boolean): Buffer {
  const plain = Buffer.from(text, 'latin1');
  const bytes = huffman ? encodeHuffman(plain) : plain;
  return Buffer.concat([integer(bytes.length, 7, huffman ? 0x80 : 0), bytes]);
}
