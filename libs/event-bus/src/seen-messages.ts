/**
 * Messages a block stands for, and blocks that are kept: the last 16 777 216 of a stream in some
 * 2.5 MB at most.
 */
const perBlock = 4096;
const maxBlocks = 4096;

/**
 * Which messages of a stream were handled, by their sequence in it: one bit each, the lowest
 * dropped when there are more than {@link maxBlocks} blocks. A message is redelivered when its
 * acknowledgement was lost, about thirty seconds later; by then a fast stream has many thousand
 * more messages.
 */
export class SeenMessages {
  #stream: string | undefined;
  readonly #blocks = new Map<number, Uint32Array>();

  /**
   * `identity` distinguishes this stream from one created later under its name; if it is undefined,
   * nothing counts as handled.
   */
  begin(identity: string | undefined): void {
    if (identity === undefined || identity !== this.#stream) this.#blocks.clear();
    this.#stream = identity;
  }

  has(sequence: number): boolean {
    const { block, word, bit } = place(sequence);
    return (((this.#blocks.get(block)?.[word] ?? 0) >>> bit) & 1) === 1;
  }

  add(sequence: number): void {
    const { block, word, bit } = place(sequence);
    let bits = this.#blocks.get(block);
    if (bits === undefined) {
      bits = new Uint32Array(perBlock / 32);
      this.#blocks.set(block, bits);
      if (this.#blocks.size > maxBlocks) this.#blocks.delete(Math.min(...this.#blocks.keys()));
    }
    bits[word] = (bits[word] ?? 0) | (1 << bit);
  }
}

function place(sequence: number): { block: number; word: number; bit: number } {
  const inBlock = sequence % perBlock;
  return { block: (sequence - inBlock) / perBlock, word: inBlock >>> 5, bit: inBlock & 31 };
}
