import { quoteGo } from './go-text';

it.each([
  ['plain', '"plain"'],
  ['a"b\\c', '"a\\"b\\\\c"'],
  ['tab\tline\n', '"tab\\tline\\n"'],
  ['\x00\x1f\x7f', '"\\x00\\x1f\\x7f"'],
  ['\x07\b\f\r\v', '"\\a\\b\\f\\r\\v"'],
  ['grün 日本 😀', '"grün 日本 😀"'],
  ['\u00a0\u200b', '"\\u00a0\\u200b"'],
  ['\u{e0001}', '"\\U000e0001"'],
  ['', '""'],
])('quotes %j as Go does', (text, quoted) => {
  expect(quoteGo(text)).toBe(quoted);
});
