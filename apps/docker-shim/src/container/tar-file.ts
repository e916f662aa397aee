/** The first entry of an archive. */
export type TarEntry =
  | { readonly kind: 'file'; readonly content: Buffer }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'other' };

const blockBytes = 512;

/** The first entry of a tar archive; undefined for what is none. */
export function firstTarEntry(archive: Buffer): TarEntry | undefined {
  for (let at = 0; at + blockBytes <= archive.length;) {
    const header = archive.subarray(at, at + blockBytes);
    const size = Number.parseInt(text(header, 124, 12).trim() || '0', 8);
    if (!Number.isSafeInteger(size) || size < 0) return undefined;
    at += blockBytes;
    switch (String.fromCharCode(header[156] ?? 0)) {
      // Of one entry, and of all: what is longer than a header has room for.
      case 'x':
      case 'g':
        at += Math.ceil(size / blockBytes) * blockBytes;
        break;
      case '0':
      case '\0':
        if (at + size > archive.length) return undefined;
        return { kind: 'file', content: archive.subarray(at, at + size) };
      case '1':
      case '2':
        return { kind: 'link', target: text(header, 157, 100) };
      default:
        return { kind: 'other' };
    }
  }
  return undefined;
}

function text(header: Buffer, at: number, length: number): string {
  const field = header.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? length : end);
}
