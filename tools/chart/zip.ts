import { inflateRawSync } from 'node:zlib';

const endSignature = 0x06054b50;
const entrySignature = 0x02014b50;
const localSignature = 0x04034b50;
const endBytes = 22;
const methodStored = 0;
const methodDeflated = 8;

/** A file in an archive. */
export interface ZipEntry {
  readonly name: string;
  /** The unpacked content. Throws when the archive is damaged. */
  content(): Buffer;
}

/**
 * Files of a zip archive below 4 GiB, by its directory.
 *
 * @throws Error when it is none, or uses another compression than deflate.
 */
export function readZip(archive: Buffer): ZipEntry[] {
  const end = archive.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  if (end < 0 || end + endBytes > archive.length || archive.readUInt32LE(end) !== endSignature) {
    throw new Error('no zip archive: it has no directory');
  }
  const count = archive.readUInt16LE(end + 10);
  const entries: ZipEntry[] = [];
  let at = archive.readUInt32LE(end + 16);
  for (let index = 0; index < count; index += 1) {
    if (archive.readUInt32LE(at) !== entrySignature) throw new Error('damaged zip archive');
    const method = archive.readUInt16LE(at + 10);
    const packedBytes = archive.readUInt32LE(at + 20);
    const unpackedBytes = archive.readUInt32LE(at + 24);
    const nameBytes = archive.readUInt16LE(at + 28);
    const moreBytes = archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
    const local = archive.readUInt32LE(at + 42);
    const name = archive.toString('utf8', at + 46, at + 46 + nameBytes);
    entries.push({
      name,
      content: () => unpack(archive, { name, method, packedBytes, unpackedBytes, local }),
    });
    at += 46 + nameBytes + moreBytes;
  }
  return entries;
}

interface Place {
  readonly name: string;
  readonly method: number;
  readonly packedBytes: number;
  readonly unpackedBytes: number;
  readonly local: number;
}

function unpack(archive: Buffer, place: Place): Buffer {
  const { name, method, packedBytes, unpackedBytes, local } = place;
  if (archive.readUInt32LE(local) !== localSignature)
    throw new Error(`damaged zip archive: ${name}`);
  // The lengths before the content are those of the local header, not those of the directory.
  const begin = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  const packed = archive.subarray(begin, begin + packedBytes);
  if (method !== methodStored && method !== methodDeflated) {
    throw new Error(`${name} is packed by method ${method}, not by deflate`);
  }
  const content =
    method === methodStored
      ? packed
      : inflateRawSync(packed, { maxOutputLength: unpackedBytes + 1 });
  if (content.length !== unpackedBytes) {
    throw new Error(`${name} has ${content.length} bytes, the archive says ${unpackedBytes}`);
  }
  return content;
}
