import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { TerminalSizes } from './terminal-sizes';
import type { TerminalSize } from './types';

describe('TerminalSizes', () => {
  const read = async (...chunks: string[]) => {
    const stream = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
    const sizes = new TerminalSizes(stream);
    const seen: TerminalSize[] = [];
    sizes.listen((size) => seen.push(size));
    await finished(stream);
    return { sizes, seen };
  };

  it('reads objects one after another, however they are cut', async () => {
    const { seen } = await read('{"Width":80,"Hei', 'ght":24}\n{"Width":100,"Height":30}', '{"W');
    expect(seen).toEqual([
      { width: 80, height: 24 },
      { width: 100, height: 30 },
    ]);
  });

  it('passes over what is no size', async () => {
    const { seen } = await read(
      '{"Width":0,"Height":24}',
      '{"Width":80}',
      '{"Width":"80","Height":24}',
      '{"Width":65536,"Height":24}',
      `${'x'.repeat(5000)}}`,
      'null}',
      '{"Width":1,"Height":2}',
    );
    expect(seen).toEqual([{ width: 1, height: 2 }]);
  });

  it('gives a late listener the last one', async () => {
    const { sizes } = await read('{"Width":1,"Height":2}{"Width":3,"Height":4}');
    const seen: TerminalSize[] = [];
    sizes.listen((size) => seen.push(size));
    expect(seen).toEqual([{ width: 3, height: 4 }]);
  });
});
