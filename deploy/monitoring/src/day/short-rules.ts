import type { Rule, RuleFile } from '../rules';

/** Time spans of the rules, and what they are in a day of two minutes. */
const spans: Readonly<Record<string, string>> = {
  '5m': '5s',
  '10m': '4s',
  '15m': '10s',
  '1h': '10s',
  '6h': '120s',
};

/** Thresholds that take too long to get to, and on a healthy machine are not got to at all. */
const thresholds: Readonly<Record<string, readonly [string, string]>> = {
  StowageListStale: ['> 600', '> 3'],
  StowageEventsStuck: ['> 300', '> 3'],
  StowageGatewaySlow: ['> 0.05', '> 0'],
  StowageEngineSlow: ['> 2.5', '> 0'],
};

/** Puts one text in the place of another that has to be there. */
function put(text: string, [from, to]: readonly [string, string]): string {
  if (!text.includes(from)) throw new Error(`there is no ${from} in ${text}`);
  return text.replace(from, to);
}

/** A time span of a rule, shortened; one that is not known is an error. */
function shortSpan(span: string): string {
  const short = spans[span];
  if (short === undefined) throw new Error(`how long is ${span} in a short day?`);
  return `[${short}]`;
}

/** The same rules for a short day: they look back by seconds, and fire at once. */
export const shortRules = ({ groups }: RuleFile): RuleFile => ({
  groups: groups.map(({ name, rules }) => ({ name, rules: rules.map(shortRule) })),
});

function shortRule(rule: Rule): Rule {
  const expr = rule.expr.replaceAll(/\[(\w+)\]/g, (_, span: string) => shortSpan(span));
  if (rule.alert === undefined) return { ...rule, expr };
  const threshold = thresholds[rule.alert];
  return { ...rule, for: '0s', expr: threshold === undefined ? expr : put(expr, threshold) };
}
