import * as units from '@grafana/grafana-foundation-sdk/units';
import type { DashboardDefinition } from '../dashboard';
import {
  alarmStates,
  quantile,
  rate,
  scope,
  series,
  signedSeries,
  stat,
  states,
  table,
} from '../panels';

/** One node: its disks, what is collected and what is kept, and the services themselves. */
export const node: DashboardDefinition = {
  name: 'node',
  title: 'Stowage / Node',
  description: 'One node: disks with their thresholds, collections, and the services themselves.',
  nodes: 'one',
  rows: [
    {
      title: 'Health',
      panels: [
        states(
          'Components',
          [
            {
              expr: `max by (job, component) (stowage_health_component_state{${scope}, state="down"} * 2 or stowage_health_component_state{${scope}, state="degraded"})`,
              legend: '{{job}} {{component}}',
            },
          ],
          {
            width: 16,
            description: 'As /readyz says it; there stands the reason too.',
            states: [
              { text: 'ok', color: 'green' },
              { text: 'degraded', color: 'yellow' },
              { text: 'down', color: 'red' },
            ],
          },
        ),
        table(
          'Services',
          {
            expr: `max by (job, instance, version, node_version) (stowage_build_info{${scope}})`,
            legend: '',
          },
          {
            unit: units.Short,
            width: 8,
            value: 'runs',
            columns: ['job', 'instance', 'version', 'node_version'],
            description: 'What runs on the node.',
          },
        ),
      ],
    },
    {
      title: 'Disks',
      panels: [
        series(
          'Used',
          [
            {
              expr: `max by (mountpoint, role) (stowage_gc_filesystem_used_percent{${scope}})`,
              legend: '{{mountpoint}} ({{role}})',
            },
            {
              expr: `max by (mark) (stowage_gc_threshold_percent{${scope}, resource="bytes"})`,
              legend: 'threshold {{mark}}',
            },
          ],
          {
            unit: units.Percent,
            width: 8,
            max: 100,
            description: 'A collection starts at the high threshold and ends at the low one.',
          },
        ),
        series(
          'What holds the bytes',
          [
            {
              expr: `sum by (mountpoint, by) (stowage_gc_filesystem_held_bytes{${scope}})`,
              legend: '{{mountpoint}} {{by}}',
            },
          ],
          {
            unit: units.BytesIEC,
            width: 8,
            stacked: true,
            description: 'Collection frees images alone.',
          },
        ),
        series(
          'Available, and with what could be collected',
          [
            {
              expr: `min by (mountpoint) (stowage_gc_filesystem_available_bytes{${scope}})`,
              legend: '{{mountpoint}} available',
            },
            {
              expr: `min by (mountpoint) (stowage:gc_filesystem_attainable_bytes{${scope}})`,
              legend: '{{mountpoint}} with collectable images',
            },
            {
              expr: `max by (mountpoint) (stowage_gc_filesystem_capacity_bytes{${scope}})`,
              legend: '{{mountpoint}} capacity',
            },
          ],
          {
            unit: units.BytesIEC,
            width: 8,
            description: 'Where the second line goes to zero, StowageFullSoon fires.',
          },
        ),
        signedSeries(
          'Fills by',
          [
            {
              expr: `max by (mountpoint, resource) (stowage_gc_filesystem_used_change_per_second{${scope}, resource="bytes"})`,
              legend: '{{mountpoint}}',
            },
          ],
          {
            unit: units.BytesPerSecondIEC,
            width: 8,
            description: 'Change of the used bytes over the last minutes.',
          },
        ),
        series(
          'Full in',
          [
            {
              expr: `min by (mountpoint, resource) (stowage_gc_filesystem_time_to_full_seconds{${scope}})`,
              legend: '{{mountpoint}} {{resource}}',
            },
          ],
          {
            unit: units.Seconds,
            width: 8,
            description: 'At that rate, without collections; absent while it does not fill.',
          },
        ),
        series(
          'Inodes used',
          [
            {
              expr: `100 - 100 * max by (mountpoint) (stowage_gc_filesystem_inodes_free{${scope}}) / max by (mountpoint) (stowage_gc_filesystem_inodes{${scope}})`,
              legend: '{{mountpoint}}',
            },
          ],
          {
            unit: units.Percent,
            width: 8,
            max: 100,
            description: 'Absent where the number of inodes is not fixed.',
          },
        ),
        states(
          'Thresholds',
          [
            {
              expr: `max by (mountpoint, resource, mark) (stowage_gc_threshold_exceeded{${scope}})`,
              legend: '{{mountpoint}} {{resource}} {{mark}}',
            },
          ],
          {
            width: 12,
            description: 'Thresholds that were never exceeded are absent.',
            states: alarmStates('below', 'exceeded'),
          },
        ),
        states(
          'Would the removal of all images do',
          [
            {
              expr: `1 - max by (mountpoint) (stowage_gc_filesystem_images_suffice{${scope}})`,
              legend: '{{mountpoint}}',
            },
          ],
          {
            width: 12,
            description:
              'Where it would not, other files fill the disk. Absent below the threshold.',
            states: alarmStates('yes', 'no'),
          },
        ),
      ],
    },
    {
      title: 'Collection',
      panels: [
        stat(
          'Last collection',
          {
            expr: `time() - max(stowage_gc_last_collection_timestamp_seconds{${scope}})`,
            legend: 'ago',
          },
          { unit: units.Seconds, width: 4, description: 'Since it ended.' },
        ),
        stat(
          'Last that sufficed',
          {
            expr: `time() - max(stowage_gc_last_sufficient_collection_timestamp_seconds{${scope}})`,
            legend: 'ago',
          },
          {
            unit: units.Seconds,
            width: 4,
            description: 'Since one ended that failed in nothing and got below the high threshold.',
          },
        ),
        stat(
          'Could be collected',
          { expr: `sum(stowage_gc_collectable_bytes{${scope}})`, legend: 'bytes' },
          {
            unit: units.BytesIEC,
            width: 4,
            description: 'What the removal of all images that may go is expected to free.',
          },
        ),
        stat(
          'Leaked',
          { expr: `sum(stowage_gc_leaked_bytes{${scope}})`, legend: 'bytes' },
          {
            unit: units.BytesIEC,
            width: 4,
            description: 'Used by no image and no container, as of the last look (StowageLeak).',
          },
        ),
        stat(
          'Paused',
          { expr: `max(stowage_gc_paused{${scope}})`, legend: 'paused' },
          {
            unit: units.BoolYesNo,
            width: 4,
            warnAt: 1,
            description: 'By stowctl pause; until when, says stowctl status.',
          },
        ),
        stat(
          'Collects',
          {
            expr: `max by (mode) (stowage_gc_collect_mode{${scope}}) == 1`,
            legend: '{{mode}}',
          },
          {
            unit: units.Short,
            width: 4,
            isName: true,
            description: 'The key collect: on, shadow or off.',
          },
        ),
        series(
          'Images',
          [{ expr: `sum by (state) (stowage_gc_images{${scope}})`, legend: '{{state}}' }],
          {
            unit: units.Short,
            width: 8,
            stacked: true,
            description: 'At the last detection; pinned ones that are in use count as in use.',
          },
        ),
        series(
          'Bytes of images',
          [{ expr: `sum by (state) (stowage_gc_image_bytes{${scope}})`, legend: '{{state}}' }],
          {
            unit: units.BytesIEC,
            width: 8,
            stacked: true,
            description: 'As the runtime reports sizes; shared layers count for each image.',
          },
        ),
        series(
          'Kept, by rule',
          [{ expr: `sum by (rule) (stowage_gc_images_kept{${scope}}) > 0`, legend: '{{rule}}' }],
          {
            unit: units.Short,
            width: 8,
            stacked: true,
            description: 'Why the last plan keeps images; stowctl plan --kept names them.',
          },
        ),
        series(
          'Collections',
          [
            {
              expr: rate('stowage_gc_collections_total', ['trigger', 'result']),
              legend: '{{trigger}} {{result}}',
            },
          ],
          { unit: units.OpsPerSecond, width: 8, description: 'By trigger and result.' },
        ),
        series(
          'Images removed, refused and pulled again',
          [
            {
              expr: rate('stowage_gc_images_collected_total', ['reason']),
              legend: 'collected: {{reason}}',
            },
            {
              expr: rate('stowage_gc_image_removal_failures_total', ['node']),
              legend: 'removal failed',
            },
            { expr: rate('stowage_gc_regrets_total', ['node']), legend: 'pulled again soon' },
          ],
          {
            unit: units.OpsPerSecond,
            width: 8,
            description: 'Pulled again soon: within regretWindow after the removal.',
          },
        ),
        series(
          'Freed',
          [{ expr: rate('stowage_gc_freed_bytes_total', ['kind']), legend: '{{kind}}' }],
          {
            unit: units.BytesPerSecondIEC,
            width: 8,
            description: 'Much less measured than expected is a sign of a leak.',
          },
        ),
        series(
          'Time of collections and detections',
          [
            {
              expr: quantile(0.9, 'stowage_gc_collection_duration_seconds', []),
              legend: 'collection p90',
            },
            {
              expr: quantile(0.9, 'stowage_gc_detection_duration_seconds', []),
              legend: 'detection p90',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'Calls to the runtime included.' },
        ),
        series(
          'Detections',
          [{ expr: rate('stowage_gc_detections_total', ['result']), legend: '{{result}}' }],
          { unit: units.OpsPerSecond, width: 8, description: 'A failed one changes nothing.' },
        ),
        series(
          'Age of the image list',
          [
            {
              expr: `time() - max by (job) (stowage_gc_listed_timestamp_seconds{${scope}})`,
              legend: '{{job}}',
            },
          ],
          {
            unit: units.Seconds,
            width: 8,
            warnAt: 600,
            description: 'Grows while the runtime does not answer (StowageListStale).',
          },
        ),
        states(
          'Written to disk',
          [
            { expr: `1 - min by (job) (stowage_gc_records_written{${scope}})`, legend: 'records' },
            {
              expr: `1 - min by (job) (stowage_events_outbox_on_disk{${scope}})`,
              legend: 'outbox of {{job}}',
            },
          ],
          {
            width: 12,
            description: 'What is in memory alone is lost at a restart.',
            states: alarmStates('on disk', 'in memory'),
          },
        ),
        series(
          'Would go in shadow',
          [{ expr: `max by (job) (stowage_gc_shadow_bytes{${scope}})`, legend: 'bytes' }],
          {
            unit: units.BytesIEC,
            width: 12,
            description: 'What the last collection with collect: shadow would have freed.',
          },
        ),
      ],
    },
    {
      title: 'Services',
      panels: [
        series(
          'Memory',
          [
            {
              expr: `max by (job) (process_resident_memory_bytes{${scope}})`,
              legend: '{{job}}',
            },
          ],
          { unit: units.BytesIEC, width: 8, description: 'Resident memory.' },
        ),
        series(
          'Processor',
          [{ expr: rate('process_cpu_seconds_total', ['job']), legend: '{{job}}' }],
          { unit: units.Short, width: 8, description: 'Processors in use.' },
        ),
        series(
          'Event loop',
          [
            {
              expr: `max by (job) (nodejs_eventloop_lag_p99_seconds{${scope}})`,
              legend: '{{job}} p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'How late the process gets to its work.' },
        ),
        series(
          'Calls to the runtime',
          [{ expr: rate('stowage_cri_operations_total', ['operation']), legend: '{{operation}}' }],
          { unit: units.OpsPerSecond, width: 8, description: 'Of all services.' },
        ),
        series(
          'Calls to the runtime that fail',
          [
            {
              expr: rate('stowage_cri_operations_errors_total', ['operation']),
              legend: '{{operation}}',
            },
          ],
          { unit: units.OpsPerSecond, width: 8, description: 'Of all services.' },
        ),
        series(
          'Time of calls to the runtime',
          [
            {
              expr: quantile(0.99, 'stowage_cri_operations_duration_seconds', ['operation']),
              legend: '{{operation}} p99',
            },
          ],
          { unit: units.Seconds, width: 8, description: 'For streams the time they were open.' },
        ),
      ],
    },
  ],
};
