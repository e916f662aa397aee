import { describeKeys, type DescribedConfig, type DescribedKey } from '@stowage/service-kit';
import { bold, entry, heading, paragraph, seeAlso, subHeading, title, verbatim } from './man-text';
import type { StowctlCommand, StowctlFlag } from './stowctl';

/** What every page says in its head and foot. */
export interface Edition {
  readonly version: string;
  /** As in 2026-11-29. */
  readonly date: string;
}

export const serviceNames = (definitions: readonly DescribedConfig[]): string[] =>
  definitions.map(({ app }) => `stowage-${app}(8)`);

/** stowctl(1), from the table of commands. */
export function stowctlPage(
  commands: readonly StowctlCommand[],
  { reach, output }: { reach: readonly StowctlFlag[]; output: readonly StowctlFlag[] },
  edition: Edition,
): string {
  return page([
    title('stowctl', 1, edition),
    heading('Name'),
    'stowctl \\- asks the services of Stowage, and has them work',
    heading('Synopsis'),
    bold('stowctl'),
    '.I COMMAND',
    '[flags]',
    heading('Description'),
    paragraph(
      'Asks the services of this node through their local sockets, as root, or those of other nodes over NATS.',
    ),
    heading('Commands'),
    ...commands.flatMap(({ name, summary, details = [], args = [], flags = [] }) => {
      const words = args.map((arg) => (arg.isOptional === true ? `[${arg.name}]` : arg.name));
      return [
        subHeading(['stowctl', name, ...words].join(' ')),
        paragraph(summary),
        ...(details.length > 0 ? [paragraph(details.join(' '))] : []),
        ...flags.map(flagEntry),
      ];
    }),
    heading('Flags of commands that ask services'),
    ...reach.map(flagEntry),
    heading('Flags of all commands'),
    ...output.map(flagEntry),
    entry('--version', 'print the version'),
    heading('Exit status'),
    entry('0', 'done'),
    entry('1', 'failed on a node, or what was asked for is not there; doctor found something'),
    entry('64', 'wrong command line'),
    entry('130', 'interrupted'),
    paragraph('check ends with 0, 1 (warnings), 2 (critical) or 3 (nothing could be asked).'),
    heading('Environment'),
    entry('NO_COLOR', 'no colours when it is set'),
    entry('STOWCTL_CONTEXTS', 'the file of contexts'),
    heading('Files'),
    entry('~/.config/stowage/contexts.yaml', 'servers and logins under a name'),
    entry('/run/stowage/*.cmd.sock', 'sockets of the services of this node'),
    seeAlso(['stowage-config(5)', 'stowage-gc-worker(8)']),
  ]);
}

function flagEntry({ name, short, value, help, choices }: StowctlFlag): string {
  const names = `${short === undefined ? '' : `-${short}, `}--${name}`;
  const values = choices === undefined ? '' : ` (${choices.join(', ')})`;
  return entry(`${names}${value === undefined ? '' : ` ${value}`}`, `${help}${values}`);
}

/** stowage-config(5): the file, and the keys that all services have. */
export function configPage(definitions: readonly DescribedConfig[], edition: Edition): string {
  return page([
    title('stowage-config', 5, edition),
    heading('Name'),
    'stowage\\-config \\- configuration of the services of Stowage',
    heading('Description'),
    paragraph(
      'Sources, later wins: defaults, kubelet’s own files (--kubelet-config FILE, --kubelet-config-dir DIR), the configuration file (--config FILE, else /etc/stowage/config.yaml where it exists), environment. A wrong value ends the process with exit status 78 and one line that names the key, the value and what is allowed.',
    ),
    paragraph(
      'The file is YAML. It has one section for each service, named after it; the keys below may also stand at the top for every service of the node, and the section wins. Unknown keys are an error. Durations are written as in 90s, 2m or 1h30m, sizes as in 500M or 1Gi.',
    ),
    verbatim([
      'nodeName: worker-1',
      'natsServers: [nats://10.0.0.5:4222]',
      'gc-worker:',
      '  collect: shadow',
    ]),
    paragraph(
      'The services run as the user stowage: files that they read, such as credentials of NATS, have to be readable for that user.',
    ),
    heading('Keys of all services'),
    ...sharedKeys(definitions).map(keyEntry),
    heading('Files'),
    entry('/etc/stowage/config.yaml', 'the configuration; mode 0640, group stowage'),
    seeAlso(['stowctl(1)', ...serviceNames(definitions)]),
  ]);
}

/** stowage-<service>(8): what it is, its files and its own keys. */
export function servicePage(
  definition: DescribedConfig,
  definitions: readonly DescribedConfig[],
  edition: Edition,
): string {
  const { app, summary, switches } = definition;
  const shared = new Set(sharedKeys(definitions).map(({ yaml }) => yaml));
  const own = describeKeys(definition).filter(({ yaml }) => !shared.has(yaml));
  const others = serviceNames(definitions).filter((name) => name !== `stowage-${app}(8)`);
  return page([
    title(`stowage-${app}`, 8, edition),
    heading('Name'),
    `stowage\\-${app.replaceAll('-', '\\-')} \\- ${inOneLine(summary)}`,
    heading('Synopsis'),
    bold(`stowage-${app}.service`),
    '.PP',
    bold('/usr/lib/stowage/bin/node'),
    `.I /usr/lib/stowage/apps/${app}/main.js`,
    '[flags]',
    heading('Description'),
    paragraph(summary),
    heading('Flags'),
    entry('--config FILE', 'the configuration file'),
    entry('--kubelet-config FILE', "kubelet's configuration, of which some keys count here"),
    entry('--kubelet-config-dir DIR', "the folder of kubelet's drop-ins"),
    entry('--check-config', 'print the configuration that counts, without secrets, and end'),
    entry('--strict', 'with --check-config: a warning is an error'),
    ...Object.entries(switches).map(([flag, text]) => entry(flag, text)),
    entry('--help, --version', 'print the keys; the version'),
    heading('Keys'),
    paragraph('Besides those of all services, which stowage-config(5) has.'),
    ...own.map(keyEntry),
    heading('Exit status'),
    entry('0', 'stopped'),
    entry('1', 'the start failed, or the stop took too long'),
    entry('64', 'wrong command line'),
    entry('78', 'wrong configuration'),
    heading('Files'),
    entry('/etc/stowage/config.yaml', 'the configuration'),
    entry(`/var/lib/stowage/${app}/`, 'the state'),
    entry(`/run/stowage/${app}.cmd.sock`, 'commands, for root and the user of the service'),
    seeAlso(['stowctl(1)', 'stowage-config(5)', ...others]),
  ]);
}

/** The keys that every service has, with the same meaning. */
function sharedKeys(definitions: readonly DescribedConfig[]): DescribedKey[] {
  const [first, ...others] = definitions.map(describeKeys);
  return (first ?? []).filter(
    ({ yaml, key }) =>
      key.scope === 'node' && others.every((rows) => rows.some((row) => row.yaml === yaml)),
  );
}

function keyEntry({ yaml, env, key, defaultText }: DescribedKey): string {
  const kubelet = key.kubelet === undefined ? '' : ` Kubelet's ${key.kubelet.key}.`;
  return entry(
    `${yaml} (${env})`,
    `${key.meaning}${kubelet}`,
    `Default: ${defaultText}. Allowed: ${key.allowed}.`,
  );
}

const inOneLine = (summary: string): string =>
  summary.replace(/\.$/, '').replaceAll('’', "'").replaceAll('-', '\\-');

const page = (lines: readonly string[]): string => `${lines.join('\n')}\n`;
