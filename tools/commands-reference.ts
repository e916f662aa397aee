// Writes docs/reference/commands.md from the controllers of all apps: `node tools/run-ts.mjs tools/commands-reference.ts [OUT]`.
import 'reflect-metadata';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  appNames,
  describeCommands,
  type DescribedCommand,
  type DescribedConfig,
} from '@stowage/service-kit';
import prettier from 'prettier';

const root = path.resolve(__dirname, '..');
const out = path.resolve(process.argv[2] ?? root);

interface AppCommands {
  app: string;
  commands: DescribedCommand[];
  /** Verbs that are answered unless configured otherwise. */
  answered: readonly string[];
}

async function commandsOf(app: string): Promise<AppCommands> {
  const source = async (name: string): Promise<Record<string, unknown>> =>
    (await import(pathToFileURL(path.join(root, 'apps', app, 'src', name)).href)) as Record<
      string,
      unknown
    >;
  const { CommandsController } = await source('commands.controller.ts');
  const { config } = await source('config.ts');
  const answered: unknown = (config as DescribedConfig).keys.commands?.default;
  return {
    app,
    commands: describeCommands(CommandsController as { prototype: object }),
    answered: answered as readonly string[],
  };
}

const cell = (text: string) => text.replaceAll('|', '\\|');

const introduction = `# Commands

Written by \`npm run gen\` from the controllers and their schemas; do not edit.

Request and reply on NATS: subject \`stowage.cmd.<node>.<app>.<verb>\` (the node name's dots are \`_\`), a JSON object as request, empty for \`{}\`. The reply is
\`{"ok":true,"result":…}\` or \`{"ok":false,"error":{"code":…,"message":…}}\` with a gRPC code name; [errors](errors.md) lists them.

- A service answers commands to its own node and to no other; where none is there the server says so (no responders).
- Which verbs are answered is the key \`commands\` (\`STOWAGE_COMMANDS\`); another one that exists gets PERMISSION_DENIED, one that does not UNIMPLEMENTED.
- A request is checked before anything is done: an unknown key, one that is missing or a value out of range is INVALID_ARGUMENT.
- A command that takes longer than its limit gets DEADLINE_EXCEEDED. Callers set a limit of their own beside it (\`nats request --timeout\`).
- A service begins 100 commands at once and then 100 a second. At most 64 run or wait; more get RESOURCE_EXHAUSTED at once, and so does a result larger than a NATS message.
- Refused and failed commands are counted in \`stowage_commands_total\`. Of each verb and code five a minute are logged, and how many more there were.
- Who may send commands: the role operator of [deploy/nats](../../deploy/nats/README.md).
`;

function section({ app, commands, answered }: AppCommands): string {
  const rows = commands.map(({ verb, does = '', limitMs }) => {
    const limit = limitMs === undefined ? 'its own' : `${limitMs / 1000} s`;
    const isAnswered = answered.includes(verb) ? 'yes' : 'no';
    return `| [\`${app}.${verb}\`](#${app}${verb}) | ${isAnswered} | ${limit} | ${cell(does)} |`;
  });
  return [
    `## ${app}\n`,
    '| command | answered by default | limit | does |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    ...commands.map((command) => details(app, command)),
  ].join('\n');
}

function details(app: string, { verb, fields, answers = '' }: DescribedCommand): string {
  const table = [
    '| key | type | required | meaning |',
    '| --- | --- | --- | --- |',
    ...fields.map(
      ({ name, type, isRequired, meaning }) =>
        `| \`${name}\` | ${cell(type)} | ${isRequired ? 'yes' : 'no'} | ${cell(meaning)} |`,
    ),
  ];
  return [
    `### ${app}.${verb}\n`,
    ...(fields.length === 0 ? ['No keys.'] : table),
    '',
    `Result: ${answers}.`,
    '',
  ].join('\n');
}

async function main(): Promise<void> {
  const apps = appNames.filter((app) =>
    existsSync(path.join(root, 'apps', app, 'src', 'commands.controller.ts')),
  );
  const sections = (await Promise.all(apps.map(commandsOf))).map(section);
  const file = path.join(out, 'docs/reference/commands.md');
  const options = await prettier.resolveConfig(path.join(root, 'docs/reference/commands.md'));
  const text = [introduction, ...sections].join('\n');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, await prettier.format(text, { ...options, filepath: file }));
}

void main();
