import {
  eventDefinition,
  eventNames,
  eventSubjectPrefix,
  eventType,
  streamName,
  type EventName,
} from '../src';
import {
  dataSchema,
  envelopeSchema,
  exampleMessage,
  schemaFile,
  type JsonSchema,
} from './message-schema';

interface Row {
  field: string;
  type: string;
  required: boolean;
  description: string;
}

function typeText(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return 'one word of a closed list';
  if (schema.format === 'date-time') return 'RFC 3339 time';
  if (schema.type === 'array') return `list of ${typeText(schema.items ?? {})}`;
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') {
    return `map of ${typeText(schema.additionalProperties)}`;
  }
  return schema.type ?? 'any';
}

function rowsOf(schema: JsonSchema, prefix = ''): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const field = `${prefix}${name}`;
    const row = {
      field,
      type: typeText(inner),
      required: schema.required?.includes(name) ?? false,
      description: inner.description ?? '',
    };
    const below =
      inner.type === 'array'
        ? rowsOf(inner.items ?? {}, `${field}[].`)
        : rowsOf(inner, `${field}.`);
    return [row, ...below];
  });
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function table(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ field, type, required, description }) =>
      `| \`${field}\` | ${cell(type)} | ${required ? 'yes' : ''} | ${cell(description)} |`,
  );
  return ['| field | type | always | meaning |', '| --- | --- | --- | --- |', ...lines].join('\n');
}

const subjectOf = (name: EventName) => {
  const { entity, event } = eventDefinition(name);
  return `${entity}.${event}`;
};

const publishersOf = (name: EventName) =>
  eventDefinition(name)
    .publishers.map((app) => (app === 'any' ? 'every service' : app))
    .join(', ');

function section(name: EventName): string {
  const { description, subjectHolds } = eventDefinition(name);
  return [
    `## ${name}`,
    '',
    description,
    '',
    `Subject \`${eventSubjectPrefix}.<node>.${subjectOf(name)}\`, type \`${eventType(name)}\`, published by ${publishersOf(name)}. ` +
      `The attribute \`subject\` holds ${subjectHolds}. [JSON Schema](events/${schemaFile(name)})`,
    '',
    table(rowsOf(dataSchema(name))),
    '',
    '<details><summary>Example</summary>',
    '',
    '```json',
    JSON.stringify(exampleMessage(name), undefined, 2),
    '```',
    '',
    '</details>',
    '',
  ].join('\n');
}

/** The event reference for people, in Markdown. */
export function eventsPage(): string {
  const overview = eventNames.map(
    (name) =>
      `| [${name}](#${name.toLowerCase()}) | \`${subjectOf(name)}\` | ${publishersOf(name)} | ${cell(eventDefinition(name).description)} |`,
  );
  return [
    '# Events',
    '',
    '<!-- Written by `npm run gen` from libs/events; do not edit. -->',
    '',
    `CloudEvents 1.0, structured JSON, one event a NATS message, on \`${eventSubjectPrefix}.<node>.<entity>.<event>\` (dots of the node name become \`_\`). ` +
      `The JetStream stream \`${streamName}\` keeps them. The same contract for machines: [asyncapi.yaml](asyncapi.yaml) and a JSON Schema for each event in [events/](events/).`,
    '',
    '- Delivery is at least once and in order per source. A message delivered twice has the same `id`, which is also the `Nats-Msg-Id` header: de-duplicate by it.',
    '- `sequence` rises by one for each event of a source and survives restarts. A jump is a gap; [EventsDropped](#eventsdropped) has the reason. A fall to 1 means that the source lost its state directory.',
    '- Fields are only added. Ignore what you do not know, and keep a default branch for word lists: they may grow unless they are said to be closed. What would break a consumer becomes a new type `io.stowage.node.v2.…` beside the old one.',
    '- Byte counts are JSON numbers. Times are RFC 3339 with zone. Nothing here is a secret, an environment variable or a command line.',
    '- Events are hints: who needs certainty asks the runtime.',
    '',
    '| event | entity.event | published by | when |',
    '| --- | --- | --- | --- |',
    ...overview,
    '',
    '## Envelope',
    '',
    table(rowsOf(envelopeSchema())),
    '',
    ...eventNames.map(section),
  ].join('\n');
}
