import * as units from '@grafana/grafana-foundation-sdk/units';
import type { DashboardDefinition } from '../dashboard';
import { alarmStates, quantile, rate, scope, series, states } from '../panels';

/** runtime-gateway: what it adds to calls, and whether it sees them all. */
export const gateway: DashboardDefinition = {
  name: 'gateway',
  title: 'Stowage / Gateway',
  description: 'runtime-gateway: calls by method, what the gateway adds to them, and observation.',
  nodes: 'all',
  rows: [
    {
      title: 'Calls',
      panels: [
        series(
          'Calls by method',
          [{ expr: rate('stowage_gateway_calls_total', ['method']), legend: '{{method}}' }],
          {
            unit: units.RequestsPerSecond,
            width: 8,
            stacked: true,
            description: 'Calls that ended, on both sockets.',
          },
        ),
        series(
          'Calls that fail',
          [
            {
              expr: rate('stowage_gateway_calls_total', ['method', 'code'], ', code!="OK"'),
              legend: '{{method}} {{code}}',
            },
          ],
          {
            unit: units.RequestsPerSecond,
            width: 8,
            description: 'By gRPC status; NONE where the stream ended without one.',
          },
        ),
        series(
          'In flight',
          [
            {
              expr: `sum by (method) (stowage_gateway_calls_in_flight{${scope}})`,
              legend: '{{method}}',
            },
          ],
          { unit: units.Short, width: 8, description: 'Streams count as long as they are open.' },
        ),
        series(
          'The gateway’s own time',
          [
            {
              expr: quantile(0.5, 'stowage_gateway_call_own_seconds', []),
              legend: 'p50',
            },
            {
              expr: quantile(0.99, 'stowage_gateway_call_own_seconds', []),
              legend: 'p99',
            },
            {
              expr: `topk(10, stowage:gateway_call_own_seconds:p99_5m{${scope}})`,
              legend: '{{node}} p99',
            },
          ],
          {
            unit: units.Seconds,
            width: 8,
            alarmAt: 0.05,
            description: 'What it took to pass on request and reply (StowageGatewaySlow).',
          },
        ),
        series(
          'Time of calls',
          [
            {
              expr: quantile(0.99, 'stowage_gateway_call_duration_seconds', ['method']),
              legend: '{{method}} p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'The runtime included.' },
        ),
        series(
          'Bytes',
          [
            {
              expr: rate('stowage_gateway_call_bytes_total', ['direction']),
              legend: '{{direction}}',
            },
          ],
          { unit: units.BytesPerSecondIEC, width: 8, description: 'Messages of calls that ended.' },
        ),
      ],
    },
    {
      title: 'Connections',
      panels: [
        series(
          'Open',
          [
            {
              expr: `sum by (socket) (stowage_gateway_connections_open{${scope}})`,
              legend: '{{socket}}',
            },
          ],
          { unit: units.Short, width: 8, description: 'Connections of clients.' },
        ),
        series(
          'Accepted',
          [{ expr: rate('stowage_gateway_connections_total', ['socket']), legend: '{{socket}}' }],
          { unit: units.OpsPerSecond, width: 8, description: 'Connections of clients.' },
        ),
        series(
          'Let go and given up',
          [
            {
              expr: `sum by (socket, reason) (increase(stowage_gateway_connections_let_go_total{${scope}}[$__rate_interval])) > 0`,
              legend: 'let go: {{socket}} {{reason}}',
            },
            {
              expr: `sum by (job) (increase(stowage_runtime_connections_given_up_total{${scope}}[$__rate_interval]))`,
              legend: 'given up: {{job}}',
            },
          ],
          {
            unit: units.Short,
            width: 8,
            warnAt: 1,
            description:
              'Let go: not followed any more, the bytes flow on. Given up: did not move any more.',
          },
        ),
      ],
    },
    {
      title: 'Observation',
      panels: [
        series(
          'Events, by how the change became known',
          [
            {
              expr: rate('stowage_gateway_events_total', ['event', 'observed_by']),
              legend: '{{event}} ({{observed_by}})',
            },
          ],
          { unit: units.EventsPerSecond, width: 8, description: 'Written to the outbox.' },
        ),
        series(
          'Comparisons with the runtime’s lists',
          [
            {
              expr: rate('stowage_gateway_listings_total', ['result']),
              legend: '{{result}}',
            },
            {
              expr: rate('stowage_gateway_listing_differences_total', ['job']),
              legend: 'differences',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 8,
            description: 'Differences are changes that only a list showed.',
          },
        ),
        series(
          'Time of a comparison',
          [
            {
              expr: quantile(0.99, 'stowage_gateway_listing_duration_seconds', []),
              legend: 'p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'The wait for calls in flight included.' },
        ),
        series(
          'What could not be observed',
          [
            {
              expr: rate('stowage_gateway_observer_failures_total', ['source']),
              legend: '{{source}}',
            },
            {
              expr: rate('stowage_gateway_known_objects_turned_away_total', ['job']),
              legend: 'no room',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 8,
            description: 'The calls themselves are not affected.',
          },
        ),
        series(
          'Known pods and containers',
          [
            {
              expr: `sum by (kind) (stowage_gateway_known_objects{${scope}})`,
              legend: '{{kind}}',
            },
          ],
          { unit: units.Short, width: 8, description: 'What the gateway remembers.' },
        ),
        states(
          'Event stream of the runtime',
          [
            {
              expr: `1 - max by (node) (stowage_gateway_runtime_event_stream{${scope}})`,
              legend: '{{node}}',
            },
          ],
          {
            width: 8,
            description: 'Without it changes by others are found by listing alone.',
            states: alarmStates('read', 'by listing'),
          },
        ),
      ],
    },
  ],
};
