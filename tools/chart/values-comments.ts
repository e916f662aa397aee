import { isMap, parseDocument, type Pair, type Scalar, type YAMLMap } from 'yaml';

/** A key of values.yaml with what its comment says. */
export interface DescribedValue {
  /** Path in the file: `nats.tls.secret`. */
  readonly path: string;
  readonly name: string;
  /** One paragraph; empty where the comment has none. */
  readonly meaning: string;
  /** Lines of the comment that begin with `@`: word → the rest of the line. */
  readonly rules: ReadonlyMap<string, string>;
  /** The default. */
  readonly value: unknown;
  /** The keys below, for a mapping without a rule of its own; else undefined. */
  readonly children?: readonly DescribedValue[];
}

/** Rules that say what a whole mapping is, which then has no described keys below it. */
const rulesOfMappings = ['labels', 'affinity', 'resources', 'config'];

/**
 * The keys of a values file, in its order, with the comments that stand directly before them.
 *
 * @throws Error when a key has no value that YAML can show, or a list stands without a rule.
 */
export function describeValues(text: string): DescribedValue[] {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw error;
  if (!isMap(document.contents)) throw new Error('values.yaml is no mapping');
  return keysOf(document.contents as YAMLMap<Scalar<string>>, '');
}

function keysOf(map: YAMLMap<Scalar<string>>, parent: string): DescribedValue[] {
  return map.items.map((pair, index) => {
    // The comment of the first key of a mapping is that of the mapping itself.
    const comment = pair.key.commentBefore ?? (index === 0 ? map.commentBefore : undefined);
    return describe(pair, comment ?? '', parent);
  });
}

function describe(pair: Pair<Scalar<string>>, comment: string, parent: string): DescribedValue {
  const name = pair.key.value;
  const path = parent === '' ? name : `${parent}.${name}`;
  // Paragraphs before the last one are about the part of the file that begins there.
  const paragraph = comment.split(/\n\s*\n/).at(-1) ?? '';
  const lines = paragraph.split('\n').map((line) => line.trim());
  const rules = new Map(
    lines
      .filter((line) => line.startsWith('@'))
      .map((line): [string, string] => {
        const [, word = '', rest = ''] = /^@(\w+)\s*(.*)$/.exec(line) ?? [];
        return [word, rest];
      }),
  );
  const meaning = lines.filter((line) => line !== '' && !line.startsWith('@')).join(' ');
  const node = pair.value as { toJSON(): unknown } | null;
  const value = node?.toJSON();
  if (value == null) throw new Error(`values.yaml: ${path} has no default`);
  const isWhole = rulesOfMappings.some((rule) => rules.has(rule));
  const children =
    isMap(node) && !isWhole ? keysOf(node as YAMLMap<Scalar<string>>, path) : undefined;
  return { path, name, meaning, rules, value, children };
}
