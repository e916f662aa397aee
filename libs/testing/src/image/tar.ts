/** An entry of a tar archive. */
export type TarEntry =
  | { path: string; type: 'file'; mode: number; content: Buffer }
  | { path: string; type: 'directory'; mode: number }
  | { path: string; type: 'symlink'; target: string };

const blockBytes = 512;

/**
 * Packs entries into a ustar archive, owned by root, with one fixed time: the same bytes on each
 * run.
 */
export function packTar(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    const content = entry.type === 'file' ? entry.content : Buffer.alloc(0);
    parts.push(header(entry, content.length), content);
    parts.push(Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes));
  }
  parts.push(Buffer.alloc(2 * blockBytes));
  return Buffer.concat(parts);
}

/**
 * Bytes of an archive of one folder and one file, apart from the file (whose size is a multiple of
 * 512).
 */
export const singleFileOverheadBytes = 4 * blockBytes;

function header(entry: TarEntry, sizeBytes: number): Buffer {
  if (Buffer.byteLength(entry.path) > 100) {
    throw new Error(`path in a test image is longer than 100 bytes: ${entry.path}`);
  }
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, digits: number): void => {
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  };
  block.write(entry.path, 0);
  octal(entry.type === 'symlink' ? 0o777 : entry.mode, 100, 7);
  octal(0, 108, 7); // user id
  octal(0, 116, 7); // group id
  octal(sizeBytes, 124, 11);
  octal(fixedTimeSeconds, 136, 11);
  block.fill(' ', 148, 156); // the checksum counts its own field as spaces
  block.write({ file: '0', symlink: '2', directory: '5' }[entry.type], 156);
  if (entry.type === 'symlink') block.write(entry.target, 157, 100);
  block.write('ustar\u000000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** 2026-01-01T00:00:00Z */
const fixedTimeSeconds = 1_767_225_600;
