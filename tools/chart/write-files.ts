// Writes what is generated in the chart, and the page of its values:
// `node tools/run-ts.mjs tools/chart/write-files.ts [OUT]`.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { configOf } from '../app-folders';
import { chartFacts } from './app-facts';
import { chartApps, chartFolder, root } from './chart';
import { describeValues } from './values-comments';
import { renderValuesPage } from './values-page';
import { valuesSchema } from './values-schema';

const out = path.resolve(process.argv[2] ?? root);

function write(file: string, content: string): void {
  const target = path.join(out, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, content);
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

/** The chart has the one version of everything in the repository. */
function chartYaml(): string {
  const { version, license } = JSON.parse(
    readFileSync(path.join(root, 'package.json'), 'utf8'),
  ) as { version: string; license: string };
  return [
    '# Written by `npm run gen` from package.json; do not edit.',
    'apiVersion: v2',
    'name: stowage',
    'description: Node-side services for container images and runtimes, beside kubelet',
    'type: application',
    `version: ${version}`,
    `appVersion: '${version}'`,
    "kubeVersion: '>=1.27.0-0'",
    'annotations:',
    `  artifacthub.io/license: ${license}`,
    '',
  ].join('\n');
}

/** Rules and dashboards: a chart has files of its own folder alone. */
function copyMonitoring(kind: 'rules' | 'dashboards', extension: string): void {
  const from = path.join(root, 'deploy/monitoring', kind);
  if (!existsSync(from)) return;
  const to = path.join(out, chartFolder, 'files', kind);
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from).filter((file) => file.endsWith(extension))) {
    copyFileSync(path.join(from, name), path.join(to, name));
  }
}

async function main(): Promise<void> {
  const definitions = await Promise.all(chartApps.map(configOf));
  const values = describeValues(readFileSync(path.join(root, chartFolder, 'values.yaml'), 'utf8'));
  write(`${chartFolder}/Chart.yaml`, chartYaml());
  write(`${chartFolder}/values.schema.json`, json(valuesSchema(values, definitions)));
  write(`${chartFolder}/files/apps.json`, json(chartFacts(definitions)));
  write('docs/reference/helm-values.md', renderValuesPage(values));
  copyMonitoring('rules', '.yaml');
  copyMonitoring('dashboards', '.json');
}

void main();
