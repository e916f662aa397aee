// Writes docs/reference/metrics.md from what the apps serve:
// `node tools/run-ts.mjs tools/metrics-reference.ts [OUT]`. Each app is started without runtime and
// NATS, so every metric shows, with or without values.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { spawnApp } from '@stowage/testing';
import { appNames, configOf } from './app-folders';
import { buildApps, root } from './bootstrap.mjs';
import { metricLabels, valuesOf } from './metric-labels';

interface Metric {
  name: string;
  type: string;
  help: string;
}

/**
 * The metrics of the suite in the Prometheus text format; those of the Node.js process are left
 * out.
 */
function parseMetrics(text: string): Metric[] {
  const types = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]),
  );
  return [...text.matchAll(/^# HELP (stowage_\S+) (.+)$/gm)].map(([, name = '', help = '']) => ({
    name,
    type: types.get(name) ?? 'untyped',
    help,
  }));
}

async function metricsOf(app: string): Promise<Metric[]> {
  const dir = mkdtempSync(path.join(tmpdir(), 'stowage-metrics-'));
  const absent = path.join(dir, 'absent.sock');
  const hasSocket = 'listen' in (await configOf(app)).keys;
  try {
    const running = await spawnApp(app, {
      ready: 'healthz',
      env: {
        STOWAGE_NODE_NAME: 'reference',
        STOWAGE_RUNTIME_ENDPOINT: `unix://${absent}`,
        STOWAGE_NATS_SERVERS: 'nats://127.0.0.1:1',
        // Waited for, so only where the app has one.
        ...(hasSocket ? { STOWAGE_LISTEN: path.join(dir, 'cri.sock') } : {}),
        STOWAGE_LISTEN_READONLY: '',
        STOWAGE_STATE_DIR: path.join(dir, 'state'),
      },
    });
    const { body } = await running.get('/metrics');
    await running.stop();
    return parseMetrics(body);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const labels = metricLabels();

/** Labels of a metric, each with its values. */
function labelText(metric: string): string {
  const names = labels.get(metric) ?? [];
  return names
    .map((label) => `\`${label}\`: ${valuesOf(metric, label) ?? 'see the text'}`)
    .join('<br>');
}

const table = (metrics: readonly Metric[]): string =>
  [
    '| metric | type | what it counts | labels |',
    '| --- | --- | --- | --- |',
    ...metrics
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, type, help }) =>
        [`| \`${name}\``, type, help.replaceAll('|', '\\|'), `${labelText(name)} |`].join(' | '),
      ),
    '',
  ].join('\n');

async function main(): Promise<void> {
  buildApps();
  const perApp = new Map<string, Metric[]>();
  for (const app of appNames) perApp.set(app, await metricsOf(app));
  const isCommon = ({ name }: Metric): boolean =>
    [...perApp.values()].every((metrics) => metrics.some((metric) => metric.name === name));
  const [first = []] = perApp.values();
  const sections = [
    '# Metrics',
    '',
    'Written by `npm run gen` from what the apps serve on `/metrics`; do not edit. Label values come from closed sets. The',
    'metrics of the Node.js process (`process_*`, `nodejs_*`) stand beside these.',
    '',
    '## Every app',
    '',
    table(first.filter(isCommon)),
    ...[...perApp].flatMap(([app, metrics]) => [
      `## ${app}`,
      '',
      table(metrics.filter((metric) => !isCommon(metric))),
    ]),
  ];
  const file = path.join(path.resolve(process.argv[2] ?? root), 'docs', 'reference', 'metrics.md');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, sections.join('\n'));
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
