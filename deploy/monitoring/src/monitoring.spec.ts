import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { meaningOf } from './alerts-page';
import { readCatalogue } from './catalogue';
import { problemsOf, type Known } from './check-query';
import { buildDashboard } from './dashboard';
import { dashboards } from './dashboards';
import { dashboardQueries, type DashboardModel } from './queries';
import { monitoringDir, readRules, rulesOf } from './rules';

const root = path.resolve(monitoringDir, '../..');
const rules = rulesOf(readRules());
const alerts = rules.flatMap(({ alert, ...rule }) =>
  alert === undefined ? [] : [{ alert, ...rule }],
);
const known: Known = {
  catalogue: readCatalogue(readFileSync(path.join(root, 'docs/reference/metrics.md'), 'utf8')),
  recordings: new Map(
    rules.flatMap(({ record, expr }) => (record === undefined ? [] : [[record, expr]])),
  ),
};

describe('a query that names what is not there', () => {
  it.each([
    ['stowage_gc_image', 'there is no metric stowage_gc_image'],
    ['max(node_load1)', 'there is no metric node_load1'],
    [
      'stowage_gc_collection_duration_seconds',
      'there is no metric stowage_gc_collection_duration_seconds',
    ],
    ['stowage_gc_images{status="unused"}', 'stowage_gc_images has no label status'],
    ['stowage_gc_images{state=~"unused|free"}', 'state of stowage_gc_images is never free'],
    ['sum by (state, kind) (stowage_gc_images)', 'none of its metrics has the label kind'],
    ['rate(stowage_gc_images[5m])', 'rate() of stowage_gc_images, which is a gauge'],
    ['sum(stowage_gc_regrets_total) > 1', 'stowage_gc_regrets_total without rate or increase'],
    ['stowage:gc_regrets:ratio6h{kind="x"}', 'stowage:gc_regrets:ratio6h has no label kind'],
  ])('%s', (query, problem) => {
    expect(problemsOf(query, known)).toEqual([problem]);
  });
});

describe.each(dashboards)('the dashboard $name', (definition) => {
  const model = buildDashboard(definition) as DashboardModel;
  const panels = model.panels.filter(({ type }) => type !== 'row');

  it('names metrics, labels and label values that the services have', () => {
    const problems = dashboardQueries(model).flatMap(({ panel, query }) =>
      problemsOf(query, known).map((problem) => `${panel}: ${problem}`),
    );
    expect(problems).toEqual([]);
  });

  it('selects by its variables in every query of a panel', () => {
    const without = dashboardQueries(model).filter(
      ({ panel, query }) => panel !== 'variables' && !/node=~"\$node"/.test(query),
    );
    expect(without).toEqual([]);
  });

  it('has panels with a title of their own, a description, a unit or states, and a place', () => {
    const titles = panels.map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
    for (const { title, description, type, gridPos } of panels) {
      expect([title, description]).toEqual([title, expect.stringMatching(/^[A-Z/].*\.$/)]);
      expect([title, type]).toEqual([
        title,
        expect.stringMatching(/^(timeseries|stat|table|state-timeline)$/),
      ]);
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
    const places = panels.map(({ gridPos: { x, y } }) => `${x},${y}`);
    expect(new Set(places).size).toBe(places.length);
  });
});

describe.each(alerts)('the alert $alert', ({ alert, labels = {}, annotations = {}, ...rule }) => {
  const page = path.join(root, 'docs', 'runbooks', `${alert}.md`);

  it('says how bad it is, for how long, and where its runbook is', () => {
    expect(alert).toMatch(/^Stowage[A-Z]\w+$/);
    expect(labels).toEqual({ severity: expect.stringMatching(/^(critical|warning|info)$/) });
    expect(rule.for).toMatch(/^\d+[mh]$/);
    expect(annotations).toEqual({
      summary: expect.stringMatching(/^[^\n]+[^.\n]$/),
      description: expect.stringMatching(/^[^\n]+\.$/),
      runbook_url: expect.stringMatching(new RegExp(`/runbooks/${alert}$`)),
    });
  });

  it('has a runbook with meaning, impact, diagnosis and mitigation', () => {
    const text = readFileSync(page, 'utf8');
    expect(text).toMatch(new RegExp(`^# ${alert}\n`));
    expect([...text.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading)).toEqual([
      'Meaning',
      'Impact',
      'Diagnosis',
      'Mitigation',
    ]);
    expect(meaningOf(text)).toMatch(/\.$/);
  });
});

it.each(rules.map(({ alert, record, expr }) => [alert ?? record ?? '', expr]))(
  'the rule %s names metrics, labels and label values that the services have',
  (_name, expr) => {
    expect(problemsOf(expr, known)).toEqual([]);
  },
);

it('there is no runbook without an alert', () => {
  const pages = readdirSync(path.join(root, 'docs', 'runbooks')).filter(
    (name) => name !== 'README.md',
  );
  expect(pages.sort()).toEqual(alerts.map(({ alert }) => `${alert}.md`).sort());
});

describe('pages', () => {
  interface Pages {
    readonly pages: readonly string[];
    readonly textOf: (page: string) => string;
  }
  let pages: Pages['pages'];
  let textOf: Pages['textOf'];

  beforeAll(async () => {
    const file = path.join(root, 'tools/doc-blocks/markdown.ts');
    ({ pages, textOf } = (await import(file)) as Pages);
  });

  it('have queries with metrics, labels and label values that the services have', () => {
    const queries = pages.flatMap((page) =>
      [...textOf(page).matchAll(/^```promql\n([^]*?)^```$/gm)].map(([, query = '']) => ({
        page,
        query,
      })),
    );
    expect(queries.length).toBeGreaterThan(3);
    const problems = queries.flatMap(({ page, query }) =>
      problemsOf(query, known).map((problem) => `${page}: ${problem}`),
    );
    expect(problems).toEqual([]);
  });

  it('name metrics that there are', () => {
    const isKnown = (name: string): boolean =>
      known.catalogue.has(name) || known.catalogue.has(name.replace(/_(bucket|sum|count)$/, ''));
    const problems = pages.flatMap((page) =>
      [...textOf(page).matchAll(/`(stowage_[a-z0-9_]*[a-z0-9])(?:\{[^`]*)?`/g)]
        .filter(([, name = '']) => !isKnown(name))
        .map(([, name = '']) => `${page}: ${name}`),
    );
    expect(problems).toEqual([]);
  });
});

it('what provisions Grafana and configures Prometheus names files that are there', () => {
  for (const file of [
    'prometheus.yml',
    'grafana/provisioning/datasources/stowage.yaml',
    'grafana/provisioning/dashboards/stowage.yaml',
  ]) {
    expect([file, existsSync(path.join(monitoringDir, file))]).toEqual([file, true]);
  }
});
