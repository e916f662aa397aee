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

describe('runbooks', () => {
  interface CommandLine {
    commands: readonly object[];
    parseLine: (
      argv: readonly string[],
      commands: readonly object[],
    ) => { command?: { name: string } };
  }
  const load = async (): Promise<CommandLine> => {
    const src = path.join(root, 'apps/stowctl/src');
    return {
      ...((await import(path.join(src, 'commands/table.ts'))) as Pick<CommandLine, 'commands'>),
      ...((await import(path.join(src, 'command-line/parse.ts'))) as Pick<
        CommandLine,
        'parseLine'
      >),
    };
  };

  it.each(alerts.map(({ alert }) => alert))('%s: stowctl knows its commands', async (alert) => {
    const text = readFileSync(path.join(root, 'docs', 'runbooks', `${alert}.md`), 'utf8');
    const { commands, parseLine } = await load();
    const blocks = [...text.matchAll(/^```console\n([^]*?)^```$/gm)].map(([, block = '']) => block);
    const lines = blocks.flatMap((block) => [...block.matchAll(/^\$ stowctl (.*)$/gm)]);
    expect(lines.length).toBeGreaterThan(0);
    for (const [line, words = ''] of lines) {
      // Words in quotes are one; what stands after a pipe is for another program.
      const argv = (words.replace(/ \|.*$/, '').match(/'[^']*'|"[^"]*"|\S+/g) ?? []).map((word) =>
        word.replace(/^(['"])(.*)\1$/, '$2'),
      );
      expect([line, parseLine(argv, commands).command?.name]).toEqual([line, expect.any(String)]);
    }
    // A command stands with what it prints.
    for (const block of blocks.filter((one) => one.includes('$ stowctl'))) {
      expect([alert, block]).toEqual([alert, expect.stringMatching(/^(?!\$ ).+$/m)]);
    }
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
