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

/** What {@link MessageReader.push} found wrong. */
export type MessageProblem = 'compressed' | 'too-large' | 'too-many';

/**
 * Reads one length-prefixed message out of DATA chunks cut anywhere. Holds at most `maxBytes` of message; the
 * buffer grows with what arrives, never with what the prefix claims.
 */
export class MessageReader {
  private readonly prefix = Buffer.alloc(messagePrefixBytes);
  private prefixLength = 0;
  private declaredBytes = -1;
  private chunks: Uint8Array[] = [];
  private receivedBytes = 0;
  /** What was wrong with the input; further input is ignored once it is set. */
  problem: MessageProblem | undefined;

  constructor(private readonly maxBytes: number) {}

  /** Length that the prefix of the message claims; undefined before it has arrived. */
  get declared(): number | undefined {
    return this.declaredBytes < 0 ? undefined : this.declaredBytes;
  }

  /** True when a whole message has arrived and nothing else. */
  get complete(): boolean {
    return this.problem === undefined && this.receivedBytes === this.declaredBytes;
  }

  /** True when not one byte has arrived. */
  get empty(): boolean {
    return this.prefixLength === 0;
  }

  push(chunk: Uint8Array): void {
    if (this.problem !== undefined) return;
    let offset = 0;
    while (this.prefixLength < messagePrefixBytes && offset < chunk.length) {
      this.prefix[this.prefixLength++] = chunk[offset++] ?? 0;
      if (this.prefixLength < messagePrefixBytes) continue;
      this.declaredBytes = this.prefix.readUInt32BE(1);
      if (this.prefix[0] !== 0) {
        this.fail('compressed');
        return;
      }
      if (this.declaredBytes > this.maxBytes) {
        this.fail('too-large');
        return;
      }
    }
    const rest = chunk.length - offset;
    if (rest === 0) return;
    if (rest > this.declaredBytes - this.receivedBytes) {
      this.fail('too-many');
      return;
    }
    this.chunks.push(offset === 0 ? chunk : chunk.subarray(offset));
    this.receivedBytes += rest;
  }

  /** The message; only when {@link complete}. */
  message(): Uint8Array {
    const [only] = this.chunks;
    if (only === undefined) return new Uint8Array(0);
    return this.chunks.length === 1 ? only : Buffer.concat(this.chunks, this.receivedBytes);
  }

  private fail(problem: MessageProblem): void {
    this.problem = problem;
    this.chunks = [];
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

/** The text of a `grpc-message` header; escapes that are not `%XX` stay as they are. Never throws. */
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
 * Milliseconds of a `grpc-timeout` header (at most eight digits and a unit), rounded up; undefined when it is
 * malformed.
 */
export function parseGrpcTimeout(value: string): number | undefined {
  const unit = timeoutUnitMs[value.slice(-1)];
  const digits = value.slice(0, -1);
  if (unit === undefined || !/^\d{1,8}$/.test(digits)) return undefined;
  return Math.ceil(Number(digits) * unit);
}
