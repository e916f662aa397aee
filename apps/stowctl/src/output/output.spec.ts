import { parseByteSize } from '@stowage/service-kit/byte-size';
import { parse } from 'yaml';
import { cleanText, type Table } from '@stowage/status-view';
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

describe('sizes that are read', () => {
  it.each([
    ['2Gi', 2 * 2 ** 30],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['500M', 500e6],
    ['12', 12],
    ['2g', undefined],
    ['', undefined],
  ])('the size %j', (text, sizeBytes) => expect(parseByteSize(text)).toBe(sizeBytes));
});
