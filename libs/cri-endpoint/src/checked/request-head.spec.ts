import { randomFrom } from '@stowage/testing';
import { HpackEncoder, type FieldForm } from '../testing/encode-hpack';
import { frameHeaderBytes } from '../wire/frame-reader';
import { HpackDecoder } from '../wire/hpack-decoder';
import { HeadReader, putRequest, requestBytes, type RequestHead } from './request-head';

type Field = readonly [name: string, value: string];

const pseudo: Field[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a.B/C'],
  [':authority', '/run/containerd/containerd.sock'],
];

function block(
  encoder: HpackEncoder,
  fields: readonly Field[],
  form: Partial<FieldForm> = {},
): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) =>
      encoder.field({ name, value, form: 'incremental', huffman: true, nameIndex: true, ...form }),
    ),
  );
}

/** Fields that the runtime reads of what is written for it. */
function asRead(head: RequestHead, path: string, isReplaced = false): string[] {
  const out = Buffer.alloc(requestBytes(head, path));
  const end = putRequest(out, 0, head, path, isReplaced);
  const fields: string[] = [];
  // The same each time, for those that come more than once.
  for (const known of [head.written(path, isReplaced), head.written(path, isReplaced)]) {
    if (head.isShared) expect(known).toHaveLength(end);
    expect(known?.compare(out, frameHeaderBytes, end, frameHeaderBytes) ?? 0).toBe(0);
  }
  new HpackDecoder(0).decode(out, frameHeaderBytes, end, (name, value, _mark, neverIndexed) =>
    fields.push(`${neverIndexed ? '!' : ''}${name}: ${value}`),
  );
  return fields;
}

it('writes anew what it has understood, under our own authority', () => {
  const fields: Field[] = [
    ...pseudo,
    ['content-type', 'application/grpc+proto'],
    ['host', 'elsewhere'],
    ['content-length', '7'],
    ['grpc-encoding', 'gzip'],
    ['grpc-timeout', '5S'],
    ['te', 'trailers'],
    ['x-twice', 'a'],
    ['x-twice', 'caf\u00e9'],
  ];
  const bytes = block(new HpackEncoder(), fields);
  const read = new HeadReader().request(bytes, 0, bytes.length);
  expect(read).toMatchObject({ path: '/a.B/C', timeout: '5S', encoding: 'gzip' });
  const common = [':method: POST', ':scheme: http', ':path: /x.Y/Z', ':authority: localhost'];
  const rest = ['grpc-timeout: 5S', 'te: trailers', 'x-twice: a', 'x-twice: caf\u00e9'];
  expect(asRead(read!, '/x.Y/Z')).toEqual([
    ...common,
    'content-type: application/grpc+proto',
    'grpc-encoding: gzip',
    ...rest,
  ]);
  expect(asRead(read!, '/x.Y/Z', true)).toEqual([
    ...common,
    ...rest,
    'content-type: application/grpc',
  ]);
  expect(read!.metadata()).toEqual({
    'content-type': 'application/grpc+proto',
    te: 'trailers',
    'x-twice': 'a, caf\u00e9',
  });
});

it('keeps fields that are never to be indexed so', () => {
  const encoder = new HpackEncoder();
  const bytes = Buffer.concat([
    block(encoder, pseudo),
    block(encoder, [['x-secret', 's']], { form: 'never' }),
    block(encoder, [['x-open', 'o']]),
  ]);
  const head = new HeadReader().request(bytes, 0, bytes.length);
  expect(asRead(head!, '/a').slice(4)).toEqual(['!x-secret: s', 'x-open: o']);
});

it('reads random fields in every form of HPACK as the runtime then does', () => {
  const random = randomFrom(7);
  const below = (limit: number): number => Math.floor(random() * limit);
  const reader = new HeadReader();
  const encoder = new HpackEncoder();
  const forms = ['index', 'incremental', 'plain', 'never'] as const;
  for (let round = 0; round < 2_000; round++) {
    const regular = Array.from({ length: below(8) }, (): Field => {
      const name = ['x-a', 'user-agent', 'grpc-timeout', `x-${below(500)}`][below(4)] ?? '';
      const value = Array.from({ length: below(below(5) === 0 ? 300 : 20) }, () =>
        String.fromCharCode(0x20 + below(0x5f)),
      ).join('');
      return [name, value];
    });
    const fields = [...pseudo, ...regular];
    const bytes = Buffer.concat([
      ...(below(50) === 0 ? [encoder.sizeUpdate(below(4_097))] : []),
      ...fields.map(([name, value]) =>
        encoder.field({
          name,
          value,
          form: forms[below(4)] ?? 'plain',
          huffman: random() < 0.5,
          nameIndex: random() < 0.5,
        }),
      ),
    ]);
    const head = reader.request(bytes, 0, bytes.length);
    expect(
      asRead(head!, '/p')
        .slice(4)
        .map((field) => field.replace(/^!/, '')),
    ).toEqual(regular.map(([name, value]) => `${name}: ${value}`));
  }
});

it('reads bytes that come again as a decoder does that reads them each time', () => {
  const random = randomFrom(11);
  const plain = block(new HpackEncoder(), pseudo, { form: 'plain' });
  const added = (i: number): Buffer =>
    Buffer.concat([plain, block(new HpackEncoder(), [[`x-${i}`, 'v'.repeat(i)]])]);
  const blocks = [
    plain,
    ...[0x80 | 62, 0x80 | 62, 0x80 | 63, 0x80 | 64].map((byte) =>
      Buffer.concat([plain, Buffer.of(byte)]),
    ),
    ...[1, 2, 40].map(added),
    Buffer.concat([plain, block(new HpackEncoder(), [['x-plain', 'p']], { form: 'plain' })]),
    Buffer.concat([plain, block(new HpackEncoder(), [['x-never', 'n']], { form: 'never' })]),
    Buffer.concat([new HpackEncoder().sizeUpdate(80), plain]),
    Buffer.concat([new HpackEncoder().sizeUpdate(4_096), plain]),
  ];
  let shared = 0;
  for (let connection = 0; connection < 500; connection++) {
    const reader = new HeadReader();
    const decoder = new HpackDecoder(4_096);
    for (let calls = 0; calls < 30; calls++) {
      const bytes = blocks[Math.floor(random() * random() * blocks.length)] ?? plain;
      const expected: string[] = [];
      let error: unknown;
      try {
        decoder.decode(bytes, 0, bytes.length, (name, value) => {
          if (!name.startsWith(':')) expected.push(`${name}: ${value}`);
        });
      } catch (thrown) {
        error = thrown;
      }
      if (error !== undefined) {
        expect(() => reader.request(bytes, 0, bytes.length)).toThrow(error as Error);
        break;
      }
      const head = reader.request(bytes, 0, bytes.length);
      if (head?.isShared === true) shared++;
      const path = random() < 0.9 ? '/p' : '/q';
      const read = asRead(head!, path);
      expect(read.slice(0, 4).map((field) => field.slice(-2))).toContain(path);
      expect(read.slice(4).map((field) => field.replace(/^!/, ''))).toEqual(expected);
    }
  }
  expect(shared).toBeGreaterThan(400);
});

it('counts what a block of references comes to, and keeps little of it', () => {
  const encoder = new HpackEncoder();
  const big: Field = ['x-bomb', 'b'.repeat(4_000)];
  const first = block(encoder, [...pseudo, big]);
  const reference = block(encoder, [big], { form: 'index' });
  const bytes = Buffer.concat([first, Buffer.alloc(10_000, reference)]);
  const reader = new HeadReader();
  const head = reader.request(bytes, 0, bytes.length);
  expect(head?.isTooLarge).toBe(true);
  expect(head?.fields.length).toBeLessThan(140);
  // The connection goes on with the same table.
  const next = Buffer.concat([block(encoder, pseudo, { form: 'plain' }), reference]);
  expect(reader.request(next, 0, next.length)?.fields).toEqual([...big]);
});
