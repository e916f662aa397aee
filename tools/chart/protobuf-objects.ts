import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { StoredObject } from './small-cluster';

/** What a body in the protobuf form of Kubernetes begins with. */
const magic = 'k8s\0';

/**
 * An object as kubectl and Helm send it: JSON, or for the kinds that they make by themselves
 * (namespaces, secrets) protobuf, of which name, labels, type and data are read.
 *
 * @throws Error for another kind in protobuf.
 */
export function readObject(body: Buffer): StoredObject {
  if (body.subarray(0, 4).toString('latin1') !== magic) {
    return JSON.parse(body.toString()) as StoredObject;
  }
  const envelope = fieldsOf(body.subarray(4));
  const type = fieldsOf(envelope.get(1)?.[0]);
  const [apiVersion, kind] = [textIn(type, 1), textIn(type, 2)];
  if (kind !== 'Namespace' && kind !== 'Secret') throw new Error(`${kind} is not read in protobuf`);
  const fields = fieldsOf(envelope.get(2)?.[0]);
  const metadata = fieldsOf(fields.get(1)?.[0]);
  const namespace = textIn(metadata, 3);
  const object: StoredObject = {
    apiVersion,
    kind,
    metadata: {
      name: textIn(metadata, 1),
      ...(namespace !== '' && { namespace }),
      labels: Object.fromEntries(entriesIn(metadata, 11, 'utf8')),
    },
  };
  if (kind === 'Namespace') return object;
  const data = Object.fromEntries(entriesIn(fields, 2, 'base64'));
  return { ...object, data, type: textIn(fields, 3) };
}

type Fields = ReadonlyMap<number, readonly Uint8Array[]>;

/** The fields of a message that have a length, by their numbers. */
function fieldsOf(message: Uint8Array = new Uint8Array()): Fields {
  const fields = new Map<number, Uint8Array[]>();
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) {
      fields.set(number, [...(fields.get(number) ?? []), reader.bytes()]);
    } else reader.skip(type, number);
  }
  return fields;
}

const textIn = (fields: Fields, number: number): string =>
  Buffer.from(fields.get(number)?.[0] ?? []).toString();

/** A map, whose values are text in this encoding. */
const entriesIn = (fields: Fields, number: number, encoding: 'utf8' | 'base64') =>
  (fields.get(number) ?? []).map((bytes): [string, string] => {
    const entry = fieldsOf(bytes);
    return [textIn(entry, 1), Buffer.from(entry.get(2)?.[0] ?? []).toString(encoding)];
  });
