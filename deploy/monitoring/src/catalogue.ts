/** What is known of a metric. */
export interface Metric {
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Its labels, each with all its values; undefined where they are not a closed set. */
  readonly labels: ReadonlyMap<string, readonly string[] | undefined>;
}

/**
 * The metrics by name, from the text of docs/reference/metrics.md, which is written from what the
 * services serve and compared in `npm run check`.
 */
export function readCatalogue(page: string): Map<string, Metric> {
  const metrics = new Map<string, Metric>();
  for (const line of page.split('\n')) {
    if (!line.startsWith('| `stowage_')) continue;
    const [, name = '', type = '', , labels = ''] = line
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
    metrics.set(name.replaceAll('`', ''), {
      type: type as Metric['type'],
      labels: labelsOf(labels),
    });
  }
  return metrics;
}

const labelsOf = (cell: string): Metric['labels'] =>
  new Map(
    cell
      .split('<br>')
      .filter((text) => text !== '')
      .map((text) => {
        const [, label = '', values = ''] = /^`(\w+)`: (.*)$/.exec(text) ?? [];
        const words = [...values.matchAll(/`([^`]*)`/g)].map(([, word = '']) => word);
        const rest = values.replaceAll(/`[^`]*`/g, '').replaceAll(/[,;]|\belse\b|\band\b/g, '');
        return [label, rest.trim() === '' ? words : undefined];
      }),
  );
