import { readFileSync } from 'node:fs';
import path from 'node:path';
import { KubernetesYamlError, parseKubernetesYaml } from './kubernetes-yaml';

/**
 * What sigs.k8s.io/yaml 1.6.0 makes of an input; `duplicate` where its strict form refuses a key
 * that stands twice.
 */
interface Row {
  input: string;
  json?: unknown;
  error?: true;
  duplicate?: true;
}

const file = path.join(__dirname, '../testdata/sigs-yaml.json');
const rows = JSON.parse(readFileSync(file, 'utf8')) as Row[];

describe('reads as sigs.k8s.io/yaml does', () => {
  it.each(rows.filter(({ error }) => error === undefined).map((row) => [row.input, row] as const))(
    '%j',
    (input, { json, duplicate }) => {
      const { value, duplicateKeys } = parseKubernetesYaml(input);
      expect(value ?? null).toEqual(json);
      expect(duplicateKeys.length > 0).toBe(duplicate === true);
    },
  );

  it.each(rows.filter(({ error }) => error === true).map(({ input }) => input))(
    'refuses %j',
    (input) => {
      expect(() => parseKubernetesYaml(input)).toThrow(KubernetesYamlError);
    },
  );
});

describe('warnings', () => {
  it.each([
    ['a: 1\nb: 2\na: 3', ['the key a stands twice, again on line 3; the last one counts']],
    ['a:\n  b: 1\n  b: 2', ['the key a.b stands twice, again on line 3; the last one counts']],
    [
      '{"a": [{"b": 1, "b": 2}]}',
      ['the key a.0.b stands twice, again on line 1; the last one counts'],
    ],
    ['a: 1\n---\nb: [', ['the file has 2 documents; only the first counts']],
    ['a: 1\n---\n', ['the file has 2 documents; only the first counts']],
    ['x: &x {a: 1}\ny: {<<: *x, a: 2}\n', []],
  ])('of %j', (input, warnings) => {
    expect(parseKubernetesYaml(input).warnings).toEqual(warnings);
  });
});

describe('refuses in words that do not quote the text', () => {
  it.each([
    [
      'a: 1\nsecret: {b: [',
      'Flow sequence in block collection must be sufficiently indented and end with a ] (line 2, column 14)',
    ],
    ['a: .inf', 'a number that JSON cannot hold (line 1)'],
    ['? [secret]\n: 1', 'a key that is not text, number or boolean (line 1)'],
    ['<<: secret', 'a merge key (<<) whose value is no mapping (line 1)'],
    ['%YAML 1.2\n---\na: secret', 'the file says that it is another version of YAML than 1.1'],
    ['k: &a\n  k: *a', 'more than 100 mappings and lists within each other (line 2)'],
    [`${'['.repeat(200)}${']'.repeat(200)}`, 'more than 100 mappings and lists within each other'],
  ])('%j', (input, message) => {
    expect(() => parseKubernetesYaml(input)).toThrow(message);
    expect(() => parseKubernetesYaml(input)).not.toThrow(/secret/);
  });

  it('aliases that expand without end', () => {
    const level = (name: string, of: string) => `${name}: &${name} [${`*${of}, `.repeat(10)}]`;
    const text = [
      'a: &a [1]',
      ...['b', 'c', 'd', 'e', 'f'].map((name, index) => level(name, 'abcde'[index]!)),
    ];
    expect(() => parseKubernetesYaml(text.join('\n'))).toThrow('aliases make the file too large');
  });
});
