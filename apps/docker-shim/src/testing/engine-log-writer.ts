import { appendFileSync, existsSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** What a container wrote: text with the newline that ends it, or a part of a line. */
export interface TestEntry {
  readonly text: string;
  readonly stream: 'stdout' | 'stderr';
  readonly time: string;
}

/** A log written as the engine's json-file driver writes it, with its rotation. */
export class EngineLogWriter {
  readonly path: string;
  readonly entries: TestEntry[] = [];
  /** Also with a number of its own, so that times are different. */
  #count = 0;
  rotations = 0;

  constructor(
    readonly folder: string,
    private readonly options: { readonly maxBytes: number; readonly maxFile: number } = {
      maxBytes: Infinity,
      maxFile: 1,
    },
  ) {
    this.path = path.join(folder, 'c0ffee-json.log');
    if (!existsSync(this.path)) writeFileSync(this.path, '');
  }

  write(text: string, given: Partial<TestEntry> = {}): TestEntry {
    const entry = { text, stream: 'stdout', time: timeOf(++this.#count), ...given } as const;
    if (statSync(this.path).size >= this.options.maxBytes) this.rotate();
    this.entries.push(entry);
    appendFileSync(this.path, engineLine(entry));
    return entry;
  }

  rotate(): void {
    const { maxFile } = this.options;
    this.rotations += 1;
    rmSync(`${this.path}.${maxFile - 1}`, { force: true });
    for (let index = maxFile - 1; index > 1; index -= 1) {
      const from = `${this.path}.${index - 1}`;
      if (existsSync(from)) renameSync(from, `${this.path}.${index}`);
    }
    renameSync(this.path, `${this.path}.1`);
    writeFileSync(this.path, '');
  }

  /** All that was written, in the CRI's format. */
  expected(): string {
    return this.entries.map(criLine).join('');
  }
}

/** Nanoseconds without trailing zeros, as the engine prints them. */
export const timeOf = (count: number): string =>
  `2026-11-29T10:00:00.${String(count).padStart(9, '0')}`.replace(/0+$/, '') + 'Z';

export const criLine = ({ text, stream, time }: TestEntry): string => {
  const isFull = text.endsWith('\n');
  return `${time} ${stream} ${isFull ? 'F' : 'P'} ${isFull ? text.slice(0, -1) : text}\n`;
};

/** Without halves of surrogate pairs, which UTF-8 has no bytes for. */
export const wellFormed = (text: string): string => Buffer.from(text).toString();

/** With the engine's escapes: of control characters, of what HTML would see, of line separators. */
export const engineLine = ({ text, stream, time }: TestEntry, attributes?: object): string => {
  const escaped = wellFormed(text)
    .replace(/[\u0000-\u001f"\\<>&\u2028\u2029]/g, (character) => {
      const short = { '\n': '\\n', '\r': '\\r', '"': '\\"', '\\': '\\\\' }[character];
      return short ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
    })
    // Bytes that are no UTF-8.
    .replaceAll('\ufffd', '\\ufffd');
  const attrs = attributes === undefined ? '' : `,"attrs":${JSON.stringify(attributes)}`;
  return `{"log":"${escaped}","stream":"${stream}"${attrs},"time":"${time}"}\n`;
};
