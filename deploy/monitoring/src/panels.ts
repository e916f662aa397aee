import type * as cog from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimelineBuilder } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

/** A query of a panel in PromQL, and what its series are called. */
export interface Query {
  readonly expr: string;
  /** Labels stand in it as `{{label}}`. */
  readonly legend: string;
}

/** A panel as a dashboard adds it. */
export type Panel = cog.Builder<dashboard.Panel>;

/** What every panel has. */
interface PanelOptions {
  /** One of the SDK's `units`. */
  readonly unit: string;
  /** What to read from it; shown at the title. */
  readonly description: string;
  /** Columns of 24. */
  readonly width: number;
  /** Values from which it is yellow, and red; for a lower bound the colours are named. */
  readonly warnAt?: number;
  readonly alarmAt?: number;
}

/** What a time series can have besides. */
interface SeriesOptions extends PanelOptions {
  /** Series on top of each other. */
  readonly stacked?: boolean;
  /** The top of the axis, where the values have one. */
  readonly max?: number;
}

const seriesHeight = 8;
const statHeight = 4;

/** The data source that the dashboard's variable chooses. */
export const datasource: common.DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

/** What every query selects by: the variables of the dashboard. */
export const scope = 'cluster=~"$cluster", job=~"$job", node=~"$node"';

const targetOf = ({ expr, legend }: Query, index: number): prometheus.DataqueryBuilder =>
  new prometheus.DataqueryBuilder()
    .expr(expr)
    .legendFormat(legend)
    .refId(String.fromCharCode('A'.charCodeAt(0) + index));

/** Green, then yellow and red from these values on. */
function colours({ warnAt, alarmAt }: PanelOptions): dashboard.ThresholdsConfigBuilder {
  const steps: dashboard.Threshold[] = [{ value: null, color: 'green' }];
  if (warnAt !== undefined) steps.push({ value: warnAt, color: 'yellow' });
  if (alarmAt !== undefined) steps.push({ value: alarmAt, color: 'red' });
  return new dashboard.ThresholdsConfigBuilder()
    .mode(dashboard.ThresholdsMode.Absolute)
    .steps(steps);
}

/** A graph over time, with the last and highest value of each series in its legend. */
export function series(title: string, queries: readonly Query[], options: SeriesOptions): Panel {
  const { unit, description, width, stacked = false, max } = options;
  const panel = new TimeseriesBuilder()
    .title(title)
    .description(description)
    .datasource(datasource)
    .targets(queries.map(targetOf))
    .unit(unit)
    .min(0)
    .span(width)
    .height(seriesHeight)
    .lineWidth(1)
    .fillOpacity(stacked ? 30 : 10)
    .showPoints(common.VisibilityMode.Never)
    .stacking(
      new common.StackingConfigBuilder().mode(
        stacked ? common.StackingMode.Normal : common.StackingMode.None,
      ),
    )
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.Table)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(['lastNotNull', 'max']),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder()
        .mode(common.TooltipDisplayMode.Multi)
        .sort(common.SortOrder.Descending),
    );
  if (max !== undefined) panel.max(max);
  if (options.warnAt !== undefined || options.alarmAt !== undefined) {
    panel
      .thresholds(colours(options))
      .thresholdsStyle(
        new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed),
      );
  }
  return panel;
}

/** A graph whose values may be below zero. */
export function signedSeries(
  title: string,
  queries: readonly Query[],
  options: SeriesOptions,
): Panel {
  const built = series(title, queries, options).build();
  delete built.fieldConfig?.defaults.min;
  return { build: () => built };
}

/** What a number can have besides. */
interface StatOptions extends PanelOptions {
  /** Shows what the series is called, and not its value. */
  readonly isName?: boolean;
}

/** One number, as of now. */
export const stat = (title: string, query: Query, options: StatOptions): Panel =>
  new StatBuilder()
    .title(title)
    .description(options.description)
    .datasource(datasource)
    .targets([targetOf(query, 0)])
    .unit(options.unit)
    .span(options.width)
    .height(statHeight)
    .colorMode(common.BigValueColorMode.Value)
    .graphMode(common.BigValueGraphMode.Area)
    .textMode(
      options.isName === true ? common.BigValueTextMode.Name : common.BigValueTextMode.Value,
    )
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .thresholds(colours(options));

/** What stands in a table instead of its numbers. */
interface TableOptions extends PanelOptions {
  /** Heading of the column of values. */
  readonly value: string;
  /** Labels of which there is a column, in this order. */
  readonly columns: readonly string[];
}

/** Series as of now, one a row; a click on a node opens its dashboard. */
export function table(title: string, query: Query, options: TableOptions): Panel {
  const { unit, description, width, value, columns } = options;
  return new TableBuilder()
    .title(title)
    .description(description)
    .datasource(datasource)
    .targets([targetOf(query, 0).instant().format(prometheus.PromQueryFormat.Table)])
    .span(width)
    .height(seriesHeight)
    .thresholds(colours(options))
    .filterable(true)
    .withTransformation({
      id: 'filterFieldsByName',
      options: { include: { names: [...columns, 'Value'] } },
    })
    .withTransformation({
      id: 'organize',
      options: {
        indexByName: Object.fromEntries([...columns, 'Value'].map((name, at) => [name, at])),
        renameByName: { Value: value },
      },
    })
    .overrideByName(value, [
      { id: 'unit', value: unit },
      { id: 'custom.cellOptions', value: { type: 'color-text' } },
    ])
    .overrideByName('node', [
      {
        id: 'links',
        value: [
          {
            title: 'Show this node',
            url: '/d/stowage-node?var-node=${__value.text}&${datasource:queryparam}&${cluster:queryparam}&${__url_time_range}',
          },
        ],
      },
    ]);
}

/** What numbers of a state mean, lowest first. */
interface StateOptions {
  readonly description: string;
  readonly width: number;
  readonly states: readonly { readonly text: string; readonly color: string }[];
}

/** States over time; the value of a series is the index of its state. */
export function states(
  title: string,
  queries: readonly Query[],
  { description, width, states: meanings }: StateOptions,
): Panel {
  const options = Object.fromEntries(
    meanings.map(({ text, color }, index) => [String(index), { text, color, index }]),
  );
  return new TimelineBuilder()
    .title(title)
    .description(description)
    .datasource(datasource)
    .targets(queries.map(targetOf))
    .span(width)
    .height(seriesHeight)
    .mappings([{ type: dashboard.MappingType.ValueToText, options }])
    .fillOpacity(80)
    .lineWidth(0)
    .mergeValues(true);
}

/** Off and on, where on is what to look at. */
export const alarmStates = (off: string, on: string): StateOptions['states'] => [
  { text: off, color: 'green' },
  { text: on, color: 'red' },
];

/** A quantile of a histogram's rate, by these labels. */
export function quantile(q: number, metric: string, labels: readonly string[]): string {
  const by = ['le', ...labels].join(', ');
  return `histogram_quantile(${q}, sum by (${by}) (rate(${metric}_bucket{${scope}}[$__rate_interval])))`;
}

/** The rate of a counter per second, by these labels. */
export const rate = (metric: string, labels: readonly string[], more = ''): string =>
  `sum by (${labels.join(', ')}) (rate(${metric}{${scope}${more}}[$__rate_interval]))`;
