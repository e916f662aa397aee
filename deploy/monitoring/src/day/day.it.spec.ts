import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, TestPrometheus } from '@stowage/testing';
import { dashboardQueries, type DashboardModel } from '../queries';
import { monitoringDir, readRules, rulesOf } from '../rules';
import { DayNode } from './day-node';
import { hours } from './hours';
import { shortRules } from './short-rules';

/**
 * A real Prometheus scrapes the real services, on containerd and on Docker Engine, while a day goes
 * by in two minutes. Every alert
 * fires in its hour, and at the end every query of every dashboard finds data.
 */

let node: DayNode;
let prometheus: TestPrometheus;
let from: number;

const seconds = (): number => Date.now() / 1000;

beforeAll(async () => {
  node = await DayNode.start();
  const jobs = [...new Set(node.targets.map(({ job }) => job))];
  prometheus = await TestPrometheus.start(
    {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      scrape_configs: jobs.map((job_name) => ({
        job_name,
        static_configs: node.targets
          .filter(({ job }) => job === job_name)
          .map(({ node: name, address }) => ({
            targets: [address],
            labels: { node: name, cluster: 'day' },
          })),
      })),
    },
    { rules: shortRules(readRules()) },
  );
  from = seconds();
  await fires('StowageVersionsMixed'); // every target has been scraped
});

afterAll(async () => {
  await prometheus.remove();
  await node.down();
});

/** Waits until an alert fires. */
const fires = (alert: string): Promise<unknown> =>
  eventually(
    async () => {
      const query = `ALERTS{alertname="${alert}", alertstate="firing"}`;
      const now = seconds();
      return (await prometheus.queryRange(query, now - 2, now)).length > 0;
    },
    { what: `${alert} to fire`, timeoutMs: 60_000, intervalMs: 250 },
  );

describe('in the hour of', () => {
  it.each(hours)('$title: $alerts', async ({ begin, alerts }) => {
    const end = await begin(node);
    try {
      await Promise.all(alerts.map(fires));
    } finally {
      await end?.();
    }
  });

  it('each alert had one', () => {
    const wanted = rulesOf(readRules()).flatMap(({ alert }) => alert ?? []);
    expect(hours.flatMap(({ alerts }) => alerts).sort()).toEqual(wanted.sort());
  });
});

describe('at the end of the day', () => {
  /** Whether a query had a value at some time of the day. */
  const hasData = async (query: string): Promise<boolean> => {
    const series = await prometheus.queryRange(query, from, seconds());
    return series.some(({ samples }) => samples.some(([, value]) => !Number.isNaN(value)));
  };

  const values: readonly [string, string][] = [
    ['$__rate_interval', '5s'],
    ['$__range', '60s'],
    ['$cluster', '.*'],
    ['$job', '.*stowage.*'],
    ['$node', '.*'],
  ];
  const asGrafanaAsks = (query: string): string =>
    values.reduce((text, [name, value]) => text.replaceAll(name, value), query);

  const folder = path.join(monitoringDir, 'dashboards');
  const dashboards = readdirSync(folder).map((name) => {
    const text = readFileSync(path.join(folder, name), 'utf8');
    return [name, JSON.parse(text) as DashboardModel] as const;
  });

  it.each(dashboards)('every query of %s found data', async (_name, model) => {
    const empty: string[] = [];
    for (const { panel, query, label } of dashboardQueries(model)) {
      const asked = asGrafanaAsks(query);
      const found =
        label === undefined
          ? await hasData(asked)
          : (await prometheus.labelValues(label, asked)).length > 0;
      if (!found) empty.push(`${panel}: ${query}`);
    }
    expect(empty).toEqual([]);
  });

  it('every recording has data, and no rule failed', async () => {
    const recordings = rulesOf(readRules()).flatMap(({ record }) => record ?? []);
    const empty: string[] = [];
    for (const record of recordings) if (!(await hasData(record))) empty.push(record);
    expect(empty).toEqual([]);
    expect(await prometheus.failedRules()).toEqual([]);
  });
});
