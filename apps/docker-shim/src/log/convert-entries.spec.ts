import fc from 'fast-check';
import { criLine, engineLine, wellFormed, type TestEntry } from '../testing/engine-log-writer';
import { convertEntries } from './convert-entries';

const convert = (text: string | Buffer) => {
  const source = Buffer.from(text as string);
  const target = Buffer.alloc(source.length);
  const { produced, ...numbers } = convertEntries(source, source.length, target);
  return { text: target.toString('utf8', 0, produced), ...numbers };
};
const time = '2026-11-29T10:00:00.123456789Z';
const entry = (text: string, more: Partial<TestEntry> = {}): TestEntry => ({
  text,
  stream: 'stdout',
  time,
  ...more,
});

it.each([
  ['a line', 'hello\n', `${time} stdout F hello\n`],
  ['an empty line', '\n', `${time} stdout F \n`],
  ['a part of a line', 'hello', `${time} stdout P hello\n`],
  ['a line of a terminal, whose carriage return stays', 'hello\r\n', `${time} stdout F hello\r\n`],
  ['a backslash and an n at the end', 'C:\\n', `${time} stdout P C:\\n\n`],
  ['a backslash at the end of a line', 'C:\\\n', `${time} stdout F C:\\\n`],
  ['quotes, tabs and HTML', '"<a>\t&</a>"\n', `${time} stdout F "<a>\t&</a>"\n`],
  ['two, three and four bytes', 'é€😀\u2028\n', `${time} stdout F é€😀\u2028\n`],
  ['what is no UTF-8, which the engine has replaced', 'a\ufffdb\n', `${time} stdout F a\ufffdb\n`],
  ['JSON', '{"log":"x","time":"y"}\n', `${time} stdout F {"log":"x","time":"y"}\n`],
])('converts %s', (_, text, expected) => {
  expect(convert(engineLine(entry(text)))).toMatchObject({ text: expected, malformed: 0 });
});

it('keeps the time as the engine wrote it, and the stream', () => {
  const short = entry('a\n', { stream: 'stderr', time: '2026-11-29T10:00:00Z' });
  expect(convert(engineLine(short)).text).toBe('2026-11-29T10:00:00Z stderr F a\n');
});

it('passes over attributes, whatever is in them', () => {
  const attributes = { label: '","stream":"stderr","time":"x"}', other: '{"log":"' };
  expect(convert(engineLine(entry('a "b"\n'), attributes))).toMatchObject({
    text: `${time} stdout F a "b"\n`,
    malformed: 0,
  });
});

it('knows escapes that the engine does not use today', () => {
  const line = `{"log":"\\b\\f\\t\\/\\u00E9\\ud83d\\ude00\\ud83d.\\n","stream":"stdout","time":"${time}"}\n`;
  expect(convert(line).text).toBe(`${time} stdout F \b\f\t/é😀\ufffd.\n`);
});

it.each([
  ['no JSON', 'hello\n'],
  ['an empty line', '\n'],
  ['zeros that a power cut left', '\0\0\0\n'],
  ['no time', '{"log":"a\\n","stream":"stdout"}\n'],
  ['another stream', `{"log":"a\\n","stream":"stdlog","time":"${time}"}\n`],
  ['an escape that is cut', `{"log":"a\\u00","stream":"stdout","time":"${time}"}\n`],
  ['an escape that there is not', `{"log":"a\\x","stream":"stdout","time":"${time}"}\n`],
  ['a time that does not end', `{"log":"a","stream":"stdout","time":"${'1'.repeat(60)}"}\n`],
])('leaves out and counts %s', (_, line) => {
  const good = engineLine(entry('good\n'));
  expect(convert(good + line + good)).toEqual({
    text: criLine(entry('good\n')).repeat(2),
    malformed: 1,
    consumed: good.length * 2 + Buffer.byteLength(line),
  });
});

it.each(['{"log":"cut', '{"log":"a\\', '{"log":"cut\\n","stream":"std', '\0\0\0\0'])(
  'converts the entry that follows a cut one in the same line: %j',
  (cut) => {
    const { text, malformed } = convert(cut + engineLine(entry('good\n')));
    expect([text, malformed]).toEqual([criLine(entry('good\n')), 1]);
  },
);

const anyEntry = fc.record({
  text: fc
    .tuple(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.string({ unit: fc.constantFrom('\\', '"', 'n', 'u', '0', '\r', '\t', '<', '\u2028') }),
        fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('utf8')),
      ),
      fc.constantFrom('', '\n'),
    )
    .map(([text, end]) => wellFormed(text).replaceAll('\n', '') + end)
    .filter((text) => text !== ''),
  stream: fc.constantFrom('stdout' as const, 'stderr' as const),
  time: fc.constantFrom(time, '2026-11-29T10:00:00.1Z', '2026-11-29T10:00:00+01:00'),
});

it('converts any text as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.array(anyEntry), (entries) => {
      const lines = entries.map((one) => engineLine(one)).join('');
      expect(convert(lines)).toEqual({
        text: entries.map(criLine).join(''),
        consumed: Buffer.byteLength(lines),
        malformed: 0,
      });
    }),
    { numRuns: 300 },
  );
});

it('takes whole lines only, wherever what was read ends', () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { minLength: 1, maxLength: 5 }), fc.nat(), (entries, any) => {
      const source = Buffer.from(entries.map((one) => engineLine(one)).join(''));
      const end = any % (source.length + 1);
      const target = Buffer.alloc(source.length);
      const first = convertEntries(source, end, target);
      expect(first.consumed).toBeLessThanOrEqual(end);
      const rest = convert(source.subarray(first.consumed));
      expect(target.toString('utf8', 0, first.produced) + rest.text).toBe(
        entries.map(criLine).join(''),
      );
    }),
  );
});

it('never writes more than it reads, whatever that is', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.uint8Array(),
          fc.constantFrom(...pieces).map((text) => Buffer.from(text)),
        ),
      ),
      (parts) => {
        const source = Buffer.concat([...parts, Buffer.from('\n')]);
        const target = Buffer.alloc(source.length + 100, 0xaa);
        const { consumed, produced } = convertEntries(source, source.length, target);
        expect(consumed).toBe(source.length);
        expect(produced).toBeLessThanOrEqual(source.length);
        expect(target.subarray(source.length).every((byte) => byte === 0xaa)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

const pieces = [
  '{"log":"',
  '\\n',
  '"',
  ',"stream":"stdout"',
  `,"time":"${time}"}`,
  '\n',
  '\\u2028',
  '{}',
];
