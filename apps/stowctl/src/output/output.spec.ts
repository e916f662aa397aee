import { parseByteSize } from '@stowage/service-kit/byte-size';
import { parse } from 'yaml';
import { ageText, cleanText, parseSpan, sizeText, spanText } from '@stowage/status-view';
import { Output, type OutputFormat, type TextStream } from './output';
import { tableLines } from './table';

/** What a hostile label may hold: colours, a title, a carriage return, text turned round. */
const hostile = 'a\u001b[31mred\u001b[0m\u0007\r\nb\u009b\u202ec\u200bd\u007f';

class Kept implements TextStream {
  text = '';

  constructor(
    readonly isTTY = false,
    readonly columns = 80,
  ) {}

  write(text: string): void {
    this.text += text;
  }
}

const print = async (
  format: OutputFormat,
  use: (out: Output) => unknown,
  { isTTY = false, colors = true } = {},
): Promise<string> => {
  const stdout = new Kept(isTTY);
  await use(new Output({ format, stdout, stderr: new Kept(isTTY), colors }));
  return stdout.text;
};

/** Everything but line ends and printable text. */
const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e]/;

const table: Table = {
  columns: [{ title: 'NAME' }, { title: 'SIZE', align: 'right' }, { title: 'MORE', isWide: true }],
  rows: [
    ['one', '1.0 MiB', 'x'],
    [{ text: 'two', tone: 'bad' }, '20 B', 'y'],
  ],
};

describe('a table', () => {
  const plain = { isWide: false, paint: (text: string) => text };

  it('has its columns under each other, those of -o wide only there', () => {
    expect(tableLines(table, plain)).toEqual(['NAME     SIZE', 'one   1.0 MiB', 'two      20 B']);
    expect(tableLines(table, { ...plain, isWide: true })[2]).toBe('two      20 B  y');
  });

  it('without rows says so, or is not there', () => {
    expect(tableLines({ ...table, rows: [], empty: 'none' }, plain)).toEqual(['none']);
    expect(tableLines({ ...table, rows: [] }, plain)).toEqual([]);
  });

  it('a cell cannot leave its line', () => {
    const lines = tableLines({ ...table, rows: [[hostile, '1', '']] }, plain);
    expect(lines).toHaveLength(2);
    expect(lines[1]).not.toMatch(control);
  });
});

describe('output', () => {
  const view = { data: [{ label: hostile, [hostile]: 1 }], tables: [table], notes: [hostile] };

  it.each(['table', 'wide', 'json', 'yaml'] as const)(
    '-o %s holds no control character from outside',
    async (format) => {
      expect(await print(format, (out) => out.show(view))).not.toMatch(control);
      expect(await print(format, (out) => out.item(view.data, cleanText(hostile)))).not.toMatch(
        control,
      );
    },
  );

  it('JSON and YAML come back as they were', async () => {
    expect(JSON.parse(await print('json', (out) => out.show(view)))).toEqual(view.data);
    expect(parse(await print('yaml', (out) => out.show(view)))).toEqual(view.data);
  });

  it('what is undefined is in neither', async () => {
    const partial = { data: { a: undefined, b: 1 }, tables: [] };
    expect(await print('yaml', (out) => out.show(partial))).toBe('b: 1\n');
  });

  it('colours only on a terminal, and not where NO_COLOR forbids them', async () => {
    const show = (out: Output) => out.show({ data: [], tables: [table] });
    expect(await print('table', show)).not.toContain('\u001b');
    expect(await print('table', show, { isTTY: true })).toContain('\u001b[31mtwo\u001b[0m');
    expect(await print('table', show, { isTTY: true, colors: false })).not.toContain('\u001b');
  });

  it('a line that is written over is cut at the width, and only on a terminal', () => {
    const [pipe, terminal] = [new Kept(), new Kept(true, 10)];
    for (const stderr of [pipe, terminal]) {
      const out = new Output({ format: 'table', stdout: new Kept(), stderr, colors: true });
      out.status('0123456789abcdef');
    }
    expect([pipe.text, terminal.text]).toEqual(['', '\r\u001b[K012345678']);
  });
});

describe('units', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1_048_575, '1.0 MiB'],
    [71_300_000, '68.0 MiB'],
    [-(2 ** 30), '-1.0 GiB'],
    [2 ** 60, '1024.0 PiB'],
  ])('%d bytes', (sizeBytes, text) => expect(sizeText(sizeBytes)).toBe(text));

  it.each([
    [0, '0ms'],
    [999.6, '1s'],
    [61_000, '1m1s'],
    [3_600_000, '1h'],
    [90_061_000, '1d1h'],
    [-5, '0ms'],
  ])('%d ms', (spanMs, text) => expect(spanText(spanMs)).toBe(text));

  it('ages leave out what does not matter any more', () => {
    const now = Date.parse('2026-11-20T12:00:00Z');
    expect(ageText('2026-11-17T10:00:00Z', now)).toBe('3d');
    expect(ageText('2026-11-20T11:58:30Z', now)).toBe('1m30s');
    expect([ageText(null, now), ageText(undefined, now)]).toEqual(['-', '-']);
  });

  it.each([
    ['90s', 90_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['1.5s', 1500],
    ['5', undefined],
    ['h', undefined],
    ['-1s', undefined],
    ['', undefined],
  ])('the span %j', (text, spanMs) => expect(parseSpan(text)).toBe(spanMs));

  it.each([
    ['2Gi', 2 * 2 ** 30],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['500M', 500e6],
    ['12', 12],
    ['2g', undefined],
    ['', undefined],
  ])('the size %j', (text, sizeBytes) => expect(parseByteSize(text)).toBe(sizeBytes));
});
