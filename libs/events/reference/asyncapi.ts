import {
  eventDefinition,
  eventNames,
  eventSubjectPrefix,
  cloudEventContentType,
  streamName,
  type EventName,
} from '../src';
import { envelopeSchema, exampleMessage, messageSchema } from './message-schema';

function channel(name: EventName) {
  const { entity, event, description } = eventDefinition(name);
  return {
    address: `${eventSubjectPrefix}.{node}.${entity}.${event}`,
    title: name,
    description,
    parameters: { node: { $ref: '#/components/parameters/node' } },
    messages: { [name]: { $ref: `#/components/messages/${name}` } },
  };
}

function operation(name: EventName) {
  const { description, publishers, entity } = eventDefinition(name);
  const by = publishers.map((app) => (app === 'any' ? 'any Stowage service' : app)).join(', ');
  return {
    action: 'send',
    channel: { $ref: `#/channels/${name}` },
    title: `Publish ${name}`,
    summary: description,
    description: `Published by ${by}.`,
    tags: [{ name: entity }],
    messages: [{ $ref: `#/channels/${name}/messages/${name}` }],
  };
}

function message(name: EventName) {
  const { description } = eventDefinition(name);
  return {
    name,
    title: name,
    summary: description,
    contentType: cloudEventContentType,
    headers: { $ref: '#/components/schemas/Headers' },
    payload: { $ref: `#/components/schemas/${name}` },
    examples: [
      {
        name: 'typical',
        headers: { 'Nats-Msg-Id': exampleMessage(name).id, 'Content-Type': cloudEventContentType },
        payload: exampleMessage(name),
      },
    ],
  };
}

/** The envelope with what this event says of it. */
function payloadSchema(name: EventName) {
  const { title, description, properties } = messageSchema(name);
  const { type, subject, data } = properties ?? {};
  return {
    title,
    description,
    allOf: [
      { $ref: '#/components/schemas/Envelope' },
      { type: 'object', properties: { type, subject, data } },
    ],
  };
}

const each = <T>(of: (name: EventName) => T): Record<string, T> =>
  Object.fromEntries(eventNames.map((name) => [name, of(name)]));

/** The AsyncAPI 3 document of all events, from the publishers' side. */
export function asyncApiDocument() {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Stowage node events',
      version: '1.0.0',
      description:
        `The events that the Stowage services on a node publish: CloudEvents 1.0 as structured JSON on NATS, ` +
        `kept by the JetStream stream ${streamName}. Delivery is at least once and in order per source; ` +
        `de-duplicate by \`id\`. Written from the schemas in libs/events.`,
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: cloudEventContentType,
    servers: {
      nats: {
        host: '127.0.0.1:4222',
        protocol: 'nats',
        description: `NATS with JetStream; the stream ${streamName} holds ${eventSubjectPrefix}.>.`,
      },
    },
    channels: each(channel),
    operations: each(operation),
    components: {
      parameters: {
        node: {
          description:
            'Node name with dots replaced by `_`, which cannot stand in a node name: `worker-1.example.net` is `worker-1_example_net`.',
          examples: ['worker-1_example_net'],
        },
      },
      messages: each(message),
      schemas: {
        Headers: {
          type: 'object',
          properties: {
            'Nats-Msg-Id': { type: 'string', description: 'The event id (ULID).' },
            'Content-Type': { type: 'string', const: cloudEventContentType },
          },
          required: ['Nats-Msg-Id'],
        },
        Envelope: envelopeSchema(),
        ...each(payloadSchema),
      },
    },
  };
}
