import fc from 'fast-check';
import { encodeHuffman } from '../testing/encode-huffman';
import { HpackEncoder } from '../testing/encode-hpack';
import { bytesFrom, capture } from '../testing/http2-capture';
import { FrameReader, type FrameListener } from './frame-reader';
import { HpackDecoder } from './hpack-decoder';
import { decodeHuffman } from './huffman';
import { staticTable } from './static-table';

const decode = (decoder: HpackDecoder, hex: string): [string, string][] => {
  const fields: [string, string][] = [];
  const block = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  decoder.decode(block, 0, block.length, (name, value) => fields.push([name, value]));
  return fields;
};

describe('Huffman code', () => {
  it('decodes every byte value and every text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (text) => {
        const code = encodeHuffman(text);
        const output = Buffer.alloc(text.length * 8);
        const length = decodeHuffman(code, 0, code.length, output);
        expect(output.subarray(0, length)).toEqual(Buffer.from(text));
      }),
      { examples: [[Uint8Array.from({ length: 256 }, (_, i) => i)]] },
    );
  });

  it.each([
    ['the end-of-string symbol', 'ffffffff'],
    ['eight bits of padding', '1fff'],
    ['padding that is not all ones', '1e'],
  ])('refuses %s', (_what, hex) => {
    const code = Buffer.from(hex, 'hex');
    expect(decodeHuffman(code, 0, code.length, Buffer.alloc(64))).toBe(-1);
  });

  it('never writes outside its output, whatever the input', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (code) => {
        const output = Buffer.alloc(code.length * 2);
        expect(decodeHuffman(code, 0, code.length, output)).toBeLessThanOrEqual(output.length);
      }),
    );
  });
});

describe('HPACK decoder', () => {
  // The examples of RFC 7541, appendix C: three blocks on one connection each, then the table's
  // size.
  it.each([
    [
      'C.3 requests without Huffman code',
      4096,
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ],
      164,
    ],
    [
      'C.4 requests with Huffman code',
      4096,
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
      164,
    ],
  ])('%s', (_what, _limit, blocks, tableBytes) => {
    const decoder = new HpackDecoder(4096);
    const common = [':method', 'GET'];
    expect(blocks.map((block) => decode(decoder, block))).toEqual([
      [common, [':scheme', 'http'], [':path', '/'], [':authority', 'www.example.com']],
      [
        common,
        [':scheme', 'http'],
        [':path', '/'],
        [':authority', 'www.example.com'],
        ['cache-control', 'no-cache'],
      ],
      [
        common,
        [':scheme', 'https'],
        [':path', '/index.html'],
        [':authority', 'www.example.com'],
        ['custom-key', 'custom-value'],
      ],
    ]);
    expect(decoder.dynamicTableBytes).toBe(tableBytes);
  });

  it('C.6 responses with Huffman code and eviction from a table of 256 bytes', () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, '3fe101'); // table size 256
    expect(
      decode(
        decoder,
        `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`.replaceAll('\n', ''),
      ),
    ).toEqual([
      [':status', '302'],
      ['cache-control', 'private'],
      ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
      ['location', 'https://www.example.com'],
    ]);
    expect(decoder.dynamicTableBytes).toBe(222);
    expect(decode(decoder, '4883 640e ffc1 c0bf')).toEqual([
      [':status', '307'],
      ['cache-control', 'private'],
      ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
      ['location', 'https://www.example.com'],
    ]);
    expect(decoder.dynamicTableBytes).toBe(222);
    expect(decoder.dynamicTableEntries).toBe(4);
  });

  const anyName = fc.oneof(
    fc.constantFrom(...staticTable.map(([name]) => name), 'grpc-status', 'x-a', 'x-b'),
    fc.string({ minLength: 1, maxLength: 40 }),
  );
  const anyField = fc.record({
    name: anyName,
    value: fc.oneof(
      fc.constantFrom('', '0', '/', 'POST', 'same value'),
      fc.string({ maxLength: 60 }),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
      fc.integer({ min: 100, max: 5000 }).map((length) => 'x'.repeat(length)),
    ),
    form: fc.constantFrom('index', 'incremental', 'plain', 'never'),
    huffman: fc.boolean(),
    nameIndex: fc.boolean(),
  });
  const anyBlock = fc.record({
    sizeUpdates: fc.array(fc.integer({ min: 0, max: 9000 }), { maxLength: 2 }),
    fields: fc.array(anyField, { maxLength: 12 }),
  });

  it('decodes every right encoding of every field, through evictions and size updates', () => {
    fc.assert(
      fc.property(fc.array(anyBlock, { maxLength: 12 }), (blocks) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder(9000);
        for (const { sizeUpdates, fields } of blocks) {
          const bytes = Buffer.concat([
            ...sizeUpdates.map((size) => encoder.sizeUpdate(size)),
            ...fields.map((field) => encoder.field(field)),
          ]);
          expect(decode(decoder, bytes.toString('hex'))).toEqual(
            fields.map(({ name, value }) => [name, value]),
          );
          expect(decoder.dynamicTableBytes).toBe(encoder.tableBytes);
          expect(decoder.dynamicTableEntries).toBe(encoder.tableEntries);
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['index 0', '80'],
    ['an index behind the table', 'be'],
    ['a name index behind the table', '7f 00 00'],
    ['an integer without end', 'ff ff ff ff ff ff ff 01'],
    ['an integer cut short', 'ff ff'],
    ['a string cut short', '00 05 61 62'],
    ['a field without value', '00 01 61'],
    ['a size update behind a field', '82 20'],
    ['a size update above the bound', '3f e2 ff 03'],
    ['a broken Huffman code', '00 01 61 84 ff ff ff ff'],
  ])('rejects %s', (_what, hex) => {
    expect(() => decode(new HpackDecoder(65_536), hex)).toThrow(/^hpack: /);
  });

  it('throws nothing else and holds no more than its bound, whatever the input', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
        fc.constantFrom(0, 64, 4096),
        (blocks, bound) => {
          const decoder = new HpackDecoder(Math.max(bound, 4096));
          for (const block of blocks) {
            try {
              decode(decoder, Buffer.from(block).toString('hex'));
            } catch (error) {
              expect((error as Error).name).toBe('UntrackableError');
              return;
            }
            expect(decoder.dynamicTableBytes).toBeLessThanOrEqual(4096);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  describe('reads what nghttp2 writes', () => {
    const header = fc.tuple(
      fc.constantFrom('x-one', 'x-two', 'grpc-timeout', 'x-three-bin', 'user-agent'),
      fc.oneof(
        fc.constantFrom('a', '1S', 'grpc-go/1.60'),
        fc.string({ maxLength: 40 }).map((s) => s.trim()),
        fc.integer({ min: 200, max: 3000 }).map((length) => 'v'.repeat(length)),
      ),
    );
    const headers = fc.array(header, { maxLength: 5 }).map(Object.fromEntries) as fc.Arbitrary<
      Record<string, string>
    >;

    it.each([
      ['a table of 4096 bytes', 4096],
      ['a table of 200 bytes, with evictions', 200],
      ['no table', 0],
      ['a table of 60 000 bytes', 60_000],
    ])('with %s', async (_what, headerTableSize) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(headers, headers, headers), { minLength: 1, maxLength: 6 }),
          async (sets) => {
            const settings = { headerTableSize, maxHeaderListSize: 1 << 20 };
            const deflate = { maxDeflateDynamicTableSize: 65_536, settings };
            const traffic = await capture(
              sets.map(([request, response, trailers]) => ({
                headers: request,
                body: [],
                response: {
                  headers: response,
                  body: [],
                  trailers: { ...trailers, 'grpc-status': '0' },
                },
              })),
              { client: deflate, server: deflate },
            );
            const requests = blocksOf(bytesFrom(traffic, 'client'), true);
            const responses = blocksOf(bytesFrom(traffic, 'server'), false);
            expect(requests).toEqual(traffic.decoded.map(({ request }) => request));
            expect(responses).toEqual(
              traffic.decoded.flatMap(({ response, trailers }) => [response, trailers]),
            );
          },
        ),
        { numRuns: 40 },
      );
    });
  });
});

function blocksOf(bytes: Buffer, preface: boolean): string[][] {
  const decoder = new HpackDecoder(65_536);
  const blocks: string[][] = [];
  const ignore = (): undefined => undefined;
  const listener: FrameListener = {
    onData: ignore,
    onDataEnd: ignore,
    onHeaderBlock: (_streamId, block, start, end) => {
      const fields: string[] = [];
      decoder.decode(block, start, end, (name, value) => fields.push(name, value));
      blocks.push(fields);
    },
    onRstStream: ignore,
    onSettings: ignore,
    onPing: ignore,
    onGoAway: ignore,
  };
  new FrameReader(listener, 1 << 20, { preface }).push(bytes);
  return blocks;
}
