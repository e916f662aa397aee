import { clientPreface, frameFlag, frameHeaderBytes, frameType } from './wire/frame-reader';
import { HpackDecoder } from './wire/hpack-decoder';
import { huffmanPrefix } from './wire/huffman';
import { headerFrames } from './wire/raw-frames';
import { UntrackableError } from './wire/untrackable-error';

/** What a {@link RequestRewriter} changes; a function that throws leaves the value as it is. */
export interface RequestChanges {
  /** The path to ask for instead of the client's. */
  path?(path: string): string;
  /** The `:authority` to send instead of the client's. */
  authority?(authority: string): string;
}

/**
 * Lets a {@link RequestRewriter} skip decoding header blocks until one contains a path that
 * changes.
 */
export interface ChangeOnSight {
  /** Paths that do not begin with this are never changed; Latin-1. */
  readonly prefix: string;
  /**
   * A decoder in the state after the blocks of all chunks before; undefined where they could not be
   * followed. Called once, while a chunk is pushed.
   */
  decoder(): HpackDecoder | undefined;
}

/** Bounds on what a {@link RequestRewriter} keeps. */
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
 * Changes pseudo-headers of a client's requests on their way to the server, in the bytes of the
 * connection. Frames other than header blocks pass unchanged; a header block is held until it is
 * complete. From the first change on, every header block of the connection is re-encoded without
 * compression, because the server has not seen what the client's later blocks refer to; until then
 * all bytes are the client's own. With {@link ChangeOnSight}, blocks are only searched until then:
 * the first block that names a path must contain it in full.
 */
export class RequestRewriter {
  /** Undefined until a block has to be decoded. */
  private decoder: HpackDecoder | undefined;
  /**
   * Bytes that a block contains if it holds a path with the prefix in full, plain or Huffman-coded.
   */
  private readonly signs: readonly Buffer[] = [];
  /** Blocks of the chunk being pushed that were not decoded. */
  private undecoded: Buffer[] = [];
  private state: 'following' | 'rewriting' | 'passing' | 'broken' = 'following';
  private prefaceLeft = clientPreface.length;
  /** Payload bytes of the current frame that pass as they are. */
  private passLeft = 0;
  /** What is held: an incomplete frame header, or the frames of an incomplete header block. */
  private held: Buffer[] = [];
  private heldLength = 0;
  /** How many bytes must be held before it is worth looking again. */
  private wanted = 0;
  private blocksRead = 0;
  private awaitsAck = false;

  constructor(
    private readonly changes: RequestChanges,
    private readonly limits: RewriterLimits,
    private readonly onSight?: ChangeOnSight,
  ) {
    if (onSight === undefined) this.decoder = new HpackDecoder(limits.maxHpackTableBytes);
    else this.signs = signsOf(onSight.prefix);
  }

  /**
   * True when the connection can be neither followed nor passed on unchanged: it must end. Before a
   * change, bytes that cannot be followed pass unchanged for good.
   */
  get broken(): boolean {
    return this.state === 'broken';
  }

  /** True when something was changed, so that everything after it must pass through here. */
  get changed(): boolean {
    return this.state === 'rewriting';
  }

  /** True when nothing is read any more, because the client's bytes could not be followed. */
  get passing(): boolean {
    return this.state === 'passing';
  }

  /** Whether a request has been read. */
  get sawRequest(): boolean {
    return this.blocksRead > 0;
  }

  /** Whether the acknowledgement of {@link dropSettingsAck} is still to come. */
  get settingsAckDue(): boolean {
    return this.awaitsAck;
  }

  /** Whether a preface or a header block has begun, or is due, and is incomplete. */
  get unfinished(): boolean {
    return this.prefaceLeft > 0 || this.heldLength > 0;
  }

  /**
   * The client was sent SETTINGS that the server does not know about: its first acknowledgement is
   * dropped.
   */
  dropSettingsAck(): void {
    this.awaitsAck = true;
  }

  /** Returns what is held of an incomplete frame. Nothing may be pushed after that. */
  release(): Buffer[] {
    const { held } = this;
    this.held = [];
    this.heldLength = 0;
    return held;
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
    this.undecoded.length = 0;
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

  /**
   * Processes complete frames; returns the offset from which the input cannot be followed, if any.
   */
  private cut(input: Buffer, out: Buffer[]): number | undefined {
    let at = 0;
    /** What passes unchanged begins here. */
    let from = 0;
    const passUpTo = (end: number): void => {
      if (end > from) out.push(end - from === input.length ? input : input.subarray(from, end));
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
      } else if (this.isAwaitedAck(type, input[at + 4] ?? 0)) {
        this.awaitsAck = false;
        passUpTo(at);
        this.passLeft = 0;
        at += frameHeaderBytes;
        from = at;
      } else {
        this.passLeft = input.readUIntBE(at, 3);
        at += frameHeaderBytes;
      }
    }
    passUpTo(input.length);
    return undefined;
  }

  private isAwaitedAck(type: number, flags: number): boolean {
    return this.awaitsAck && type === frameType.settings && (flags & frameFlag.ack) !== 0;
  }

  private hold(rest: Buffer, wanted: number): void {
    // A copy, so that a few bytes do not keep a whole chunk.
    this.held = [Buffer.from(rest)];
    this.heldLength = rest.length;
    this.wanted = wanted;
  }

  /**
   * The header block that begins with the HEADERS frame at `start`, and where it ends; the number
   * of bytes needed to continue when it is incomplete; undefined when it is invalid.
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

  /** The block to send, in frames. */
  private encoded({
    streamId,
    endStream,
    priority,
    block,
  }: HeaderBlock): Buffer | 'unchanged' | 'unreadable' {
    this.blocksRead++;
    if (this.decoder === undefined && !this.signs.some((sign) => block.includes(sign))) {
      this.undecoded.push(block);
      return 'unchanged';
    }
    const fields: [name: string, value: string][] = [];
    try {
      this.decoder ??= this.decoderOnSight();
      this.decoder.decode(block, 0, block.length, (name, value) => fields.push([name, value]));
    } catch {
      return 'unreadable';
    }
    for (const field of fields) {
      const change =
        field[0] === ':path' ? 'path' : field[0] === ':authority' ? 'authority' : undefined;
      if (change === undefined) continue;
      const value = this.valueFor(change, field[1]);
      if (value !== field[1]) this.state = 'rewriting';
      field[1] = value;
    }
    if (this.state !== 'rewriting') return 'unchanged';
    return headerFrames(streamId, fields, { endStream, priority });
  }

  /** Throws when the blocks before could not be followed. */
  private decoderOnSight(): HpackDecoder {
    const decoder = this.onSight?.decoder();
    if (decoder === undefined)
      throw new UntrackableError('hpack', 'header blocks were not followed');
    for (const block of this.undecoded) decoder.decode(block, 0, block.length, () => undefined);
    return decoder;
  }

  private valueFor(change: keyof RequestChanges, value: string): string {
    try {
      return this.changes[change]?.(value) ?? value;
    } catch {
      return value;
    }
  }
}

const signsOf = (prefix: string): Buffer[] => [
  Buffer.from(prefix, 'latin1'),
  huffmanPrefix(prefix),
];
