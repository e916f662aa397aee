import { HpackDecoder, type FieldListener } from '../wire/hpack-decoder';
import { frameHeaderBytes } from '../wire/frame-reader';
import { emptyTable, fieldBytes, putField } from '../wire/header-fields';
import { sameBytes } from '../wire/same-bytes';

/** Table size that clients may use: the default, which is never raised. */
const tableBytes = 4096;
/** Most fields of a request, and most bytes of them as RFC 9113 counts (32 added for each). */
const maxFields = 4_096;
export const maxHeaderListBytes = 256 * 1024;
/** Blocks of a connection that are kept with what they mean, and the longest of them. */
const maxKnownBlocks = 4;
const maxKnownBytes = 512;
/** Most room that the headers of one take when they are written. */
const maxKnownEncodedBytes = 2 * 1024;

/** What a field is to a request; given once for each entry of the table. */
const mark = {
  regular: 0,
  method: 1,
  scheme: 2,
  path: 3,
  authority: 4,
  /** Does not concern the runtime: it gets its own, or none. */
  dropped: 5,
  encoding: 6,
  contentType: 7,
  timeout: 8,
  malformed: 9,
} as const;

const none = Buffer.alloc(0);

const nameCharacters = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const valueCharacters = /^[\t\x20-\x7e\x80-\xff]*$/;
const pathCharacters = /^\/[\x21-\x7e]*$/;

function markField(name: string, value: string): number {
  switch (name) {
    case ':method':
      return nameCharacters.test(value.toLowerCase()) ? mark.method : mark.malformed;
    case ':scheme':
      return value === 'http' || value === 'https' ? mark.scheme : mark.malformed;
    case ':path':
      return pathCharacters.test(value) ? mark.path : mark.malformed;
    case ':authority':
      return valueCharacters.test(value) ? mark.authority : mark.malformed;
    case 'host':
    case 'content-length':
      return mark.dropped;
    case 'grpc-encoding':
      return valueCharacters.test(value) ? mark.encoding : mark.malformed;
    case 'content-type':
      return valueCharacters.test(value) ? mark.contentType : mark.malformed;
    case 'grpc-timeout':
      return valueCharacters.test(value) ? mark.timeout : mark.malformed;
    case 'te':
      return value === 'trailers' ? mark.regular : mark.malformed;
    // They are about a connection, and HTTP/2 has none of them.
    case 'connection':
    case 'keep-alive':
    case 'proxy-connection':
    case 'transfer-encoding':
    case 'upgrade':
      return mark.malformed;
    default:
      return nameCharacters.test(name) && valueCharacters.test(value)
        ? mark.regular
        : mark.malformed;
  }
}

/**
 * The request headers of one call, or of several that were sent the same, as they were understood.
 */
export class RequestHead {
  method = '';
  path = '';
  /** The first `grpc-timeout` and `grpc-encoding`. */
  timeout: string | undefined;
  encoding: string | undefined;
  /** True when there are more fields than are kept. */
  isTooLarge = false;
  /** Regular fields as they go on: name, value, name, value, ... */
  readonly fields: string[] = [];
  /** Places in {@link fields} of those that are never to be indexed. */
  neverIndexed: Set<number> | undefined;
  /** Room that all of it needs when it is encoded. */
  encodedBytes = 64;
  /** Whether more than one call was sent with it. */
  isShared = false;
  #written: Written | undefined;

  /**
   * What {@link putRequest} writes, kept for the next call; undefined unless it {@link isShared}.
   */
  written(path: string, isReplaced: boolean): Buffer | undefined {
    if (!this.isShared) return undefined;
    const before = this.#written;
    if (before?.path === path && before.isReplaced === isReplaced) return before.block;
    const out = Buffer.allocUnsafe(requestBytes(this, path));
    const block = Buffer.allocUnsafeSlow(putRequest(out, 0, this, path, isReplaced));
    out.copy(block);
    this.#written = { path, isReplaced, block };
    return block;
  }

  /** What clients of a handler see: without pseudo headers and those of gRPC itself. */
  metadata(): Record<string, string> {
    const metadata: Record<string, string> = {};
    for (let i = 0; i < this.fields.length; i += 2) {
      const name = this.fields[i] ?? '';
      const value = this.fields[i + 1] ?? '';
      if (name.startsWith('grpc-')) continue;
      const before = Object.hasOwn(metadata, name) ? metadata[name] : undefined;
      metadata[name] = before === undefined ? value : `${before}, ${value}`;
    }
    return metadata;
  }
}

/** What was written for a head. */
interface Written {
  readonly path: string;
  readonly isReplaced: boolean;
  readonly block: Buffer;
}

/** A header block that came before, in the memory of {@link HeadReader}, and what it means. */
interface KnownBlock {
  readonly start: number;
  readonly end: number;
  readonly head: RequestHead;
}

/**
 * Decodes the header blocks of a client, in the order in which they come. Clients send the same
 * bytes with most calls; as long as no block changes the table they mean the same, and are not
 * decoded again.
 */
export class HeadReader {
  readonly #decoder = new HpackDecoder(tableBytes, markField);
  #head = new RequestHead();
  #listBytes = 0;
  #count = 0;
  /** Which pseudo headers were there: a bit for each mark. */
  #seen = 0;
  #isRegular = false;
  #isMalformed = false;
  readonly #known: KnownBlock[] = [];
  #knownBytes = none;
  #nextKnown = 0;
  /** Changes of the table up to which {@link #known} holds. */
  #knownAt = 0;

  /**
   * The head of a request; undefined when it breaks RFC 9113, section 8. Throws UntrackableError
   * when the block cannot be decoded, after which the connection is over.
   */
  request(input: Buffer, start: number, end: number): RequestHead | undefined {
    const known = this.#find(input, start, end);
    if (known !== undefined) return known;
    const before = this.#decoder.tableChanges;
    const head = this.#decode(input, start, end);
    const needed = (1 << mark.method) | (1 << mark.scheme) | (1 << mark.path);
    if (this.#isMalformed || (this.#seen & needed) !== needed) return undefined;
    if (this.#decoder.tableChanges === before) this.#keep(head, input, start, end);
    return head;
  }

  /** Decodes trailers, of which nothing is used; false when they break RFC 9113. */
  trailers(input: Buffer, start: number, end: number): boolean {
    this.#decode(input, start, end);
    return !this.#isMalformed && this.#seen === 0;
  }

  #find(input: Buffer, start: number, end: number): RequestHead | undefined {
    if (this.#knownAt !== this.#decoder.tableChanges) {
      this.#knownAt = this.#decoder.tableChanges;
      this.#known.length = 0;
      this.#nextKnown = 0;
    }
    for (const known of this.#known) {
      if (!sameBytes(this.#knownBytes, known.start, known.end, input, start, end)) continue;
      known.head.isShared = true;
      return known.head;
    }
    return undefined;
  }

  #keep(head: RequestHead, input: Buffer, start: number, end: number): void {
    if (end - start > maxKnownBytes || head.encodedBytes > maxKnownEncodedBytes) return;
    if (this.#knownBytes === none) {
      this.#knownBytes = Buffer.allocUnsafeSlow(maxKnownBlocks * maxKnownBytes);
    }
    const place = this.#nextKnown++ % maxKnownBlocks;
    const at = place * maxKnownBytes;
    input.copy(this.#knownBytes, at, start, end);
    this.#known[place] = { start: at, end: at + end - start, head };
  }

  #decode(input: Buffer, start: number, end: number): RequestHead {
    const head = new RequestHead();
    this.#head = head;
    this.#listBytes = 0;
    this.#count = 0;
    this.#seen = 0;
    this.#isRegular = false;
    this.#isMalformed = false;
    this.#decoder.decode(input, start, end, this.#onField);
    head.isTooLarge = this.#count > maxFields || this.#listBytes > maxHeaderListBytes;
    return head;
  }

  readonly #onField: FieldListener = (name, value, marked, neverIndexed) => {
    this.#count++;
    this.#listBytes += name.length + value.length + 32;
    const head = this.#head;
    if (marked >= mark.method && marked <= mark.authority) {
      // Each once, and before all others.
      if (this.#isRegular || (this.#seen & (1 << marked)) !== 0) this.#isMalformed = true;
      this.#seen |= 1 << marked;
      if (marked === mark.method) head.method = value;
      else if (marked === mark.path) {
        head.path = value;
        head.encodedBytes += fieldBytes('', value);
      }
      return;
    }
    this.#isRegular = true;
    if (marked === mark.malformed) this.#isMalformed = true;
    if (marked === mark.malformed || marked === mark.dropped) return;
    if (this.#count > maxFields || this.#listBytes > maxHeaderListBytes) return;
    if (marked === mark.timeout) head.timeout ??= value;
    else if (marked === mark.encoding) head.encoding ??= value;
    if (neverIndexed) (head.neverIndexed ??= new Set()).add(head.fields.length);
    head.fields.push(name, value);
    head.encodedBytes += fieldBytes(name, value);
  };
}

const localhost = Buffer.concat([Buffer.of(0x01, 'localhost'.length), Buffer.from('localhost')]);

/**
 * Writes the header block for the runtime behind room for a frame header, and returns where it
 * ends: the values that were understood, each as a literal, under the authority `localhost`. With
 * `isReplaced` the message is our own, so what the client said about its form is left out.
 * @param path what the runtime is asked for
 */
export function putRequest(
  out: Buffer,
  from: number,
  head: RequestHead,
  path: string,
  isReplaced: boolean,
): number {
  let at = from + frameHeaderBytes;
  // The table of the connection is not used, whatever size the runtime would allow.
  out[at++] = emptyTable;
  // Static entries for ":method: POST" and ":scheme: http".
  out[at++] = 0x83;
  out[at++] = 0x86;
  at = putField(out, at, ':path', path, false);
  at += localhost.copy(out, at);
  const { fields, neverIndexed } = head;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    // A runtime may have another codec for another content type.
    if (isReplaced && (name === 'grpc-encoding' || name === 'content-type')) continue;
    at = putField(out, at, name, fields[i + 1] ?? '', neverIndexed?.has(i) === true);
  }
  if (isReplaced) at = putField(out, at, 'content-type', 'application/grpc', false);
  return at;
}

/** Room that {@link putRequest} needs at most. */
export const requestBytes = (head: RequestHead, path: string): number =>
  frameHeaderBytes + head.encodedBytes + fieldBytes('', path);
