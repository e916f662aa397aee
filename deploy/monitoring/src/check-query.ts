import type { Metric } from './catalogue';
import { namesIn, type Selector } from './promql';

/** Labels that the configuration of the scrape gives to every target. */
const targetLabels = ['cluster', 'node', 'job', 'instance'];

/** What Prometheus and Node.js's own metrics add to those of the suite. */
const foreign: ReadonlyMap<string, Metric> = new Map<string, Metric>([
  ['up', { type: 'gauge', labels: new Map() }],
  [
    'ALERTS',
    {
      type: 'gauge',
      labels: new Map([
        ['alertname', undefined],
        ['alertstate', ['pending', 'firing']],
        ['severity', ['critical', 'warning', 'info']],
      ]),
    },
  ],
  ['process_resident_memory_bytes', { type: 'gauge', labels: new Map() }],
  ['process_cpu_seconds_total', { type: 'counter', labels: new Map() }],
  ['nodejs_eventloop_lag_p99_seconds', { type: 'gauge', labels: new Map() }],
]);

const rates = ['rate', 'increase'];

/** What queries may name besides the metrics of the catalogue. */
export interface Known {
  readonly catalogue: ReadonlyMap<string, Metric>;
  /** Names of recordings, each with its query. */
  readonly recordings: ReadonlyMap<string, string>;
}

/**
 * What is wrong with the metrics, labels and label values that a query names; empty when all of
 * them exist.
 */
export function problemsOf(query: string, known: Known): string[] {
  const { selectors, labels } = namesIn(query);
  const problems: string[] = [];
  const allowed = new Set([...targetLabels, 'le']);
  for (const selector of selectors) {
    const { metric } = selector;
    const recorded = known.recordings.get(metric);
    const found = recorded === undefined ? lookUp(metric, known) : recordedMetric(recorded, known);
    if (found === undefined) {
      problems.push(`there is no metric ${metric}`);
      continue;
    }
    for (const label of found.labels.keys()) allowed.add(label);
    problems.push(...problemsOfMatchers(selector, found));
    if (recorded === undefined) problems.push(...problemsOfUse(selector, found));
  }
  for (const label of labels) {
    if (!allowed.has(label)) problems.push(`none of its metrics has the label ${label}`);
  }
  return problems;
}

/** Series of a histogram have the name of the metric with a suffix. */
function lookUp(name: string, { catalogue }: Known): Metric | undefined {
  const own = catalogue.get(name) ?? foreign.get(name);
  if (own !== undefined) return own.type === 'histogram' ? undefined : own;
  const [, base = ''] = /^(.*)_(?:bucket|sum|count)$/.exec(name) ?? [];
  const histogram = catalogue.get(base);
  return histogram?.type === 'histogram' ? histogram : undefined;
}

/** A recording has at most the labels of what it is made of. */
function recordedMetric(query: string, known: Known): Metric {
  const labels = namesIn(query).selectors.flatMap(({ metric }) => [
    ...(lookUp(metric, known)?.labels ?? []),
  ]);
  return { type: 'gauge', labels: new Map(labels) };
}

function problemsOfMatchers({ metric, matchers }: Selector, { labels }: Metric): string[] {
  return matchers.flatMap(({ label, op, value }) => {
    if (targetLabels.includes(label)) return [];
    if (!labels.has(label)) return [`${metric} has no label ${label}`];
    const values = labels.get(label);
    const isPlain = !op.endsWith('~') || /^[\w|/-]+$/.test(value);
    if (values === undefined || !isPlain) return [];
    return value
      .split(op.endsWith('~') ? '|' : '\n')
      .filter((one) => !values.includes(one))
      .map((one) => `${label} of ${metric} is never ${one}`);
  });
}

/** A counter says something by its change alone; a gauge by its value. */
function problemsOfUse({ metric, isRange, inside }: Selector, { type }: Metric): string[] {
  const isRate = isRange && rates.includes(inside);
  if (type === 'gauge' && isRate) return [`${inside}() of ${metric}, which is a gauge`];
  if (type !== 'gauge' && !isRate) return [`${metric} without ${rates.join(' or ')}`];
  return [];
}
