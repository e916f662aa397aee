import { StowageError } from '@stowage/errors';

/**
 * Numbers and types of the fields of a message, under the names that the generated code gives them.
 * Every field of `T` must be present, so that a field added to the interface does not compile until
 * somebody has decided about it.
 */
export type MessageShape<T> = {
  readonly [K in Exclude<keyof T, '_unknownFields'>]-?: readonly [
    number: number,
    kind: KindOf<NonNullable<T[K]>>,
  ];
};

/** `map` is a map of strings to strings. */
type KindOf<V> = [V] extends [boolean]
  ? 'bool'
  : [V] extends [string]
    ? 'string'
    : [V] extends [number]
      ? 'enum'
      : string extends keyof V
        ? 'map'
        : MessageShape<V>;

type AnyShape = Readonly<Record<string, readonly [number: number, kind: AnyKind]>>;
type AnyKind = 'bool' | 'string' | 'enum' | 'map' | AnyShape;
type AnyMessage = Record<string, unknown>;

/** Bytes that no encoder of protobuf writes; `offset` is where the reader stopped. */
export class MalformedMessageError extends StowageError {
  constructor(
    readonly problem: string,
    readonly offset: number,
  ) {
    super(`malformed message: ${problem} at byte ${offset}`, {
      code: 'INVALID_ARGUMENT',
      grpcStatus: 'INVALID_ARGUMENT',
    });
  }
}

/**
 * Reads a message for a decision about it. Protobuf's decoders differ in what they do with bytes
 * that no encoder writes: one takes a tag above 32 bits for field 2^29, the next for the end of the
 * message. Here such bytes are an error: tags above 32 bits, field number 0, groups, wire types
 * that do not exist or do not fit the field, numbers that are cut, longer than they need be or out
 * of range, lengths past the end, text that is not UTF-8.
 *
 * What decoders agree on is read as they read it: the last occurrence of a field counts, those of a
 * message in it are merged, fields that are not in `shape` are skipped and are not in the result.
 *
 * @throws {MalformedMessageError}
 */
export function readStrictly<T>(shape: MessageShape<T>, bytes: Uint8Array): T {
  const message = blank(shape);
  readFields(new Cursor(bytes, 0), shape, message);
  return message as T;
}

/** A message without any field set, as generated code makes it. */
function blank(shape: AnyShape): AnyMessage {
  const values: AnyMessage = {};
  for (const { name, kind } of fieldsOf(shape).values()) values[name] = unset(kind);
  return values;
}

function unset(kind: AnyKind): unknown {
  switch (kind) {
    case 'bool':
      return false;
    case 'string':
      return '';
    case 'enum':
      return 0;
    case 'map':
      // Without a prototype, so that no key is special.
      return Object.create(null);
    default:
      return undefined;
  }
}

const mapEntry = { key: [1, 'string'], value: [2, 'string'] } as const;

const wire = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const;

interface Field {
  readonly name: string;
  readonly kind: AnyKind;
}

const fieldsByShape = new WeakMap<AnyShape, ReadonlyMap<number, Field>>();

/**
 * The fields of a shape by number, made once: a hostile request can hold a hundred thousand
 * messages of the same shape.
 */
function fieldsOf(shape: AnyShape): ReadonlyMap<number, Field> {
  let fields = fieldsByShape.get(shape);
  if (fields === undefined) {
    const entries = Object.entries(shape);
    fields = new Map(entries.map(([name, [number, kind]]) => [number, { name, kind }]));
    fieldsByShape.set(shape, fields);
  }
  return fields;
}

function readFields(cursor: Cursor, shape: AnyShape, message: AnyMessage): void {
  const fields = fieldsOf(shape);
  while (!cursor.atEnd) {
    const tag = cursor.tag();
    const number = tag >>> 3;
    const wireType = tag & 7;
    const field = fields.get(number);
    if (field === undefined) {
      cursor.skip(wireType);
      continue;
    }
    const { name, kind } = field;
    const expected = kind === 'bool' || kind === 'enum' ? wire.varint : wire.bytes;
    if (wireType !== expected) {
      cursor.fail(`wire type ${wireType} for field ${number} (want ${expected})`);
    }
    message[name] = readValue(cursor, kind, message[name]);
  }
}

function readValue(cursor: Cursor, kind: AnyKind, before: unknown): unknown {
  switch (kind) {
    case 'bool':
      return cursor.bool();
    case 'string':
      return cursor.string();
    case 'enum':
      return cursor.int32();
    case 'map': {
      const entry = { key: '', value: '' };
      readFields(cursor.message(), mapEntry, entry);
      const map = before as Record<string, unknown>;
      map[entry.key] = entry.value;
      return map;
    }
    default: {
      const message = (before ?? blank(kind)) as AnyMessage;
      readFields(cursor.message(), kind, message);
      return message;
    }
  }
}

// Not `ignoreBOM: false`, which would take a byte order mark out of the text.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const maxUint64 = 2n ** 64n - 1n;

/** A reader within the bytes of one message. */
class Cursor {
  #at = 0;

  constructor(
    private readonly bytes: Uint8Array,
    /** Where these bytes begin in the outermost message. */
    private readonly offset: number,
  ) {}

  get atEnd(): boolean {
    return this.#at === this.bytes.length;
  }

  fail(problem: string): never {
    throw new MalformedMessageError(problem, this.offset + this.#at);
  }

  /** Field number and, in the last three bits, wire type. */
  tag(): number {
    const tag = this.#uint32('tag');
    if (tag >>> 3 === 0) this.fail('field number 0');
    return tag;
  }

  bool(): boolean {
    const value = this.#uint32('bool');
    if (value > 1) this.fail(`${value} as a bool`);
    return value === 1;
  }

  int32(): number {
    const value = BigInt.asIntN(64, this.#uint64());
    if (value !== BigInt.asIntN(32, value)) this.fail('an enum value of more than 32 bits');
    return Number(value);
  }

  string(): string {
    const bytes = this.#lengthDelimited();
    try {
      return utf8.decode(bytes);
    } catch {
      return this.fail('text that is not UTF-8');
    }
  }

  /** The bytes of a message inside this one. */
  message(): Cursor {
    const bytes = this.#lengthDelimited();
    return new Cursor(bytes, this.offset + this.#at - bytes.length);
  }

  skip(wireType: number): void {
    switch (wireType) {
      case wire.varint:
        this.#uint64();
        return;
      case wire.fixed64:
        this.#pass(8);
        return;
      case wire.bytes:
        this.#pass(this.#uint32('length'));
        return;
      case wire.fixed32:
        this.#pass(4);
        return;
      case wire.startGroup:
      case wire.endGroup:
        return this.fail('a group');
      default:
        return this.fail(`wire type ${wireType}`);
    }
  }

  #lengthDelimited(): Uint8Array {
    const length = this.#uint32('length');
    this.#pass(length);
    return this.bytes.subarray(this.#at - length, this.#at);
  }

  #pass(count: number): void {
    const left = this.bytes.length - this.#at;
    if (count > left) this.fail(`${count} bytes announced, ${left} there`);
    this.#at += count;
  }

  #byte(): number {
    const byte = this.bytes[this.#at];
    if (byte === undefined) return this.fail('a number that is cut');
    this.#at++;
    return byte;
  }

  /** A varint of at most 32 bits in its shortest form. */
  #uint32(what: string): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte >= 0x80) continue;
      if (byte === 0 && shift > 0) this.fail(`a ${what} that is longer than it need be`);
      if (value < 2 ** 32) return value;
      break;
    }
    return this.fail(`a ${what} of more than 32 bits`);
  }

  /** A varint of at most 64 bits in its shortest form. */
  #uint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (byte === 0 && shift > 0n) this.fail('a number that is longer than it need be');
      if (value <= maxUint64) return value;
      break;
    }
    return this.fail('a number of more than 64 bits');
  }
}
