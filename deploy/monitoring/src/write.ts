// Writes deploy/monitoring/dashboards and docs/reference/alerts.md below the folder named by the
// argument, by default the workspace.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { alertsPage } from './alerts-page';
import { buildDashboard } from './dashboard';
import { dashboards } from './dashboards';
import { readRules } from './rules';

const root = path.resolve(__dirname, '../../..');
const [out = root] = process.argv.slice(2);

function write(file: string, text: string): void {
  const target = path.join(out, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
}

for (const definition of dashboards) {
  const model = JSON.stringify(buildDashboard(definition), undefined, 2);
  write(`deploy/monitoring/dashboards/${definition.name}.json`, `${model}\n`);
}
const runbook = (alert: string): string =>
  readFileSync(path.join(root, 'docs', 'runbooks', `${alert}.md`), 'utf8');
write('docs/reference/alerts.md', alertsPage(readRules(), runbook));
