import * as units from '@grafana/grafana-foundation-sdk/units';
import type { DashboardDefinition } from '../dashboard';
import { alarmStates, quantile, rate, scope, series, states, table } from '../panels';

/** docker-shim: Docker Engine below it, and what it does itself: logs, streams, networks. */
export const dockerShim: DashboardDefinition = {
  name: 'docker-shim',
  title: 'Stowage / docker-shim',
  description: 'docker-shim: Docker Engine, calls of the CRI, pods, logs, streams, pod networks.',
  nodes: 'all',
  rows: [
    {
      title: 'Docker Engine',
      panels: [
        states(
          'Engine',
          [{ expr: `1 - max by (node) (stowage_docker_engine_up{${scope}})`, legend: '{{node}}' }],
          {
            width: 8,
            description: 'Away: StowageComponentDown, component docker. Pods run on.',
            states: alarmStates('answers', 'away'),
          },
        ),
        table(
          'Versions',
          {
            expr: `count by (version, api) (stowage_docker_engine_info{${scope}})`,
            legend: '',
          },
          {
            unit: units.Short,
            width: 8,
            value: 'nodes',
            columns: ['version', 'api'],
            description: 'Versions of the engine, and of its API in use.',
          },
        ),
        series(
          'Calls to the engine',
          [
            {
              expr: rate('stowage_docker_engine_calls_total', ['operation']),
              legend: '{{operation}}',
            },
          ],
          { unit: units.RequestsPerSecond, width: 8, description: 'By operation.' },
        ),
        series(
          'Calls to the engine that fail',
          [
            {
              expr: rate(
                'stowage_docker_engine_calls_total',
                ['operation', 'result'],
                ', result!="ok"',
              ),
              legend: '{{operation}}: {{result}}',
            },
          ],
          {
            unit: units.RequestsPerSecond,
            width: 8,
            description: 'Refused is often expected: an image that is not there, for instance.',
          },
        ),
        series(
          'Time of calls to the engine',
          [
            {
              expr: quantile(0.99, 'stowage_docker_engine_call_duration_seconds', ['operation']),
              legend: '{{operation}} p99',
            },
          ],
          {
            unit: units.Seconds,
            width: 8,
            alarmAt: 2.5,
            description: 'Lists and inspections above the line: StowageEngineSlow.',
          },
        ),
        series(
          'Events of the engine',
          [
            {
              expr: rate('stowage_shim_engine_events_total', ['action']),
              legend: '{{action}}',
            },
            {
              expr: rate('stowage_shim_event_differences_total', ['action']),
              legend: '{{action}}, by comparison alone',
            },
            {
              expr: rate('stowage_shim_event_subscribers_dropped_total', ['job']),
              legend: 'readers that were too slow',
            },
          ],
          {
            unit: units.EventsPerSecond,
            width: 8,
            description:
              'By comparison alone: no event had shown it, as at a restart of the engine.',
          },
        ),
      ],
    },
    {
      title: 'The CRI',
      panels: [
        series(
          'Calls by method',
          [{ expr: rate('stowage_shim_calls_total', ['method']), legend: '{{method}}' }],
          {
            unit: units.RequestsPerSecond,
            width: 8,
            stacked: true,
            description: 'Calls that ended.',
          },
        ),
        series(
          'Calls that fail',
          [
            {
              expr: rate('stowage_shim_calls_total', ['method', 'code'], ', code!="OK"'),
              legend: '{{method}} {{code}}',
            },
          ],
          { unit: units.RequestsPerSecond, width: 8, description: 'By gRPC status.' },
        ),
        series(
          'Time of calls',
          [
            {
              expr: quantile(0.99, 'stowage_shim_call_duration_seconds', ['method']),
              legend: '{{method}} p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'The engine included.' },
        ),
        series(
          'Pods and containers',
          [
            {
              expr: `sum by (state) (stowage_shim_sandboxes{${scope}})`,
              legend: 'pods {{state}}',
            },
            {
              expr: `sum by (state) (stowage_shim_containers{${scope}})`,
              legend: 'containers {{state}}',
            },
          ],
          { unit: units.Short, width: 8, description: 'By the state in the engine.' },
        ),
        series(
          'Wait for the same pod',
          [
            { expr: quantile(0.5, 'stowage_shim_pod_queue_wait_seconds', []), legend: 'p50' },
            { expr: quantile(0.99, 'stowage_shim_pod_queue_wait_seconds', []), legend: 'p99' },
          ],
          {
            unit: units.Seconds,
            width: 8,
            description: 'Calls that change one pod are carried out one after the other.',
          },
        ),
        series(
          'Pulls',
          [
            { expr: `sum(stowage_shim_pulls_in_flight{${scope}})`, legend: 'in flight' },
            {
              expr: `sum by (node) (increase(stowage_shim_pulls_stalled_total{${scope}}[$__rate_interval]))`,
              legend: '{{node}} stalled',
            },
          ],
          {
            unit: units.Short,
            width: 4,
            description: 'Stalled: given up, since no layer changed.',
          },
        ),
        series(
          'Downloaded',
          [{ expr: rate('stowage_shim_pulled_bytes_total', ['node']), legend: '{{node}}' }],
          { unit: units.BytesPerSecondIEC, width: 4, description: 'By pulls, from registries.' },
        ),
      ],
    },
    {
      title: 'Logs and streams',
      panels: [
        series(
          'Logs that are blocked',
          [{ expr: `sum by (node) (stowage_shim_logs_blocked{${scope}})`, legend: '{{node}}' }],
          {
            unit: units.Short,
            width: 8,
            alarmAt: 1,
            description: 'Containers whose log cannot be copied (StowageLogsBlocked).',
          },
        ),
        series(
          'Not copied yet',
          [{ expr: `max by (node) (stowage_shim_log_lag_bytes{${scope}})`, legend: '{{node}}' }],
          {
            unit: units.BytesIEC,
            width: 8,
            description: 'What the engine has more than the logs.',
          },
        ),
        series(
          'Copied',
          [{ expr: rate('stowage_shim_log_bytes_total', ['node']), legend: '{{node}}' }],
          { unit: units.BytesPerSecondIEC, width: 8, description: 'Into log files of containers.' },
        ),
        series(
          'Failures of copying',
          [
            { expr: rate('stowage_shim_log_errors_total', ['kind']), legend: '{{kind}}' },
            { expr: rate('stowage_shim_log_reopens_total', ['job']), legend: 'rotated' },
          ],
          {
            unit: units.OpsPerSecond,
            width: 8,
            description:
              'Of kind gap: the engine removed a file before it was copied. Rotated is no failure.',
          },
        ),
        series(
          'Sessions',
          [
            {
              expr: `sum by (kind, protocol) (stowage_shim_streaming_sessions_open{${scope}})`,
              legend: '{{kind}} {{protocol}} open',
            },
            {
              expr: `sum by (kind) (increase(stowage_shim_streaming_sessions_total{${scope}}[$__rate_interval]))`,
              legend: '{{kind}} begun',
            },
          ],
          { unit: units.Short, width: 8, description: 'Of exec, attach and port-forward.' },
        ),
        series(
          'Commands that were killed',
          [
            { expr: rate('stowage_shim_exec_kills_total', ['reason']), legend: '{{reason}}' },
            {
              expr: rate('stowage_shim_exec_processes_left_total', ['node']),
              legend: '{{node}} processes left',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 8,
            description: 'Probes over their time limit among them.',
          },
        ),
      ],
    },
    {
      title: 'Networks and leftovers',
      panels: [
        series(
          'CNI plugins',
          [
            {
              expr: rate('stowage_shim_cni_calls_total', ['command', 'result']),
              legend: '{{command}} {{result}}',
            },
          ],
          { unit: units.OpsPerSecond, width: 8, description: 'With networkMode cni alone.' },
        ),
        series(
          'Time of CNI plugins',
          [
            {
              expr: quantile(0.99, 'stowage_shim_cni_call_duration_seconds', ['command']),
              legend: '{{command}} p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'With networkMode cni alone.' },
        ),
        series(
          'Time to measure a writable layer',
          [
            {
              expr: quantile(0.9, 'stowage_shim_layer_measurement_duration_seconds', ['result']),
              legend: '{{result}} p90',
            },
          ],
          {
            unit: units.Seconds,
            width: 8,
            description: 'The engine counts the files of each container, statsLayerInterval apart.',
          },
        ),
        series(
          'Names that were taken',
          [
            { expr: rate('stowage_shim_name_conflicts_total', ['result']), legend: '{{result}}' },
            {
              expr: rate('stowage_shim_corrupt_checkpoints_total', ['node']),
              legend: '{{node}} checkpoints unreadable',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 12,
            description: 'Leftovers of a crash, or of another program.',
          },
        ),
        series(
          'Numbers from the engine',
          [{ expr: rate('stowage_shim_stats_unreadable_total', ['node']), legend: '{{node}}' }],
          {
            unit: units.OpsPerSecond,
            width: 12,
            description: 'Containers whose files in cgroup could not be read, which is slow.',
          },
        ),
      ],
    },
  ],
};
