import type { Readable } from 'node:stream';
import type { TerminalSize } from './types';

/** Longest text of a size, characters; what is longer is none. */
const maxTextChars = 1024;

/** Reads sizes of a terminal, JSON objects one after another. What is no size is passed over. */
export class TerminalSizes {
  #text = '';
  #last: TerminalSize | undefined;
  readonly #listeners = new Set<(size: TerminalSize) => void>();

  constructor(stream: Readable | undefined) {
    stream?.on('data', (chunk: Buffer) => this.#read(chunk.toString('latin1')));
  }

  /** Calls the listener with the last size so far, and with each that follows. */
  listen(listener: (size: TerminalSize) => void): void {
    this.#listeners.add(listener);
    if (this.#last !== undefined) listener(this.#last);
  }

  #read(text: string): void {
    const parts = (this.#text + text).split('}');
    this.#text = (parts.pop() ?? '').slice(-maxTextChars);
    for (const part of parts) {
      const size = parseSize(`${part}}`);
      if (size === undefined) continue;
      this.#last = size;
      for (const listener of this.#listeners) listener(size);
    }
  }
}

function parseSize(text: string): TerminalSize | undefined {
  try {
    const { Width: width, Height: height } = JSON.parse(text) as Record<string, unknown>;
    return isLength(width) && isLength(height) ? { width, height } : undefined;
  } catch {
    return undefined;
  }
}

const isLength = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) <= 0xffff;
