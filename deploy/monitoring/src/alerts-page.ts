import { rulesOf, type RuleFile } from './rules';

/**
 * docs/reference/alerts.md: a row for each alert, with the first paragraph of its runbook, and the
 * recordings. `runbook` returns the text of an alert's page.
 */
export function alertsPage(file: RuleFile, runbook: (alert: string) => string): string {
  const rules = rulesOf(file);
  const alerts = rules.flatMap(({ alert, labels, ...rule }) =>
    alert === undefined
      ? []
      : [
          `| [${alert}](../runbooks/${alert}.md) | ${labels?.severity ?? ''} | ${rule.for ?? '0m'} | ${meaningOf(runbook(alert))} |`,
        ],
  );
  const recordings = rules.flatMap(({ record, expr }) =>
    record === undefined ? [] : [`### \`${record}\``, '', '```promql', expr.trimEnd(), '```', ''],
  );
  return [
    '# Alerts',
    '',
    'Written by `npm run gen` from deploy/monitoring/rules/stowage.yaml and the pages in docs/runbooks; do not edit.',
    '',
    '| alert | severity | fires after | what it means |',
    '| --- | --- | --- | --- |',
    ...alerts,
    '',
    '## Recordings',
    '',
    ...recordings,
  ].join('\n');
}

/** The first paragraph below `## Meaning`, on one line. */
export function meaningOf(page: string): string {
  const [, text = ''] = /^## Meaning\n\n([^]*?)\n\n/m.exec(page) ?? [];
  return text.replaceAll('\n', ' ');
}
