import * as z from 'zod';
import {
  commandApps,
  commandLimitMs,
  commandsOf,
  type CommandApp,
  type CommandDefinition,
} from '../src';

interface JsonSchema {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly required?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

interface Row {
  readonly field: string;
  readonly type: string;
  readonly isAlways: boolean;
  readonly meaning: string;
}

const introduction = `# Commands

<!-- Written by \`npm run gen\` from libs/commands; do not edit. -->

Request and reply on NATS: subject \`stowage.cmd.<node>.<app>.<verb>\` (the node name's dots are \`_\`), a JSON object as request, empty for \`{}\`. The reply is
\`{"ok":true,"result":…}\` or \`{"ok":false,"error":{"code":…,"message":…}}\` with a gRPC code name; [errors](errors.md) lists them.

- A service answers commands to its own node and to no other; where none is there the server says so (no responders).
- Which verbs are answered is the key \`commands\` (\`STOWAGE_COMMANDS\`); another one that exists gets PERMISSION_DENIED, one that does not UNIMPLEMENTED. In the configuration file the list is read again when the file changes, and at SIGHUP; a file that is wrong is refused and the list stays.
- A request is checked before anything is done: an unknown key, one that is missing or a value out of range is INVALID_ARGUMENT.
- Fields of results are only added. Ignore what you do not know, and keep a default branch for words: their lists may grow.
- A command that takes longer than its limit gets DEADLINE_EXCEEDED. Callers set a limit of their own beside it (\`nats request --timeout\`).
- A service begins 100 commands at once and then 100 a second. At most 64 run or wait; more get RESOURCE_EXHAUSTED at once, and so does a result larger than a NATS message.
- Refused and failed commands are counted in \`stowage_commands_total\`. Of each verb and code five a minute are logged, and how many more there were.
- A request has one reply. What a command on the node can follow is published as events here: ImagePullProgress for \`image-service.pulls\`.
- Services are found by NATS's service discovery (\`$SRV.PING\`, \`$SRV.INFO\`, \`$SRV.STATS\`, also with \`.<name>\` and \`.<name>.<id>\`): name \`stowage-<app>\`, the node in \`metadata.node\`, its health (\`ok\`, \`degraded\`, \`down\`) in \`metadata.state\`, one endpoint for each verb that is answered, with how often, how long and how it went. \`nats micro list\` shows them.
- Who may send commands: the role operator of [deploy/nats](../../deploy/nats/README.md).

TypeScript programs send them with [\`sendCommand\`](../../libs/command-client/README.md), which checks both ways.

## On the node, without NATS

Every service answers the same commands on a socket of its own, \`/run/stowage/<app>.cmd.sock\` (key \`commandSocket\`), also while NATS is away. Root and the user of the service may use it, nobody else.

\`\`\`sh
curl --unix-socket /run/stowage/gc-worker.cmd.sock http://localhost/v1                        # who answers, health, verbs
curl --unix-socket /run/stowage/gc-worker.cmd.sock http://localhost/v1/plan -d '{"limit":10}' # POST: a command
curl -N --unix-socket /run/stowage/image-service.cmd.sock 'http://localhost/v1/pulls?follow' -d '{}' # a line for each new reply
\`\`\`

- The body is the request, the answer is the reply as on NATS, with the same codes and texts. The HTTP status goes with the code: 400 INVALID_ARGUMENT and OUT_OF_RANGE, 403 PERMISSION_DENIED, 404 NOT_FOUND, 409 ALREADY_EXISTS and ABORTED, 412 FAILED_PRECONDITION, 429 RESOURCE_EXHAUSTED, 499 CANCELLED, 501 UNIMPLEMENTED, 503 UNAVAILABLE, 504 DEADLINE_EXCEEDED, else 500.
- All verbs are answered there, also those that \`commands\` does not list. With \`localCommands: listed\` the list counts there too.
- A command that can be followed (below: follow) answers \`?follow\` with lines of JSON (\`application/x-ndjson\`): a reply as ever, then another one whenever it has changed, looked at twice a second. The last line before an end by the service has its error. Each look counts as a command in \`stowage_commands_total\`. At most 16 callers follow commands; one that takes nothing for 10 s is cut off.
- At most 32 connections, 16 commands that run or wait, requests of 1 MiB that arrive within 10 s, results of 64 MiB. A connection is for one command. One that ends early ends the wait, not the command.
- While the service starts, commands get UNAVAILABLE, and \`GET /v1\` is answered.

TypeScript programs use \`sendLocalCommand\`, \`followLocalCommand\` and \`askLocalService\` of the same client.
`;

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function section(app: CommandApp): string {
  const rows = commandsOf(app).map((command) => {
    const { verb, answered, description, follows } = command;
    const limitMs = commandLimitMs(command);
    const limit = limitMs === undefined ? 'its own' : `${limitMs / 1000} s`;
    const isAnswered = answered === 'by-default' ? 'yes' : 'no';
    const isFollowed = follows === true ? 'yes' : '';
    return `| [\`${app}.${verb}\`](#${app}${verb}) | ${isAnswered} | ${limit} | ${isFollowed} | ${cell(description)} |`;
  });
  return [
    `## ${app}\n`,
    '| command | answered by default | limit | follow | does |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
    ...commandsOf(app).map(details),
  ].join('\n');
}

function details({ app, verb, input, reply, example }: CommandDefinition): string {
  const keys = rowsOf(z.toJSONSchema(input, { io: 'input' }) as JsonSchema, boundedType);
  const request = JSON.stringify(example.input);
  const result = { ok: true, result: example.reply };
  return [
    `### ${app}.${verb}\n`,
    ...(keys.length === 0
      ? ['No keys.']
      : ['| key | type | required | meaning |', '| --- | --- | --- | --- |', ...keys.map(line)]),
    '',
    ...formsOf(z.toJSONSchema(reply) as JsonSchema).flatMap((form) => [
      form.description === undefined ? 'Result:' : `Result, ${lowerFirst(form.description)}`,
      '',
      '| field | type | always | meaning |',
      '| --- | --- | --- | --- |',
      ...rowsOf(form, typeText).map(line),
      '',
    ]),
    '<details><summary>Example</summary>',
    '',
    '```sh',
    `nats request stowage.cmd.worker-1.${app}.${verb} '${request}'`,
    '```',
    '',
    '```json',
    JSON.stringify(result, undefined, 2),
    '```',
    '',
    '</details>',
    '',
  ].join('\n');
}

const lowerFirst = (sentence: string) =>
  `${sentence.charAt(0).toLowerCase()}${sentence.slice(1).replace(/\.$/, '')}:`;

/** The forms that a result may have. */
const formsOf = (schema: JsonSchema): readonly JsonSchema[] => schema.anyOf ?? [schema];

const line = ({ field, type, isAlways, meaning }: Row) =>
  `| \`${field}\` | ${cell(type)} | ${isAlways ? 'yes' : 'no'} | ${cell(meaning)} |`;

function rowsOf(
  { properties = {}, required = [] }: JsonSchema,
  typeOf: (schema: JsonSchema) => string,
  prefix = '',
): Row[] {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const field = `${prefix}${key}`;
    const { value, isNullable } = withoutNull(schema);
    const row = {
      field,
      type: `${typeOf(value)}${isNullable ? ' or null' : ''}`,
      isAlways: required.includes(key),
      meaning: schema.description ?? value.description ?? '',
    };
    const below =
      value.type === 'array' && value.items?.type === 'object'
        ? rowsOf(value.items, typeOf, `${field}[].`)
        : rowsOf(value, typeOf, `${field}.`);
    return [row, ...below];
  });
}

function withoutNull(schema: JsonSchema): { value: JsonSchema; isNullable: boolean } {
  const [value, other] = schema.anyOf ?? [];
  return value !== undefined && other?.type === 'null'
    ? { value, isNullable: true }
    : { value: schema, isNullable: false };
}

/** The type of a key with what its value may be. */
function boundedType(schema: JsonSchema): string {
  const bounds = [
    range(schema.minimum ?? above(schema.exclusiveMinimum), schema.maximum, ''),
    range(schema.minLength, schema.maxLength, ' characters'),
    range(schema.minItems, schema.maxItems, ' entries'),
    schema.default === undefined ? '' : `default ${JSON.stringify(schema.default)}`,
  ].filter((text) => text !== '');
  return [typeText(schema), ...bounds].join(', ');
}

function typeText(schema: JsonSchema): string {
  const { type = 'any', items, additionalProperties } = schema;
  if (schema.enum !== undefined) return schema.enum.map(String).join(', ');
  if (schema.format === 'date-time') return 'RFC 3339 time';
  if (type === 'array' && items !== undefined) return `array of ${items.type ?? 'any'}`;
  if (type === 'object' && typeof additionalProperties === 'object') {
    return `map of ${additionalProperties.type ?? 'any'}`;
  }
  return type;
}

const above = (bound: number | undefined) => (bound === undefined ? undefined : bound + 1);

function range(min: number | undefined, max: number | undefined, unit: string): string {
  const isOpen = max === undefined || max === Number.MAX_SAFE_INTEGER;
  const from = min === undefined || min === Number.MIN_SAFE_INTEGER ? undefined : min;
  if (isOpen) return from === undefined ? '' : `${String(from)} or more${unit}`;
  return from === undefined
    ? `at most ${String(max)}${unit}`
    : `${String(from)} to ${String(max)}${unit}`;
}

/** The command reference for people, in Markdown. */
export function commandsPage(): string {
  return [introduction, ...commandApps.map(section)].join('\n');
}
