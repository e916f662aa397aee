import * as z from 'zod';
import {
  cloudEventSchema,
  createEvent,
  eventDefinition,
  eventType,
  type CloudEvent,
  type EventName,
} from '../src';

/** The keywords of JSON Schema draft-07 that the generated schemas use. */
export interface JsonSchema {
  $schema?: string;
  title?: string;
  description?: string;
  type?: string;
  const?: unknown;
  enum?: unknown[];
  format?: string;
  pattern?: string;
  examples?: unknown[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  additionalProperties?: JsonSchema | boolean;
  [keyword: string]: unknown;
}

const draft = 'http://json-schema.org/draft-07/schema#';

function toJsonSchema(schema: z.ZodType): JsonSchema {
  const json = z.toJSONSchema(schema, { target: 'draft-7', io: 'input' }) as JsonSchema;
  return tidy(json) as JsonSchema;
}

/** `additionalProperties: {}` says the same as leaving it out. */
function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidy);
  if (typeof value !== 'object' || value == null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => {
        if (key === '$schema') return false;
        const isEmpty = typeof inner === 'object' && Object.keys(inner as object).length === 0;
        return !(key === 'additionalProperties' && isEmpty);
      })
      .map(([key, inner]) => [key, key === 'examples' ? (inner as unknown) : tidy(inner)]),
  );
}

/** Schema of the `data` of an event. */
export function dataSchema(name: EventName): JsonSchema {
  return toJsonSchema(eventDefinition(name).data);
}

/** Schema of the envelope alone. */
export function envelopeSchema(): JsonSchema {
  return toJsonSchema(cloudEventSchema);
}

/** File name of an event's schema, as in `image-pulled.v1.json`. */
export function schemaFile(name: EventName): string {
  const kebab = name.replace(/(?<=.)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
  return `${kebab}.v${String(eventDefinition(name).version)}.json`;
}

/** A whole message with the event's example data. */
export function exampleMessage(name: EventName): CloudEvent {
  const { example, publishers } = eventDefinition(name);
  const [publisher] = publishers;
  return createEvent(
    name,
    {
      id: '01KAJB3P8Q4S6T8V0W2X4Y6Z8A',
      node: 'worker-1.example.net',
      app: publisher === undefined || publisher === 'any' ? 'runtime-gateway' : publisher,
      sequence: 600,
      subject: example.subject,
      time: new Date('2026-11-20T22:12:02.140Z'),
    },
    example.data as never,
  );
}

/** Schema of a whole message: the envelope with this event's type and data. */
export function messageSchema(name: EventName): JsonSchema {
  const { description, subjectHolds } = eventDefinition(name);
  const envelope = envelopeSchema();
  return {
    $schema: draft,
    title: name,
    description,
    type: 'object',
    properties: {
      ...envelope.properties,
      type: { type: 'string', const: eventType(name), description: 'Event type.' },
      subject: { type: 'string', minLength: 1, description: `Holds ${subjectHolds}.` },
      data: { description: 'The event itself.', ...dataSchema(name) },
    },
    required: envelope.required ?? [],
    examples: [exampleMessage(name)],
  };
}
