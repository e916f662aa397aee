import * as units from '@grafana/grafana-foundation-sdk/units';
import type { DashboardDefinition } from '../dashboard';
import { quantile, rate, scope, series, stat } from '../panels';

/** Pulls: whether they fail, why, and how long they take. */
export const pulls: DashboardDefinition = {
  name: 'pulls',
  title: 'Stowage / Pulls',
  description: 'Pulls through image-service: results by class, times, credentials, and the queue.',
  nodes: 'all',
  rows: [
    {
      title: 'Now',
      panels: [
        stat(
          'In flight',
          { expr: `sum(stowage_image_pulls_in_flight{${scope}})`, legend: 'pulls' },
          { unit: units.Short, width: 6, description: 'Pulls that the runtime works on.' },
        ),
        stat(
          'Waiting',
          { expr: `sum(stowage_image_pulls_waiting{${scope}})`, legend: 'pulls' },
          {
            unit: units.Short,
            width: 6,
            warnAt: 1,
            description: 'Pulls that wait for a free place or for the rate.',
          },
        ),
        stat(
          'Failed',
          {
            expr: `sum(increase(stowage_image_pulls_total{${scope}, result!~"success|cancelled"}[$__range]))`,
            legend: 'pulls',
          },
          { unit: units.Short, width: 6, description: 'In the time that is shown.' },
        ),
        stat(
          'Pulled',
          {
            expr: `sum(increase(stowage_image_pulled_bytes_total{${scope}}[$__range]))`,
            legend: 'bytes',
          },
          {
            unit: units.BytesIEC,
            width: 6,
            description: 'Sizes of the images, with layers that were there already.',
          },
        ),
      ],
    },
    {
      title: 'Results',
      panels: [
        series(
          'Pulls by result',
          [{ expr: rate('stowage_image_pulls_total', ['result']), legend: '{{result}}' }],
          {
            unit: units.OpsPerSecond,
            width: 12,
            stacked: true,
            description: 'Pulls that ended; callers that joined one are not counted.',
          },
        ),
        series(
          'Share that fails, by node',
          [
            {
              expr: `topk(10, stowage:image_pull_failures:ratio15m{${scope}})`,
              legend: '{{node}}',
            },
          ],
          {
            unit: units.PercentUnit,
            width: 12,
            max: 1,
            description: 'Of the pulls of 15 minutes. All nodes at once: look at the registry.',
          },
        ),
        series(
          'Attempts by credential',
          [
            {
              expr: rate('stowage_image_pull_attempts_total', ['credential', 'result']),
              legend: '{{credential}}: {{result}}',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 12,
            description: 'A pull tries one credential after the other.',
          },
        ),
        series(
          'Credential sources that could not be used',
          [
            {
              expr: rate('stowage_image_credential_problems_total', ['source']),
              legend: '{{source}}',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 12,
            description: 'Counted once for each change of the source; the log names it.',
          },
        ),
      ],
    },
    {
      title: 'Time and load',
      panels: [
        series(
          'Time of pulls',
          [0.5, 0.9, 0.99].map((q) => ({
            expr: quantile(q, 'stowage_image_pull_duration_seconds', []),
            legend: `p${q * 100}`,
          })),
          { unit: units.Seconds, width: 8, description: 'Pulls that succeeded, in the runtime.' },
        ),
        series(
          'Time by size',
          [
            {
              expr: quantile(0.9, 'stowage_image_pull_duration_seconds', ['image_size_in_bytes']),
              legend: '{{image_size_in_bytes}} p90',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'By kubelet’s classes of size.' },
        ),
        series(
          'Bytes pulled',
          [{ expr: rate('stowage_image_pulled_bytes_total', ['node']), legend: '{{node}}' }],
          {
            unit: units.BytesPerSecondIEC,
            width: 8,
            description: 'Counted when a pull has ended.',
          },
        ),
        series(
          'In flight and waiting',
          [
            { expr: `sum(stowage_image_pulls_in_flight{${scope}})`, legend: 'in flight' },
            { expr: `sum(stowage_image_pulls_waiting{${scope}})`, legend: 'waiting' },
          ],
          {
            unit: units.Short,
            width: 8,
            description: 'By serializeImagePulls, maxParallelImagePulls and registryPullQPS.',
          },
        ),
        series(
          'Time in the queue',
          [
            {
              expr: quantile(0.9, 'stowage_image_pull_wait_seconds', []),
              legend: 'p90',
            },
            {
              expr: quantile(0.99, 'stowage_image_pull_wait_seconds', []),
              legend: 'p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'Of pulls that succeeded.' },
        ),
        series(
          'Shared pulls',
          [
            {
              expr: rate('stowage_image_pulls_coalesced_total', ['node']),
              legend: '{{node}}',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 8,
            description: 'Callers that took part in a pull that was going on already.',
          },
        ),
      ],
    },
    {
      title: 'The socket and the command ensure',
      panels: [
        series(
          'Calls',
          [
            {
              expr: rate('stowage_image_calls_total', ['method', 'code']),
              legend: '{{method}} {{code}}',
            },
          ],
          {
            unit: units.RequestsPerSecond,
            width: 8,
            description: 'Calls on the CRI socket by method and gRPC status.',
          },
        ),
        series(
          'Time of calls',
          [
            {
              expr: quantile(0.99, 'stowage_image_call_duration_seconds', ['method']),
              legend: '{{method}} p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'Without PullImage.' },
        ),
        series(
          'Connections to the runtime given up',
          [
            {
              expr: rate('stowage_runtime_connections_given_up_total', ['job']),
              legend: '{{job}}',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 8,
            description: 'They did not move any more; their calls got UNAVAILABLE.',
          },
        ),
        series(
          'Ensured images',
          [
            {
              expr: rate('stowage_image_ensures_total', ['pull_policy', 'result']),
              legend: '{{pull_policy}}: {{result}}',
            },
            {
              expr: rate('stowage_image_pull_back_offs_total', ['job']),
              legend: 'refused: failed not long before',
            },
          ],
          { unit: units.OpsPerSecond, width: 8, description: 'The command ensure.' },
        ),
        series(
          'May a caller use what is there',
          [
            {
              expr: rate('stowage_image_must_pull_checks_total', ['result']),
              legend: '{{result}}',
            },
          ],
          {
            unit: units.OpsPerSecond,
            width: 8,
            description: 'With imagePullCredentialsVerificationPolicy alone.',
          },
        ),
        series(
          'Removals on request',
          [{ expr: rate('stowage_image_removals_total', ['result']), legend: '{{result}}' }],
          { unit: units.OpsPerSecond, width: 8, description: 'Collections not included.' },
        ),
      ],
    },
  ],
};
