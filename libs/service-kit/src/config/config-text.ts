import {
  keyNames,
  type ConfigDefinition,
  type ConfigKeys,
  type ConfigOf,
  type DescribedConfig,
} from './define-config';
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

/** A key as a reader of a text about it finds it. */
export interface DescribedKey {
  readonly yaml: string;
  readonly env: string;
  readonly defaultText: string;
  readonly key: ConfigKey<unknown>;
}

/** The keys of an app, in the order of their definition. */
export function describeKeys(definition: DescribedConfig): DescribedKey[] {
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
  const optionsOf = (flag: string) =>
    Object.entries(definition.switchOptions).filter(([, option]) => option.of === flag);
  const usage = switches.map(([flag]) => {
    const options = optionsOf(flag).map(([name, { value }]) => ` [${name} ${value}]`);
    return ` [${flag}${options.join('')}]`;
  });
  const lines = [
    `${app}: ${definition.summary}`,
    '',
    `usage: ${app} [--config FILE] [--kubelet-config FILE] [--kubelet-config-dir DIR] [--check-config [--strict]]${usage.join('')}`,
    '',
    '  --config FILE          configuration file (default /etc/stowage/config.yaml where it exists)',
    "  --kubelet-config FILE  kubelet's KubeletConfiguration; keys marked with its key are read from it",
    "  --kubelet-config-dir DIR  drop-ins of kubelet's --config-dir (*.conf), merged over that file as kubelet does",
    '  --check-config         print the effective configuration, secrets redacted, and exit (0 or 78)',
    '  --strict               with --check-config: a warning, such as a misspelt variable, is an error (78)',
    ...switches.flatMap(([flag, does]) => [
      `  ${flag.padEnd(21)}  ${does}`,
      ...optionsOf(flag).map(([name, { value, does: meaning, key }]) => {
        const text = `${name} ${value}`.padEnd(21);
        return `  ${text}  with ${flag}: ${meaning} (${key.allowed})`;
      }),
    ]),
    '  --version              print the version and exit',
    '  --help                 print this and exit',
    '',
    'Later wins: defaults, KubeletConfiguration, configuration file, environment.',
    "Traces: OTEL_EXPORTER_OTLP_ENDPOINT and OpenTelemetry's other variables.",
    `In the file a key stands in the section "${app}:"; keys marked * also at the top, for all apps of the node.`,
    '',
  ];
  for (const { env, yaml, key, defaultText: text } of describeKeys(definition)) {
    lines.push(
      `${env}  (${yaml}${key.scope === 'node' ? '*' : ''}${key.kubelet === undefined ? '' : `, kubelet: ${key.kubelet.key}`})`,
      `    ${key.meaning}`,
      `    default: ${text}; allowed: ${key.allowed}`,
    );
  }
  return lines.join('\n');
}

/**
 * Text of --check-config: YAML that could stand in the configuration file, secrets redacted,
 * sources named.
 */
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
