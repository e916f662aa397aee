/* eslint-disable @typescript-eslint/no-deprecated -- its second model is for Grafana 12 and later. */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import { datasource, type Panel } from './panels';

/** Panels below one heading. */
export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** A dashboard, before Grafana's model is made from it. */
export interface DashboardDefinition {
  /** Its file without `.json`; `stowage-<name>` is its uid. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Whether it is about one node, or all that are chosen. */
  readonly nodes: 'one' | 'all';
  readonly rows: readonly Row[];
}

const tag = 'stowage';

/** A variable with the values of a label, one of which is chosen. */
const oneOf = (label: string, selector: string): dashboard.QueryVariableBuilder =>
  new dashboard.QueryVariableBuilder(label)
    .label(label)
    .datasource(datasource)
    .query(`label_values(stowage_build_info${selector}, ${label})`)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.NaturalAsc);

/** The same, where several can be chosen, or all; then `allValue` is what queries match. */
const someOf = (
  label: string,
  selector: string,
  allValue: string,
): dashboard.QueryVariableBuilder =>
  oneOf(label, selector)
    .multi(true)
    .includeAll(true)
    .allValue(allValue)
    .current({ text: 'All', value: '$__all', selected: true });

/** Grafana's model of a dashboard. Panels have ids in the order in which they stand. */
export function buildDashboard(definition: DashboardDefinition): dashboard.Dashboard {
  const { name, title, description, nodes, rows } = definition;
  const ofJobs = '{cluster=~"$cluster", job=~"$job"}';
  const builder = new dashboard.DashboardBuilder(title)
    .uid(`${tag}-${name}`)
    .description(description)
    .tags([tag])
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .variables([
      new dashboard.DatasourceVariableBuilder('datasource').label('data source').type('prometheus'),
      someOf('cluster', '', '.*'),
      // Not every target of Prometheus: `up` has nothing else to be told by.
      someOf('job', '{cluster=~"$cluster"}', '.*stowage.*'),
      nodes === 'one' ? oneOf('node', ofJobs) : someOf('node', ofJobs, '.*'),
    ])
    .link(
      new dashboard.DashboardLinkBuilder('Stowage')
        .type(dashboard.DashboardLinkType.Dashboards)
        .tags([tag])
        .includeVars(true)
        .keepTime(true),
    );
  for (const row of rows) {
    builder.withRow(new dashboard.RowBuilder(row.title));
    for (const panel of row.panels) builder.withPanel(panel);
  }
  const built = builder.build();
  built.panels?.forEach((panel, index) => (panel.id = index + 1));
  return built;
}
