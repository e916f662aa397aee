import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, Scalar } from 'yaml';
import type { Document, Node, ScalarTag, YAMLMap } from 'yaml';

/** What a file says, and what its author should know about how it was read. */
export interface KubernetesYaml {
  /** Undefined for a file without content. */
  readonly value: unknown;
  /** A sentence each. They name keys and lines, never values. */
  readonly warnings: readonly string[];
  /**
   * Dotted paths of the keys that stand more than once in one mapping, in the order of the file.
   */
  readonly duplicateKeys: readonly string[];
}

/** The text cannot be read. The message says why and where, and does not quote the text. */
export class KubernetesYamlError extends Error {
  override readonly name = 'KubernetesYamlError';
}

/** Values that one file may hold, those counted that an alias repeats. */
const maxValues = 100_000;
/** Nested mappings and lists that one value may hold. */
const maxDepth = 100;

const nullTag: ScalarTag = {
  tag: 'tag:yaml.org,2002:null',
  default: true,
  test: /^(?:~|[Nn]ull|NULL)?$/,
  resolve: () => null,
};

const booleanTag: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:[yY]|[yY]es|YES|[tT]rue|TRUE|[oO]n|ON|[nN]|[nN]o|NO|[fF]alse|FALSE|[oO]ff|OFF)$/,
  resolve: (text) => /^(?:y|t|on)/i.test(text),
};

const wholeNumber = /^[-+]?(?:0[xX][\da-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9]\d*)$/;
const decimal = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/;

/**
 * The number that Go's YAML reader makes of a plain scalar; undefined where it leaves it as text.
 * `.inf` and `.nan` are numbers there, but have no place in JSON, so they are NaN here and refused.
 */
function goNumber(text: string): number | undefined {
  if (!/^[-+.\d]/.test(text)) return undefined;
  if (/^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/.test(text)) return Number.NaN;
  const plain = text.startsWith('.') ? text : text.replaceAll('_', '');
  if (wholeNumber.test(plain)) {
    const [, sign = '', digits = ''] = /^([-+]?)(.*)$/.exec(plain) ?? [];
    const isOctal = /^0[0-7]+$/.test(digits);
    const magnitude = BigInt(isOctal ? `0o${digits.slice(1)}` : digits.toLowerCase());
    const value = sign === '-' ? -magnitude : magnitude;
    if (value >= -(2n ** 63n) && value < 2n ** 64n) return Number(value);
  }
  const value = decimal.test(plain) ? Number(plain) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}

/**
 * Whole numbers and fractions alike, distinguished from text by {@link goNumber}; explicit tags
 * `!!int` and `!!float` too.
 */
const numberTags = ['int', 'float'].map((name): ScalarTag => ({
  tag: `tag:yaml.org,2002:${name}`,
  default: true,
  test: /^[-+.\d]/,
  resolve: (text) => goNumber(text) ?? text,
}));

/**
 * Reads a file as Kubernetes' components read theirs: sigs.k8s.io/yaml (YAML 1.1, the first
 * document, the last of equal keys). Throws {@link KubernetesYamlError}.
 */
export function parseKubernetesYaml(text: string): KubernetesYaml {
  refuseDepth(text);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: '1.1',
    schema: 'failsafe',
    customTags: [nullTag, booleanTag, ...numberTags],
    merge: false,
    resolveKnownTags: false,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'silent',
    lineCounter: lines,
  });
  const [document, ...others] = documents as Document.Parsed[];
  if (document === undefined) return { value: undefined, warnings: [], duplicateKeys: [] };
  const [error] = document.errors;
  if (error !== undefined) throw new KubernetesYamlError(at(error.message, lines, error.pos[0]));
  if (document.directives.yaml.explicit === true && document.directives.yaml.version !== '1.1') {
    throw new KubernetesYamlError('the file says that it is another version of YAML than 1.1');
  }
  const reader = new Reader(document, lines);
  const value = reader.valueOf(document.contents);
  const warnings = [...reader.warnings];
  if (others.length > 0) {
    warnings.push(`the file has ${documents.length} documents; only the first counts`);
  }
  return { value: value ?? undefined, warnings, duplicateKeys: reader.duplicateKeys };
}

const tooDeep = `more than ${maxDepth} mappings and lists within each other`;

/**
 * The parser goes down a level of the stack, and more, for each `[`, `{` and `- `: that must not
 * end the process.
 */
function refuseDepth(text: string): void {
  let depth = 0;
  for (const bracket of text.matchAll(/[[{}\]]/g)) {
    depth = '[{'.includes(bracket[0]) ? depth + 1 : Math.max(0, depth - 1);
    if (depth > maxDepth) throw new KubernetesYamlError(tooDeep);
  }
  const indicators = new RegExp(`^ *(?:[-?:][ \\t]+){${maxDepth + 1}}`, 'm');
  if (indicators.test(text)) throw new KubernetesYamlError(tooDeep);
}

const at = (message: string, lines: LineCounter, offset: number): string => {
  const { line, col } = lines.linePos(offset);
  const [first = ''] = message.split('\n', 1);
  return `${first.replace(/[:.]$/, '')} (line ${line}, column ${col})`;
};

/** Makes plain values of a parsed document. */
class Reader {
  readonly warnings: string[] = [];
  readonly duplicateKeys: string[] = [];
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;
  #values = 0;

  constructor(document: Document.Parsed, lines: LineCounter) {
    this.#document = document;
    this.#lines = lines;
  }

  valueOf(node: unknown, path: readonly string[] = []): unknown {
    if (++this.#values > maxValues)
      throw new KubernetesYamlError('aliases make the file too large');
    if (path.length > maxDepth) {
      throw this.#problem(node, tooDeep);
    }
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined) throw this.#problem(node, 'an alias without an anchor before it');
      return this.valueOf(target, [...path, '*']);
    }
    if (isMap(node)) return this.#mapping(node, path);
    if (isSeq(node)) {
      return node.items.map((item, index) => this.valueOf(item, [...path, String(index)]));
    }
    const value = isScalar(node) ? node.value : undefined;
    if (Number.isNaN(value)) throw this.#problem(node, 'a number that JSON cannot hold');
    return value ?? null;
  }

  #mapping(node: YAMLMap, path: readonly string[]): Record<string, unknown> {
    const values = new Map<string, unknown>();
    const own = new Set<string>();
    for (const { key, value } of node.items) {
      if (isMergeKey(key)) {
        for (const [name, merged] of this.#merged(value, path)) values.set(name, merged);
        continue;
      }
      const name = this.#keyText(key);
      if (own.has(name)) {
        const dotted = [...path.filter((part) => part !== '*'), name].join('.');
        this.duplicateKeys.push(dotted);
        this.warnings.push(
          `the key ${dotted} stands twice, again on line ${this.#line(key)}; the last one counts`,
        );
      }
      own.add(name);
      values.set(name, this.valueOf(value, [...path, name]));
    }
    return Object.fromEntries(values);
  }

  /** What a merge key brings: of several mappings the first has the last word. */
  #merged(node: unknown, path: readonly string[]): [string, unknown][] {
    const target = isAlias(node) ? node.resolve(this.#document) : node;
    if (isSeq(target)) {
      return target.items.toReversed().flatMap((item) => this.#merged(item, [...path, '*']));
    }
    if (!isMap(target)) throw this.#problem(node, 'a merge key (<<) whose value is no mapping');
    return Object.entries(this.valueOf(node, [...path, '*']) as Record<string, unknown>);
  }

  #keyText(key: unknown): string {
    const value = isAlias(key) ? this.valueOf(key) : isScalar(key) ? key.value : undefined;
    if (typeof value === 'string') return value;
    if (typeof value === 'boolean' || (typeof value === 'number' && !Number.isNaN(value))) {
      return String(value);
    }
    throw this.#problem(key, 'a key that is not text, number or boolean');
  }

  #line(node: unknown): number {
    const offset = (node as Node | undefined)?.range?.[0] ?? 0;
    return this.#lines.linePos(offset).line;
  }

  #problem(node: unknown, reason: string): KubernetesYamlError {
    return new KubernetesYamlError(`${reason} (line ${this.#line(node)})`);
  }
}

const isMergeKey = (key: unknown): boolean =>
  isScalar(key) && key.value === '<<' && (key.type === Scalar.PLAIN || key.type === undefined);
