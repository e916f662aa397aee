/** `label="value"` and its like. */
export interface Matcher {
  readonly label: string;
  readonly op: string;
  readonly value: string;
}

/** A metric where a query names it. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
  /** Whether it is of a time span, as in `x[5m]`. */
  readonly isRange: boolean;
  /** The function it is the first argument of; empty where it is none's. */
  readonly inside: string;
}

/** What a query names. */
export interface Names {
  readonly selectors: readonly Selector[];
  /** Labels after `by`, `without`, `on`, `ignoring` and `group_left`. */
  readonly labels: readonly string[];
}

const token = /"(?:[^"\\]|\\.)*"|\$?[a-zA-Z_:][\w:]*|[\d.]+\w*|[=!]~|[=!<>]=|\S/g;
const labelLists = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
const words = new Set(['and', 'or', 'unless', 'offset', 'bool', 'inf', 'nan']);
const isName = (text: string): boolean => /^[a-zA-Z_:]/.test(text);

/**
 * The metrics and labels that a query names. It reads what Prometheus takes and is no check of it:
 * promtool is.
 */
export function namesIn(query: string): Names {
  const tokens: readonly string[] = query.replaceAll(/#.*$/gm, '').match(token) ?? [];
  const selectors: Selector[] = [];
  const labels: string[] = [];
  /** The tokens up to a closing one, from the one at `at` on, which opens. */
  const until = (at: number, close: string): string[] =>
    tokens.slice(at + 1, tokens.indexOf(close, at));
  for (let at = 0; at < tokens.length; at += 1) {
    const text = tokens[at] ?? '';
    const next = tokens[at + 1];
    if (labelLists.has(text) && next === '(') {
      const list = until(at + 1, ')');
      labels.push(...list.filter(isName));
      at += list.length + 2;
    } else if (isName(text) && next !== '(' && !words.has(text) && !labelLists.has(next ?? '')) {
      const matchers = next === '{' ? until(at + 1, '}') : [];
      const end = next === '{' ? at + matchers.length + 2 : at;
      selectors.push({
        metric: text,
        matchers: matchersIn(matchers),
        isRange: tokens[end + 1] === '[',
        inside: tokens[at - 1] === '(' ? (tokens[at - 2] ?? '') : '',
      });
      at = end;
      // What stands in brackets is a time, and may be a variable.
      if (tokens[at + 1] === '[') at += until(at + 1, ']').length + 2;
    }
  }
  return { selectors, labels };
}

function matchersIn(tokens: readonly string[]): Matcher[] {
  const matchers: Matcher[] = [];
  for (let at = 0; at < tokens.length; at += 4) {
    const [label = '', op = '', value = ''] = tokens.slice(at, at + 3);
    matchers.push({ label, op, value: JSON.parse(value) as string });
  }
  return matchers;
}
