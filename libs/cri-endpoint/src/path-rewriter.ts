import { clientPreface, frameFlag, frameHeaderBytes, frameType } from './wire/frame-reader';
import { HpackDecoder } from './wire/hpack-decoder';
import { headerFrames } from './wire/raw-frames';

/** Bounds on what a {@link PathRewriter} keeps. */
export interface RewriterLimits {
  readonly maxHeaderBlockBytes: number;
  readonly maxHpackTableBytes: number;
}

/** Frames of one header block; as many as 256 KiB need, with room to spare. */
const maxBlockFrames = 128;

interface HeaderBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  /** The priority fields of the HEADERS frame, where it has them. */
  readonly priority: Buffer | undefined;
  readonly block: Buffer;
}

/**
 * Changes the paths of a client's requests on their way to the runtime, in the bytes of the connection. Frames other than
 * header blocks pass as they come; a header block is held until it is whole. From the first changed path on every
 * header block of the connection is encoded anew, without compression, because the runtime has not seen what the
 * client's later blocks refer to; until then all bytes are the client's own.
 */
export class PathRewriter {
  private readonly decoder: HpackDecoder;
  private state: 'following' | 'rewriting' | 'passing' | 'broken' = 'following';
  private prefaceLeft = clientPreface.length;
  /** Payload bytes of the current frame that pass as they are. */
  private passLeft = 0;
  /** What is held: a frame header that is not whole, or the frames of a header block under way. */
  private held: Buffer[] = [];
  private heldLength = 0;
  /** How much has to be held before it is worth looking again. */
  private wanted = 0;

  /** @param path the path to ask the runtime for; what it throws leaves the path as it is. */
  constructor(
    private readonly path: (method: string) => string,
    private readonly limits: RewriterLimits,
  ) {
    this.decoder = new HpackDecoder(limits.maxHpackTableBytes);
  }

  /**
   * True when the connection can neither be followed nor be passed on as it is: it has to end. Before a path was
   * changed what cannot be followed passes as it is, for good.
   */
  get broken(): boolean {
    return this.state === 'broken';
  }

  /** Bytes that the client sent; returns those to send on, in order. */
  push(chunk: Buffer): Buffer[] {
    if (this.state === 'passing') return [chunk];
    if (this.state === 'broken') return [];
    let input = chunk;
    if (this.heldLength > 0) {
      this.held.push(chunk);
      this.heldLength += chunk.length;
      if (this.heldLength < this.wanted) return [];
      input = Buffer.concat(this.held);
      this.held = [];
      this.heldLength = 0;
    }
    const out: Buffer[] = [];
    const failed = this.cut(input, out);
    if (failed !== undefined) {
      if (this.state === 'rewriting') {
        this.state = 'broken';
      } else {
        this.state = 'passing';
        if (failed < input.length) out.push(input.subarray(failed));
      }
    }
    return out;
  }

  /** Goes through whole frames; returns the place from which the input cannot be followed, if there is one. */
  private cut(input: Buffer, out: Buffer[]): number | undefined {
    let at = 0;
    /** What passes unchanged begins here. */
    let from = 0;
    const passUpTo = (end: number): void => {
      if (end > from) out.push(input.subarray(from, end));
      from = end;
    };
    if (this.prefaceLeft > 0) {
      const length = Math.min(this.prefaceLeft, input.length);
      const done = clientPreface.length - this.prefaceLeft;
      if (clientPreface.compare(input, 0, length, done, done + length) !== 0) return 0;
      this.prefaceLeft -= length;
      at = length;
    }
    while (at < input.length) {
      const passed = Math.min(this.passLeft, input.length - at);
      this.passLeft -= passed;
      at += passed;
      if (at === input.length) break;
      if (input.length - at < frameHeaderBytes) {
        passUpTo(at);
        this.hold(input.subarray(at), frameHeaderBytes);
        return undefined;
      }
      const type = input[at + 3] ?? 0;
      if (type === frameType.headers) {
        const found = this.headerBlock(input, at);
        if (typeof found === 'number') {
          passUpTo(at);
          this.hold(input.subarray(at), found);
          return undefined;
        }
        const encoded = found === undefined ? 'unreadable' : this.encoded(found.block);
        if (found === undefined || encoded === 'unreadable') {
          passUpTo(at);
          return at;
        }
        if (encoded !== 'unchanged') {
          passUpTo(at);
          out.push(encoded);
          from = found.end;
        }
        at = found.end;
      } else if (type === frameType.continuation || type === frameType.pushPromise) {
        passUpTo(at);
        return at;
      } else {
        this.passLeft = input.readUIntBE(at, 3);
        at += frameHeaderBytes;
      }
    }
    passUpTo(input.length);
    return undefined;
  }

  private hold(rest: Buffer, wanted: number): void {
    // A copy, so that a few bytes do not keep a whole chunk.
    this.held = [Buffer.from(rest)];
    this.heldLength = rest.length;
    this.wanted = wanted;
  }

  /**
   * The header block that begins with the HEADERS frame at `start`, and where it ends; the number of bytes it takes to
   * go on when it is not whole; undefined when it is wrong.
   */
  private headerBlock(
    input: Buffer,
    start: number,
  ): { block: HeaderBlock; end: number } | number | undefined {
    const streamId = input.readUInt32BE(start + 5) & 0x7fffffff;
    const fragments: Buffer[] = [];
    let endStream = false;
    let priority: Buffer | undefined;
    let at = start;
    for (let frames = 0; frames < maxBlockFrames; frames++) {
      if (input.length - at < frameHeaderBytes) return at - start + frameHeaderBytes;
      const length = input.readUIntBE(at, 3);
      const type = input[at + 3] ?? 0;
      const flags = input[at + 4] ?? 0;
      const expected = frames === 0 ? frameType.headers : frameType.continuation;
      if (type !== expected || (input.readUInt32BE(at + 5) & 0x7fffffff) !== streamId) {
        return undefined;
      }
      let from = at + frameHeaderBytes;
      let end = from + length;
      if (end - start > this.limits.maxHeaderBlockBytes) return undefined;
      if (end > input.length) return end - start;
      at = end;
      if (frames === 0) {
        endStream = (flags & frameFlag.endStream) !== 0;
        if ((flags & frameFlag.padded) !== 0) end -= input[from++] ?? 0;
        if ((flags & frameFlag.priority) !== 0) {
          priority = input.subarray(from, from + 5);
          from += 5;
        }
        if (from > end) return undefined;
      }
      fragments.push(input.subarray(from, end));
      if ((flags & frameFlag.endHeaders) !== 0) {
        const [only] = fragments;
        const block = fragments.length === 1 && only ? only : Buffer.concat(fragments);
        return { block: { streamId, endStream, priority, block }, end: at };
      }
    }
    return undefined;
  }

  /** The block as it is to be sent, in frames. */
  private encoded({
    streamId,
    endStream,
    priority,
    block,
  }: HeaderBlock): Buffer | 'unchanged' | 'unreadable' {
    const fields: [name: string, value: string][] = [];
    try {
      this.decoder.decode(block, 0, block.length, (name, value) => fields.push([name, value]));
    } catch {
      return 'unreadable';
    }
    const field = fields.find(([name]) => name === ':path');
    if (field !== undefined) {
      const path = this.changed(field[1]);
      if (path !== field[1]) this.state = 'rewriting';
      field[1] = path;
    }
    if (this.state !== 'rewriting') return 'unchanged';
    return headerFrames(streamId, fields, { endStream, priority });
  }

  private changed(path: string): string {
    try {
      return this.path(path);
    } catch {
      return path;
    }
  }
}
