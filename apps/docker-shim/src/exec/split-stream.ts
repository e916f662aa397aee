import { EngineAnswerError } from '../engine/engine-errors';
import type { Readable, Writable } from 'node:stream';

/** Takes output; what it returns is waited for before more is read. */
export type Sink = (chunk: Buffer) => Promise<void> | undefined;

export interface Sinks {
  readonly stdout: Sink;
  readonly stderr: Sink;
}

const headBytes = 8;
/** Kinds of frames; the last is an error of the engine. */
const kind = { stdin: 0, stdout: 1, stderr: 2, systemError: 3 } as const;

/**
 * Reads the two outputs of a command without a terminal, which the engine sends in one stream, cut
 * into frames with eight bytes before each: the kind, and the length. Resolves at the end.
 *
 * @throws {EngineAnswerError} for what is no such stream, or ends inside a frame.
 */
export async function splitStream(source: Readable, sinks: Sinks): Promise<void> {
  const bad = (problem: string) => new EngineAnswerError('start exec', problem);
  let head = Buffer.alloc(0);
  let sink: Sink | undefined;
  let left = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    let rest = chunk;
    while (rest.length > 0) {
      if (left === 0) {
        const wanted = headBytes - head.length;
        head = Buffer.concat([head, rest.subarray(0, wanted)]);
        rest = rest.subarray(wanted);
        if (head.length < headBytes) break;
        const [of] = head;
        if (of === kind.stdout || of === kind.stdin) sink = sinks.stdout;
        else if (of === kind.stderr || of === kind.systemError) sink = sinks.stderr;
        else throw bad('is no stream of frames');
        left = head.readUInt32BE(4);
        head = Buffer.alloc(0);
        continue;
      }
      const content = rest.subarray(0, left);
      rest = rest.subarray(content.length);
      left -= content.length;
      const taken = sink?.(content);
      if (taken !== undefined) await taken;
    }
  }
  if (left > 0 || head.length > 0) throw bad('ends in the middle of a frame');
}

/** Reads the output of a terminal, which is one. */
export async function readTerminal(source: Readable, sink: Sink): Promise<void> {
  for await (const chunk of source as AsyncIterable<Buffer>) {
    const taken = sink(chunk);
    if (taken !== undefined) await taken;
  }
}

/** Writes to a stream as fast as it takes it, and drops what comes after its end. */
export function writeTo(stream: Writable | undefined): Sink {
  return (chunk) => {
    if (stream?.writable !== true || stream.write(chunk)) return undefined;
    return new Promise((resolve) => {
      const go = () => {
        stream.off('drain', go).off('close', go);
        resolve();
      };
      stream.on('drain', go).on('close', go);
    });
  };
}

/** Keeps the first bytes, and drops the rest. */
export class KeptOutput {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(private readonly maxBytes: number) {}

  readonly sink: Sink = (chunk) => {
    const kept = chunk.subarray(0, this.maxBytes - this.#bytes);
    if (kept.length === 0) return undefined;
    this.#bytes += kept.length;
    this.#chunks.push(kept);
    return undefined;
  };

  content(): Buffer {
    return Buffer.concat(this.#chunks, this.#bytes);
  }
}
