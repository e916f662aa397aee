import * as units from '@grafana/grafana-foundation-sdk/units';
import type { DashboardDefinition } from '../dashboard';
import { alarmStates, quantile, rate, scope, series, stat, states } from '../panels';

/** Events and commands: from the outbox to NATS, and what is asked over NATS. */
export const events: DashboardDefinition = {
  name: 'events',
  title: 'Stowage / Events',
  description: 'Events from the outbox to NATS, and commands by verb and code.',
  nodes: 'all',
  rows: [
    {
      title: 'Delivery',
      panels: [
        stat(
          'Waiting',
          { expr: `sum(stowage_events_pending{${scope}})`, legend: 'events' },
          { unit: units.Short, width: 6, description: 'Not acknowledged by JetStream.' },
        ),
        stat(
          'Oldest that waits',
          { expr: `max(stowage_events_oldest_pending_seconds{${scope}})`, legend: 'age' },
          {
            unit: units.Seconds,
            width: 6,
            warnAt: 60,
            alarmAt: 300,
            description: 'Near 0 while NATS takes events.',
          },
        ),
        stat(
          'Services without NATS',
          {
            expr: `count(stowage_events_nats_connected{${scope}} == 0) or vector(0)`,
            legend: 'services',
          },
          {
            unit: units.Short,
            width: 6,
            warnAt: 1,
            description: 'Those of nodes that have none by configuration count too.',
          },
        ),
        stat(
          'Dropped',
          {
            expr: `sum(increase(stowage_events_dropped_total{${scope}}[$__range]))`,
            legend: 'events',
          },
          { unit: units.Short, width: 6, alarmAt: 1, description: 'In the time that is shown.' },
        ),
        series(
          'Recorded',
          [{ expr: rate('stowage_events_recorded_total', ['event']), legend: '{{event}}' }],
          {
            unit: units.EventsPerSecond,
            width: 12,
            stacked: true,
            description: 'Events written to the outbox.',
          },
        ),
        series(
          'Delivered and refused',
          [
            { expr: rate('stowage_events_published_total', ['job']), legend: '{{job}} delivered' },
            {
              expr: rate('stowage_events_publish_failures_total', ['job']),
              legend: '{{job}} not acknowledged',
            },
          ],
          {
            unit: units.EventsPerSecond,
            width: 12,
            description: 'What is not acknowledged is sent again.',
          },
        ),
        series(
          'Waiting, by service',
          [
            {
              expr: `topk(10, max by (node, job) (stowage_events_pending{${scope}}))`,
              legend: '{{node}} {{job}}',
            },
          ],
          {
            unit: units.Short,
            width: 8,
            description: 'Up to outboxMaxEvents; then the oldest are dropped.',
          },
        ),
        series(
          'Bytes that wait',
          [
            {
              expr: `topk(10, max by (node, job) (stowage_events_pending_bytes{${scope}}))`,
              legend: '{{node}} {{job}}',
            },
          ],
          {
            unit: units.BytesIEC,
            width: 8,
            description: 'Up to outboxMaxBytes; then the oldest are dropped.',
          },
        ),
        series(
          'Age of the oldest',
          [
            {
              expr: `topk(10, max by (node, job) (stowage_events_oldest_pending_seconds{${scope}}))`,
              legend: '{{node}} {{job}}',
            },
          ],
          {
            unit: units.Seconds,
            width: 8,
            alarmAt: 300,
            description: 'StowageEventsStuck fires above the line.',
          },
        ),
        series(
          'Dropped, by service',
          [
            {
              expr: `topk(10, sum by (node, job) (increase(stowage_events_dropped_total{${scope}}[$__rate_interval])))`,
              legend: '{{node}} {{job}}',
            },
          ],
          {
            unit: units.Short,
            width: 8,
            alarmAt: 1,
            description: 'Outbox full, event too large, or file unreadable.',
          },
        ),
        series(
          'Time to write an event',
          [
            {
              expr: quantile(0.99, 'stowage_events_outbox_write_seconds', ['job']),
              legend: '{{job}} p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'Tens of microseconds on a healthy disk.' },
        ),
        states(
          'Outbox',
          [
            {
              expr: `1 - min by (node, job) (stowage_events_outbox_on_disk{${scope}})`,
              legend: '{{node}} {{job}}',
            },
          ],
          {
            width: 8,
            description: 'In memory: the file takes no writes (StowageOutboxNotOnDisk).',
            states: alarmStates('on disk', 'in memory'),
          },
        ),
      ],
    },
    {
      title: 'Commands',
      panels: [
        series(
          'By verb and code',
          [
            {
              expr: rate('stowage_commands_total', ['job', 'verb', 'code']),
              legend: '{{job}} {{verb}} {{code}}',
            },
          ],
          {
            unit: units.RequestsPerSecond,
            width: 12,
            description: 'On NATS and on the local socket.',
          },
        ),
        series(
          'Time to answer',
          [
            {
              expr: quantile(0.99, 'stowage_command_duration_seconds', ['job', 'verb']),
              legend: '{{job}} {{verb}} p99',
            },
          ],
          { unit: units.Seconds, width: 12, description: 'From arrival to the reply.' },
        ),
      ],
    },
  ],
};
