import { nodeNamesOf } from './node-list';

it.each([
  ['worker-2\nworker-1\n', ['worker-1', 'worker-2']],
  ['node/worker-1.example.net\r\n', ['worker-1.example.net']],
  ['# all of them\n\n  worker-1  # the first\nworker-1\n', ['worker-1']],
  ['', []],
])('of %j', (text, names) => {
  expect(nodeNamesOf(text, 'FILE')).toEqual(names);
});

it.each(['a_b', 'a b', '-a', 'a..b', 'pod/a', '\u001b[2J'])('%j is refused by its line', (name) => {
  expect(() => nodeNamesOf(`worker-1\n${name}\n`, 'FILE')).toThrow(/^FILE, line 2: /);
});
