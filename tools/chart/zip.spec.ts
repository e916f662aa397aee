import { deflateRawSync } from 'node:zlib';
import { readZip } from './zip';

/** An archive as zip programs write it, with more in the local header than in the directory. */
function zip(files: readonly { name: string; content: Buffer; method: 0 | 8 | 12 }[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, method } of files) {
    const packed = method === 8 ? deflateRawSync(content) : content;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    local.writeUInt16LE(4, 28);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(packed.length, 20);
    entry.writeUInt32LE(content.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(offset, 42);
    directory.push(entry, Buffer.from(name));
    const whole = Buffer.concat([local, Buffer.from(name), Buffer.alloc(4), packed]);
    parts.push(whole);
    offset += whole.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

const text = Buffer.from('kubectl '.repeat(1000));

it('reads files that are packed and files that are not', () => {
  const archive = zip([
    { name: 'helm/helm', content: text, method: 8 },
    { name: 'kubectl/kubectl', content: Buffer.from('short'), method: 0 },
  ]);
  const files = readZip(archive).map(({ name, content }) => [name, content().toString()]);
  expect(files).toEqual([
    ['helm/helm', text.toString()],
    ['kubectl/kubectl', 'short'],
  ]);
});

it.each([
  ['something else', Buffer.from('<html>'), 'no zip archive: it has no directory'],
  [
    'another compression',
    zip([{ name: 'a', content: text, method: 12 }]),
    'a is packed by method 12, not by deflate',
  ],
])('refuses %s', (_what, archive, message) => {
  expect(() => readZip(archive).map(({ content }) => content())).toThrow(message);
});

it('refuses content of another length than the directory says', () => {
  const archive = zip([{ name: 'a', content: text, method: 8 }]);
  const entry = archive.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1'));
  archive.writeUInt32LE(text.length - 1, entry + 24);
  expect(() => readZip(archive)[0]?.content()).toThrow(`a has ${text.length} bytes`);
});
