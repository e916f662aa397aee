import { commandsIn } from './shell-words';

it.each<[string, string[][]]>([
  [
    'npm ci && npm run build',
    [
      ['npm', 'ci'],
      ['npm', 'run', 'build'],
    ],
  ],
  [
    'nats request a.b \'{"all": true}\'   # a remark',
    [['nats', 'request', 'a.b', '{"all": true}']],
  ],
  ['one \\\n  two', [['one', 'two']]],
  [
    'stowctl events | head -5; stowctl status &',
    [
      ['stowctl', 'events'],
      ['head', '-5'],
      ['stowctl', 'status'],
    ],
  ],
  [
    'kubectl get node "$(hostname)" -o wide',
    [['hostname'], ['kubectl', 'get', 'node', '$()', '-o', 'wide']],
  ],
  ['x=$(echo $(pwd))', [['pwd'], ['echo', '$()'], []]],
  [
    '(umask 077 && printf "%s\\n" a)',
    [
      ['umask', '077'],
      ['printf', '%s\\n', 'a'],
    ],
  ],
  ['alias a="node $PWD/b.js"   # or so', [['alias', 'a=node $PWD/b.js']]],
  ["npm run x -- --flag # not 'a quote", [['npm', 'run', 'x', '--', '--flag']]],
])('%j', (script, words) => {
  expect(commandsIn(script).map((command) => command.words)).toEqual(words);
});

it('variables before a program, and files of redirections, are no words', () => {
  expect(commandsIn("A=1 B='x y' node main.js >>out 2>&1 < in")).toEqual([
    { assignments: { A: '1', B: 'x y' }, words: ['node', 'main.js'], files: ['out', 'in'] },
  ]);
});

it.each(['echo "a', "echo 'a", 'echo $(a', 'cat <<END'])('%j is refused', (script) => {
  expect(() => commandsIn(script)).toThrow();
});
