import { joinMessages } from './join-messages';

it.each([
  ['one error is its text', ['a'], 'a'],
  ['equal errors are one text', ['a', 'a'], 'a'],
  ['different errors stand in brackets, once each', ['a', 'b', 'a'], '[a, b]'],
])('%s', (_what, messages, text) => {
  expect(joinMessages(messages)).toBe(text);
});
