import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { monitoringDir, readRules, rulesOf } from './rules';

/** The rules as promtool judges them. */

const cwd = monitoringDir;
const cases = 'testdata/rules.test.yaml';
const promtool = (...args: string[]): string =>
  execFileSync('promtool', args, { cwd, encoding: 'utf8', stdio: 'pipe' });

interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test?: readonly {
      readonly alertname: string;
      readonly exp_alerts: readonly object[];
    }[];
    readonly promql_expr_test?: readonly { readonly expr: string }[];
  }[];
}

it('promtool finds nothing wrong with the rules and the configuration', () => {
  expect(promtool('check', 'rules', 'rules/stowage.yaml')).toContain('SUCCESS');
  expect(promtool('check', 'config', '--syntax-only', 'prometheus.yml')).toContain('SUCCESS');
});

it('each rule does in its cases what they say', () => {
  expect(promtool('test', 'rules', cases)).toContain('SUCCESS');
});

it('each alert has a case in which it fires and one in which it is quiet, each recording one', () => {
  const { tests } = parse(readFileSync(path.join(cwd, cases), 'utf8')) as RuleTests;
  const ofAlerts = tests.flatMap(({ alert_rule_test = [] }) => alert_rule_test);
  const named = (isFiring: boolean) =>
    new Set(
      ofAlerts
        .filter(({ exp_alerts }) => exp_alerts.length > 0 === isFiring)
        .map(({ alertname }) => alertname),
    );
  const recorded = new Set(
    tests.flatMap(({ promql_expr_test = [] }) => promql_expr_test.map(({ expr }) => expr)),
  );
  const missing = rulesOf(readRules()).flatMap(({ alert, record }) => [
    ...(alert !== undefined && !named(true).has(alert) ? [`${alert} fires`] : []),
    ...(alert !== undefined && !named(false).has(alert) ? [`${alert} is quiet`] : []),
    ...(record !== undefined && !recorded.has(record) ? [`${record} is recorded`] : []),
  ]);
  expect(missing).toEqual([]);
});
