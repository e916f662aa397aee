/** gRPC over HTTP/2 as bytes: length-prefixed messages, `grpc-message` escaping, `grpc-timeout`. */

/** Bytes before each message: one flag byte (1 = compressed) and a big-endian length. */
export const messagePrefixBytes = 5;

/** A message with its prefix, uncompressed. */
export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(messagePrefixBytes + message.byteLength);
  framed[0] = 0;
  framed.writeUInt32BE(message.byteLength, 1);
  framed.set(message, messagePrefixBytes);
  return framed;
}

const empty = Buffer.alloc(0);

/** What {@link MessageReader.push} found wrong. */
export type MessageProblem = 'compressed' | 'too-large' | 'too-many';

/**
 * Reads one length-prefixed message out of DATA chunks cut anywhere. It copies what it keeps, at
 * most `maxBytes`; its buffer grows with what arrives, never with what the prefix claims.
 */
export class MessageReader {
  private prefixLength = 0;
  private isCompressed = false;
  /** Of the prefix so far; the whole length once that has arrived. */
  private declaredBytes = 0;
  private buffer = empty;
  private receivedBytes = 0;
  /** What was wrong with the input; further input is ignored once it is set. */
  problem: MessageProblem | undefined;

  /** @param options whether bytes after the message are a problem or ignored. */
  constructor(
    private readonly maxBytes: number,
    private readonly options: { further: 'refuse' | 'ignore' } = { further: 'refuse' },
  ) {}

  /** Length that the prefix of the message claims; undefined before it has arrived. */
  get declared(): number | undefined {
    return this.prefixLength < messagePrefixBytes ? undefined : this.declaredBytes;
  }

  /** True when a whole message has arrived (and, where that matters, nothing else). */
  get complete(): boolean {
    return (
      this.problem === undefined &&
      this.prefixLength === messagePrefixBytes &&
      this.receivedBytes === this.declaredBytes
    );
  }

  /** Bytes of memory held now. */
  get heldBytes(): number {
    return this.buffer.length;
  }

  /** True when not one byte has arrived. */
  get empty(): boolean {
    return this.prefixLength === 0;
  }

  push(chunk: Uint8Array): void {
    if (this.problem !== undefined) return;
    let offset = 0;
    while (this.prefixLength < messagePrefixBytes && offset < chunk.length) {
      const byte = chunk[offset++] ?? 0;
      if (this.prefixLength++ === 0) this.isCompressed = byte !== 0;
      else this.declaredBytes = this.declaredBytes * 256 + byte;
      if (this.prefixLength === messagePrefixBytes && !this.acceptsPrefix()) return;
    }
    if (offset === chunk.length) return;
    const wanted = this.declaredBytes - this.receivedBytes;
    if (chunk.length - offset > wanted && this.options.further === 'refuse') {
      this.fail('too-many');
      return;
    }
    const taken = Math.min(chunk.length - offset, wanted);
    this.reserve(this.receivedBytes + taken);
    this.buffer.set(chunk.subarray(offset, offset + taken), this.receivedBytes);
    this.receivedBytes += taken;
  }

  /** The message; only when {@link complete}. */
  message(): Uint8Array {
    return this.buffer.subarray(0, this.receivedBytes);
  }

  /** Drops the message, because no more may be held. */
  abandon(): void {
    this.fail('too-large');
  }

  private acceptsPrefix(): boolean {
    if (this.isCompressed) this.fail('compressed');
    else if (this.declaredBytes > this.maxBytes) this.fail('too-large');
    return this.problem === undefined;
  }

  private reserve(bytes: number): void {
    if (bytes <= this.buffer.length) return;
    const grown = Math.min(this.declaredBytes, Math.max(bytes, this.buffer.length * 2));
    const bigger = Buffer.allocUnsafeSlow(grown);
    bigger.set(this.buffer.subarray(0, this.receivedBytes));
    this.buffer = bigger;
  }

  private fail(problem: MessageProblem): void {
    this.problem = problem;
    this.buffer = empty;
    this.receivedBytes = 0;
  }
}

/** `grpc-message` on the wire: UTF-8, everything outside printable ASCII and `%` as `%XX`. */
export function encodeGrpcMessage(message: string): string {
  let encoded = '';
  for (const byte of Buffer.from(message, 'utf8')) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/**
 * The text of a `grpc-message` header; escapes that are not `%XX` stay as they are. Never throws.
 */
export function decodeGrpcMessage(encoded: string): string {
  if (!encoded.includes('%')) return encoded;
  const bytes: number[] = [];
  for (let i = 0; i < encoded.length; i++) {
    const hex = encoded[i] === '%' ? encoded.slice(i + 1, i + 3) : '';
    if (/^[0-9a-fA-F]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      i += 2;
    } else {
      bytes.push(encoded.charCodeAt(i) & 0xff);
    }
  }
  return Buffer.from(bytes).toString('utf8');
}

const timeoutUnitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/**
 * Milliseconds of a `grpc-timeout` header (at most eight digits and a unit), rounded up; undefined
 * when it is malformed.
 */
export function parseGrpcTimeout(value: string): number | undefined {
  const unit = timeoutUnitMs[value.slice(-1)];
  const digits = value.slice(0, -1);
  if (unit === undefined || !/^\d{1,8}$/.test(digits)) return undefined;
  return Math.ceil(Number(digits) * unit);
}
