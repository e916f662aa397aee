import { decodeHuffman } from './huffman';
import { staticTable } from './static-table';
import { UntrackableError } from './untrackable-error';

/**
 * Called with each header field of a block, in order. `mark` is what the decoder's
 * {@link MarkField} gave for it, `neverIndexed` whether its sender wants no one to compress it.
 */
export type FieldListener = (
  name: string,
  value: string,
  mark: number,
  neverIndexed: boolean,
) => void;

/** A number for a field, asked for once for each entry of the table, and for each literal. */
export type MarkField = (name: string, value: string) => number;

/** What RFC 7541 adds to the length of name and value for the size of an entry. */
const entryOverheadBytes = 32;
const staticCount = staticTable.length;
const initialTableBytes = 4096;
/** Memory in which strings are decoded, and how much of it is kept after a long one. */
const scratchBytes = 512;
const keptScratchBytes = 8 * 1024;

interface Entry {
  readonly name: string;
  readonly value: string;
  readonly mark: number;
}

/**
 * Decodes the header blocks of one direction of a connection, in the order in which they were sent.
 * Names and values are Latin-1 strings, so that one character is one byte. Throws
 * {@link UntrackableError}, after which the decoder must not be used again.
 *
 * It follows the encoder and does not check it: the limit of the dynamic table is `maxTableBytes`,
 * whatever the peers agreed on.
 */
export class HpackDecoder {
  /** Ring of entries; `newest` is the place of index 62, older ones follow. */
  #ring: (Entry | undefined)[] = new Array<Entry | undefined>(16);
  #newest = 0;
  #count = 0;
  #tableBytes = 0;
  #tableLimitBytes: number;
  #tableChanges = 0;
  #scratch: Buffer = Buffer.allocUnsafe(scratchBytes);

  #input: Buffer = this.#scratch;
  #position = 0;
  #end = 0;

  readonly #static: readonly Entry[];

  constructor(
    private readonly maxTableBytes: number,
    private readonly mark: MarkField = unmarked,
  ) {
    this.#static = staticEntriesFor(mark);
    this.#tableLimitBytes = Math.min(initialTableBytes, maxTableBytes);
  }

  /** Bytes of the dynamic table as RFC 7541 counts them. */
  get dynamicTableBytes(): number {
    return this.#tableBytes;
  }

  /** Entries of the dynamic table. */
  get dynamicTableEntries(): number {
    return this.#count;
  }

  /**
   * Grows with each change of the table: a block that means something now may mean another then.
   */
  get tableChanges(): number {
    return this.#tableChanges;
  }

  /** A decoder in the same state, for the same blocks to come. */
  copy(): HpackDecoder {
    const copy = new HpackDecoder(this.maxTableBytes, this.mark);
    copy.#ring = [...this.#ring];
    copy.#newest = this.#newest;
    copy.#count = this.#count;
    copy.#tableBytes = this.#tableBytes;
    copy.#tableLimitBytes = this.#tableLimitBytes;
    return copy;
  }

  /** Decodes a whole header block. */
  decode(input: Buffer, start: number, end: number, listener: FieldListener): void {
    this.#input = input;
    this.#position = start;
    this.#end = end;
    let fields = 0;
    while (this.#position < this.#end) {
      const byte = input[this.#position] ?? 0;
      if ((byte & 0x80) !== 0) {
        const entry = this.#entry(this.#integer(7));
        fields++;
        listener(entry.name, entry.value, entry.mark, false);
      } else if ((byte & 0xe0) === 0x20) {
        if (fields > 0) throw new UntrackableError('hpack', 'size update after a field');
        this.#resize(this.#integer(5));
      } else {
        const indexed = (byte & 0xc0) === 0x40;
        const nameIndex = this.#integer(indexed ? 6 : 4);
        const name = nameIndex === 0 ? this.#string() : this.#entry(nameIndex).name;
        const value = this.#string();
        const mark = this.mark(name, value);
        if (indexed) this.#add({ name, value, mark });
        fields++;
        listener(name, value, mark, (byte & 0xf0) === 0x10);
      }
    }
    if (this.#scratch.length > keptScratchBytes) this.#scratch = Buffer.allocUnsafe(scratchBytes);
    this.#input = this.#scratch;
  }

  #entry(index: number): Entry {
    if (index === 0) throw new UntrackableError('hpack', 'index 0');
    if (index <= staticCount) return this.#static[index - 1] ?? missing();
    const age = index - staticCount - 1;
    if (age >= this.#count) throw new UntrackableError('hpack', `no entry at index ${index}`);
    return this.#ring[(this.#newest + age) & (this.#ring.length - 1)] ?? missing();
  }

  #add(entry: Entry): void {
    const bytes = entry.name.length + entry.value.length + entryOverheadBytes;
    this.#tableChanges++;
    // An entry above the limit empties the table and is not kept; that is no error.
    this.#evictTo(this.#tableLimitBytes - bytes);
    if (bytes > this.#tableLimitBytes) return;
    if (this.#count === this.#ring.length) this.#grow();
    this.#newest = (this.#newest - 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = entry;
    this.#count++;
    this.#tableBytes += bytes;
  }

  #resize(bytes: number): void {
    if (bytes > this.maxTableBytes) throw new UntrackableError('hpack', `table of ${bytes} bytes`);
    this.#tableChanges++;
    this.#tableLimitBytes = bytes;
    this.#evictTo(bytes);
  }

  #evictTo(bytes: number): void {
    while (this.#tableBytes > bytes && this.#count > 0) {
      const oldest = (this.#newest + this.#count - 1) & (this.#ring.length - 1);
      const entry = this.#ring[oldest] ?? missing();
      this.#tableBytes -= entry.name.length + entry.value.length + entryOverheadBytes;
      this.#ring[oldest] = undefined;
      this.#count--;
    }
  }

  #grow(): void {
    const bigger = new Array<Entry | undefined>(this.#ring.length * 2);
    for (let i = 0; i < this.#count; i++) {
      bigger[i] = this.#ring[(this.#newest + i) & (this.#ring.length - 1)];
    }
    this.#ring = bigger;
    this.#newest = 0;
  }

  /** An integer that begins in the low `bits` of the current byte (RFC 7541, section 5.1). */
  #integer(bits: number): number {
    const mask = (1 << bits) - 1;
    let value = (this.#input[this.#position++] ?? 0) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#position >= this.#end) throw new UntrackableError('hpack', 'integer cut short');
      const byte = this.#input[this.#position++] ?? 0;
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw new UntrackableError('hpack', 'integer too large');
  }

  #string(): string {
    if (this.#position >= this.#end) throw new UntrackableError('hpack', 'string cut short');
    const huffman = ((this.#input[this.#position] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#position;
    const end = start + length;
    if (end > this.#end) throw new UntrackableError('hpack', 'string cut short');
    this.#position = end;
    if (!huffman) return this.#input.toString('latin1', start, end);
    if (length * 2 > this.#scratch.length) this.#scratch = Buffer.allocUnsafe(length * 2);
    const decoded = decodeHuffman(this.#input, start, end, this.#scratch);
    if (decoded < 0) throw new UntrackableError('hpack', 'not a Huffman code');
    return this.#scratch.toString('latin1', 0, decoded);
  }
}

const unmarked: MarkField = () => 0;

const staticEntries = new Map<MarkField, readonly Entry[]>();

/** The static table with its marks, made once for each function that gives them. */
function staticEntriesFor(mark: MarkField): readonly Entry[] {
  let entries = staticEntries.get(mark);
  if (entries === undefined) {
    entries = staticTable.map(([name, value]) => ({ name, value, mark: mark(name, value) }));
    staticEntries.set(mark, entries);
  }
  return entries;
}

function missing(): never {
  throw new UntrackableError('observer', 'HPACK table entry missing');
}
