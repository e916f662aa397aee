import { keyNames } from './define-config';
import type { ConfigDefinition, ConfigKeys, ConfigOf, DescribedConfig } from './define-config';
import type { ConfigKey } from './config-key';

/** The default as a reader sees it. */
function defaultText(key: ConfigKey<unknown>): string {
  if (key.defaultText !== undefined) return key.defaultText;
  if (typeof key.default === 'function') return 'computed';
  return valueText(key.print(key.default)) || '(none)';
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join(',');
  return String(value);
}

function rows(definition: DescribedConfig) {
  return (Object.entries(definition.keys) as [string, ConfigKey<unknown>][]).map(([name, key]) => ({
    ...keyNames(definition.keys, name),
    key,
    defaultText: defaultText(key),
  }));
}

/** Text of --help: every key with variable, YAML key, default, meaning and what is allowed. */
export function renderHelp(definition: DescribedConfig): string {
  const { app } = definition;
  const switches = Object.entries(definition.switches);
  const lines = [
    `${app}: ${definition.summary}`,
    '',
    `usage: ${app} [--config FILE] [--kubelet-config FILE] [--kubelet-config-dir DIR] [--check-config]${switches.map(([flag]) => ` [${flag}]`).join('')}`,
    '',
    '  --config FILE          configuration file (default /etc/stowage/config.yaml where it exists)',
    "  --kubelet-config FILE  kubelet's KubeletConfiguration; keys marked with its key are read from it",
    "  --kubelet-config-dir DIR  drop-ins of kubelet's --config-dir (*.conf), merged over that file as kubelet does",
    '  --check-config         print the effective configuration, secrets redacted, and exit (0 or 78)',
    ...switches.map(([flag, does]) => `  ${flag.padEnd(21)}  ${does}`),
    '  --version              print the version and exit',
    '  --help                 print this and exit',
    '',
    'Later wins: defaults, KubeletConfiguration, configuration file, environment.',
    "Traces: OTEL_EXPORTER_OTLP_ENDPOINT and OpenTelemetry's other variables.",
    `In the file a key stands in the section "${app}:"; keys marked * also at the top, for all apps of the node.`,
    '',
  ];
  for (const { env, yaml, key, defaultText: text } of rows(definition)) {
    lines.push(
      `${env}  (${yaml}${key.scope === 'node' ? '*' : ''}${key.kubelet === undefined ? '' : `, kubelet: ${key.kubelet.key}`})`,
      `    ${key.meaning}`,
      `    default: ${text}; allowed: ${key.allowed}`,
    );
  }
  return lines.join('\n');
}

/** Text of --check-config: YAML that could stand in the configuration file, secrets redacted, sources named. */
export function renderCheck<K extends ConfigKeys>(
  definition: ConfigDefinition<K>,
  config: ConfigOf<K>,
  how: {
    /** Where the value of each key came from. */
    sources: Readonly<Record<string, string>>;
    /** What a start would log as warnings. */
    notes: readonly string[];
    version: string;
  },
): string {
  const lines = [
    `# ${definition.app} ${how.version}: the configuration is right`,
    ...how.notes.map((note) => `# warning: ${note}`),
    `${definition.app}:`,
  ];
  for (const [name, key] of Object.entries(definition.keys) as [string, ConfigKey<unknown>][]) {
    const value = config[name];
    const shown = key.secret ? '[redacted]' : key.print(value);
    lines.push(
      `  ${keyNames(definition.keys, name).yaml}: ${JSON.stringify(shown)} # ${how.sources[name] ?? 'default'}`,
    );
  }
  return lines.join('\n');
}

/** Variables of the OpenTelemetry specification that matter here, their defaults and meanings. */
const tracingVariables: readonly (readonly [names: readonly string[], string, string])[] = [
  [
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'],
    '(none)',
    'Collector that spans are sent to by OTLP/HTTP in JSON: the whole URL, or the one that /v1/traces is added to.',
  ],
  [
    ['OTEL_EXPORTER_OTLP_TRACES_HEADERS', 'OTEL_EXPORTER_OTLP_HEADERS'],
    '(none)',
    'Headers of the requests, as name=value,name=value; may hold a token.',
  ],
  [
    ['OTEL_EXPORTER_OTLP_TRACES_TIMEOUT', 'OTEL_EXPORTER_OTLP_TIMEOUT'],
    '10000',
    'Time limit of one request with its repetitions, milliseconds.',
  ],
  [
    ['OTEL_EXPORTER_OTLP_TRACES_COMPRESSION', 'OTEL_EXPORTER_OTLP_COMPRESSION'],
    'none',
    'gzip or none.',
  ],
  [
    [
      'OTEL_EXPORTER_OTLP_CERTIFICATE',
      'OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE',
      'OTEL_EXPORTER_OTLP_CLIENT_KEY',
    ],
    '(none)',
    'PEM files: CA of the collector, client certificate and its key.',
  ],
  [
    ['OTEL_TRACES_SAMPLER', 'OTEL_TRACES_SAMPLER_ARG'],
    'parentbased_always_on',
    'Which traces are recorded; for example parentbased_traceidratio with 0.01.',
  ],
  [['OTEL_SERVICE_NAME'], 'name of the app', 'service.name of the spans.'],
  [
    ['OTEL_RESOURCE_ATTRIBUTES'],
    '(none)',
    'More about the process, as name=value,name=value; service.namespace is stowage and service.instance.id the node unless they stand here.',
  ],
  [
    ['OTEL_BSP_MAX_QUEUE_SIZE', 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE'],
    '2048, 512',
    'Spans that wait at most (more are dropped and counted), and spans in one request.',
  ],
  [
    ['OTEL_BSP_SCHEDULE_DELAY'],
    '5000',
    'Longest wait of a span for others to be sent with, milliseconds.',
  ],
  [
    ['OTEL_SDK_DISABLED', 'OTEL_TRACES_EXPORTER'],
    'false, otlp',
    'true, or none: no spans though there is an endpoint.',
  ],
];

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

/** The reference page of all apps: keys that all share first, then a section for each app. */
export function renderConfigurationReference(definitions: readonly DescribedConfig[]): string {
  const isShared = (yaml: string) =>
    definitions.every((definition) =>
      rows(definition).some((row) => row.yaml === yaml && row.key.scope === 'node'),
    );
  const table = (list: ReturnType<typeof rows>, mark: boolean) => [
    '| variable | YAML key | default | allowed | meaning |',
    '|---|---|---|---|---|',
    ...list.map(({ env, yaml, key, defaultText: text }) => {
      const kubelet = key.kubelet === undefined ? '' : ` Kubelet's \`${key.kubelet.key}\`.`;
      const name = `\`${yaml}\`${mark && key.scope === 'node' ? '\\*' : ''}`;
      return `| \`${env}\` | ${name} | ${cell(text)} | ${cell(key.allowed)} | ${cell(key.meaning)}${kubelet} |`;
    }),
  ];
  const [first] = definitions;
  const shared = first === undefined ? [] : rows(first).filter(({ yaml }) => isShared(yaml));
  return [
    '<!-- Generated by `npm run gen` from the schemas of the apps. Do not edit. -->',
    '',
    '# Configuration',
    '',
    'Sources, later wins: defaults, kubelet’s own files (below), the configuration file (`--config FILE`, else',
    '`/etc/stowage/config.yaml` where it exists), environment. A file may have 256 KiB.',
    'Every given value is checked, also one that a later source overrides. A wrong one ends the process with exit code 78 and',
    'one line that names the key, the value and what is allowed. A variable that is set to nothing counts as not set, except',
    'where nothing is a value ("empty for ..."). `STOWAGE_` variables of other apps are ignored; one that differs from a known',
    'name by one or two letters is told in the log.',
    '',
    'The file has one section per app, named after it; keys of "All apps" may also stand at the top for every app of the node,',
    'and the section wins. Unknown keys are an error. Durations are written as in Go and kubelet (`90s`, `2m`, `1h30m`), sizes',
    'as Kubernetes quantities (`500M`, `1Gi`).',
    '',
    '```yaml',
    'nodeName: worker-1',
    'natsServers: [nats://10.0.0.5:4222]',
    'image-service:',
    '  listen: /run/stowage/image.sock',
    'gc-worker:',
    '  logLevel: debug',
    '```',
    '',
    '`--kubelet-config FILE` reads a `KubeletConfiguration`, and `--kubelet-config-dir DIR` the drop-ins that kubelet gets with',
    '`--config-dir`; either may stand alone. Only keys that the tables below name as kubelet’s count. Both are read as kubelet',
    'reads them: YAML 1.1, the first document, the last of two equal keys; `*.conf` of the folder and its sub-folders in lexical',
    'order, each merged over what came before (mappings are merged, lists replaced, `null` takes a key away). Where kubelet logs',
    'a warning there is one here too, in the log and in `--check-config`: a key that stands twice, a second document, a key that',
    'no `KubeletConfiguration` of Kubernetes 1.29 to 1.37 has (`ImageGCHighThresholdPercent`: kubelet tells upper from lower case).',
    'A value of the wrong kind is an error, as it is for kubelet.',
    '',
    '`--help` prints an app’s keys, `--check-config` its effective configuration with secrets redacted.',
    '',
    '## All apps',
    '',
    ...table(shared, false),
    ...definitions.flatMap((definition) => [
      '',
      `## ${definition.app}`,
      '',
      definition.summary,
      '',
      ...table(
        rows(definition).filter(({ yaml }) => !shared.some((row) => row.yaml === yaml)),
        true,
      ),
    ]),
    '',
    '## Traces',
    '',
    "OpenTelemetry's own variables, environment alone, the same for every app; nothing is sent while no endpoint is set. Values of",
    'headers are never logged.',
    '',
    '| variable | default | meaning |',
    '|---|---|---|',
    ...tracingVariables.map(
      ([names, text, meaning]) =>
        `| ${names.map((name) => `\`${name}\``).join(', ')} | ${cell(text)} | ${cell(meaning)} |`,
    ),
    '',
  ].join('\n');
}
