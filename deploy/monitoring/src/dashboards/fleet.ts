import * as units from '@grafana/grafana-foundation-sdk/units';
import type { DashboardDefinition } from '../dashboard';
import { quantile, rate, scope, series, stat, table } from '../panels';

const alerts = `ALERTS{alertname=~"Stowage.+", alertstate="firing", cluster=~"$cluster", node=~"$node"}`;

/** All nodes: where to look first. */
export const fleet: DashboardDefinition = {
  name: 'fleet',
  title: 'Stowage / Fleet',
  description: 'All nodes: what is down, which disks fill, whether pulls fail and events arrive.',
  nodes: 'all',
  rows: [
    {
      title: 'Health',
      panels: [
        stat(
          'Nodes',
          { expr: `count(count by (node) (stowage_build_info{${scope}}))`, legend: 'nodes' },
          { unit: units.Short, width: 4, description: 'Nodes with a service that answers.' },
        ),
        stat(
          'Services up',
          { expr: `sum(up{${scope}})`, legend: 'up' },
          { unit: units.Short, width: 4, description: 'Services that Prometheus reached.' },
        ),
        stat(
          'Services down',
          { expr: `count(up{${scope}} == 0) or vector(0)`, legend: 'down' },
          {
            unit: units.Short,
            width: 4,
            alarmAt: 1,
            description: 'Services that Prometheus did not reach (StowageDown).',
          },
        ),
        stat(
          'Alerts firing',
          { expr: `count(${alerts}) or vector(0)`, legend: 'alerts' },
          {
            unit: units.Short,
            width: 4,
            warnAt: 1,
            description: 'Alerts of Stowage that fire; which ones stands below.',
          },
        ),
        stat(
          'Nodes over a mark',
          {
            expr: `count(max by (cluster, node) (stowage_gc_threshold_exceeded{${scope}, mark=~"high|critical"}) == 1) or vector(0)`,
            legend: 'nodes',
          },
          {
            unit: units.Short,
            width: 4,
            warnAt: 1,
            description:
              'Nodes with a file system of images or containers over its high or critical threshold.',
          },
        ),
        stat(
          'Versions',
          { expr: `count(count by (version) (stowage_build_info{${scope}}))`, legend: 'versions' },
          {
            unit: units.Short,
            width: 4,
            warnAt: 2,
            description: 'More than one is normal during an upgrade (StowageVersionsMixed).',
          },
        ),
        table(
          'Alerts that fire',
          { expr: `count by (alertname, severity, node, job) (${alerts})`, legend: '' },
          {
            unit: units.Short,
            width: 12,
            value: 'alerts',
            columns: ['alertname', 'severity', 'node', 'job'],
            description: 'Each has a runbook, linked in the alert.',
          },
        ),
        table(
          'Components that are not ok',
          {
            expr: `max by (node, job, component, state) (stowage_health_component_state{${scope}, state!="ok"} == 1)`,
            legend: '',
          },
          {
            unit: units.Short,
            width: 12,
            value: 'now',
            columns: ['node', 'job', 'component', 'state'],
            description:
              'Degraded serves calls; down cannot. /readyz of the service has the reason.',
          },
        ),
        series(
          'Versions in use',
          [
            {
              expr: `count by (job, version) (stowage_build_info{${scope}})`,
              legend: '{{job}} {{version}}',
            },
          ],
          { unit: units.Short, width: 12, stacked: true, description: 'Services by version.' },
        ),
        series(
          'Calls to the runtime that fail',
          [{ expr: rate('stowage_cri_operations_errors_total', ['node']), legend: '{{node}}' }],
          {
            unit: units.OpsPerSecond,
            width: 12,
            description: 'Failed calls of all services to the container runtime.',
          },
        ),
      ],
    },
    {
      title: 'Disks',
      panels: [
        table(
          'Fullest file systems',
          {
            expr: `topk(20, max by (node, mountpoint, role) (stowage_gc_filesystem_used_percent{${scope}}))`,
            legend: '',
          },
          {
            unit: units.Percent,
            width: 12,
            value: 'used',
            columns: ['node', 'mountpoint', 'role'],
            warnAt: 80,
            alarmAt: 90,
            description: 'File systems of images and containers.',
          },
        ),
        table(
          'Full soonest',
          {
            expr: `bottomk(20, min by (node, mountpoint, resource) (stowage_gc_filesystem_time_to_full_seconds{${scope}}))`,
            legend: '',
          },
          {
            unit: units.Seconds,
            width: 12,
            value: 'full in',
            columns: ['node', 'mountpoint', 'resource'],
            description: 'At the rate of the last minutes, without collections.',
          },
        ),
        series(
          'What holds the disks',
          [
            {
              expr: `sum by (by) (stowage_gc_filesystem_held_bytes{${scope}})`,
              legend: '{{by}}',
            },
          ],
          {
            unit: units.BytesIEC,
            width: 8,
            stacked: true,
            description: 'Images, what containers wrote, and files of others.',
          },
        ),
        series(
          'Freed by collections',
          [{ expr: rate('stowage_gc_freed_bytes_total', ['kind']), legend: '{{kind}}' }],
          {
            unit: units.BytesPerSecondIEC,
            width: 8,
            description: 'Expected by sizes, and measured on the file systems.',
          },
        ),
        series(
          'Images pulled again soon after they were collected',
          [
            {
              expr: `topk(10, stowage:gc_regrets:ratio6h{${scope}})`,
              legend: '{{node}}',
            },
          ],
          {
            unit: units.PercentUnit,
            width: 8,
            warnAt: 0.1,
            description: 'Regrets by collected images over 6 hours (StowageRegrets).',
          },
        ),
      ],
    },
    {
      title: 'Pulls and events',
      panels: [
        series(
          'Pulls by result',
          [{ expr: rate('stowage_image_pulls_total', ['result']), legend: '{{result}}' }],
          {
            unit: units.OpsPerSecond,
            width: 8,
            stacked: true,
            description: 'Pulls that ended; callers that joined one are not counted.',
          },
        ),
        series(
          'Nodes with most failed pulls',
          [
            {
              expr: `topk(10, stowage:image_pull_failures:ratio15m{${scope}})`,
              legend: '{{node}}',
            },
          ],
          {
            unit: units.PercentUnit,
            width: 8,
            max: 1,
            description: 'Share of the pulls of 15 minutes that failed.',
          },
        ),
        series(
          'Time of pulls',
          [0.5, 0.9, 0.99].map((q) => ({
            expr: quantile(q, 'stowage_image_pull_duration_seconds', []),
            legend: `p${q * 100}`,
          })),
          { unit: units.Seconds, width: 8, description: 'Pulls that succeeded.' },
        ),
        series(
          'Oldest event that waits',
          [
            {
              expr: `topk(10, max by (node, job) (stowage_events_oldest_pending_seconds{${scope}}))`,
              legend: '{{node}} {{job}}',
            },
          ],
          {
            unit: units.Seconds,
            width: 12,
            warnAt: 300,
            description: 'Near 0 while NATS takes events (StowageEventsStuck).',
          },
        ),
        series(
          'Events dropped',
          [
            {
              expr: `topk(10, sum by (node, job) (increase(stowage_events_dropped_total{${scope}}[$__rate_interval])))`,
              legend: '{{node}} {{job}}',
            },
          ],
          {
            unit: units.Short,
            width: 12,
            alarmAt: 1,
            description: 'Events that are lost (StowageEventsDropped).',
          },
        ),
      ],
    },
  ],
};
