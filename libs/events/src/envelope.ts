import * as z from 'zod';
import {
  eventDefinition,
  eventNames,
  isEventName,
  type EventData,
  type EventName,
} from './catalog';
import { timestamp } from './fields';
import { checkAppName, checkNodeName } from './subjects';

/** Content type of an event message (CloudEvents structured mode). */
export const cloudEventContentType = 'application/cloudevents+json';

const typePrefix = 'io.stowage.node.v';
const sequenceDigits = 16;

/** CloudEvents `type` of an event, as in `io.stowage.node.v1.ImagePulled`. */
export function eventType(name: EventName): string {
  return `${typePrefix}${String(eventDefinition(name).version)}.${name}`;
}

/**
 * CloudEvents `source` of a service, as in `/nodes/worker-1/image-service`. Throws SubjectError.
 */
export function eventSource(node: string, app: string): string {
  return `/nodes/${checkNodeName(node)}/${checkAppName(app)}`;
}

/**
 * A sequence number in the form of the CloudEvents `sequence` extension: a string that sorts like
 * the number. 16 decimal digits, zero padded; `Number(text)` gives the number back.
 */
export function sequenceText(sequence: number): string {
  if (!Number.isSafeInteger(sequence) || sequence < 1) {
    throw new RangeError(`sequence ${String(sequence)} is not a positive safe integer`);
  }
  return String(sequence).padStart(sequenceDigits, '0');
}

/**
 * The envelope: CloudEvents 1.0 with the extensions `sequence` and, where there is a trace,
 * `traceparent`.
 */
export const cloudEventSchema = z
  .looseObject({
    specversion: z.literal('1.0').describe('CloudEvents version.'),
    id: z
      .string()
      .regex(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/, 'must be a ULID')
      .describe(
        'ULID; also the `Nats-Msg-Id` header. A message delivered twice has the same id: de-duplicate by it.',
      ),
    source: z
      .string()
      .regex(/^\/nodes\/[A-Za-z0-9.-]+\/[a-z][a-z0-9-]*$/, 'must be /nodes/<node>/<app>')
      .describe('Which service on which node: `/nodes/<node>/<app>`.'),
    type: z
      .string()
      .regex(
        /^io\.stowage\.node\.v[1-9]\d*\.[A-Z][A-Za-z]*$/,
        'must be io.stowage.node.v<n>.<Name>',
      )
      .describe('`io.stowage.node.v<version>.<Name>`.'),
    subject: z.string().min(1).describe('What the event is about, as in an image or container id.'),
    time: timestamp('When it happened (not when it was sent).'),
    datacontenttype: z.literal('application/json').describe('Content type of `data`.'),
    dataschema: z
      .string()
      .min(1)
      .describe('Where to find the schema of `data`. Not sent today.')
      .optional(),
    sequence: z
      .string()
      .regex(/^\d{16}$/, 'must be 16 decimal digits')
      .describe(
        'Rises by one for each event of a source, across restarts; 16 digits, zero padded, so that it sorts as text and as a number. A jump is a gap.',
      ),
    traceparent: z
      .string()
      .regex(/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}/, 'must be a W3C traceparent')
      .describe('W3C trace context of the call that caused the event.')
      .optional(),
    data: z.looseObject({}).describe('The event itself; `type` determines its schema.'),
  })
  .describe('CloudEvents 1.0 envelope, structured JSON.');

/** An event message as it stands on the wire, before JSON encoding. */
export interface CloudEvent {
  specversion: '1.0';
  id: string;
  source: string;
  type: string;
  subject: string;
  time: string;
  datacontenttype: 'application/json';
  sequence: string;
  traceparent?: string;
  data: object;
}

/** Why a message is not an event of this catalogue. */
export type EventErrorCode =
  /** Not JSON, or not a JSON object. */
  | 'EVENT_NOT_JSON'
  /** JSON, but not the envelope of design; `problems` name the attributes. */
  | 'EVENT_NOT_CLOUDEVENT'
  /** An event that this version of the catalogue does not know: skip it. */
  | 'EVENT_TYPE_UNKNOWN'
  /** The data do not satisfy the schema; `problems` name the fields. */
  | 'EVENT_DATA_INVALID';

/** A message or event data that do not satisfy the contract. */
export class EventFormatError extends Error {
  override readonly name = 'EventFormatError';
  readonly grpcStatus = 'INVALID_ARGUMENT';
  readonly retryable = false;

  constructor(
    readonly code: EventErrorCode,
    what: string,
    /** One line for each problem, as in `error.code: required`. */
    readonly problems: readonly string[],
    /** The envelope's id and type, where they could be read. */
    readonly event: { readonly id?: string; readonly type?: string } = {},
  ) {
    super(`${what}: ${problems.join('; ')}`);
  }
}

function problemLines(issues: readonly z.core.$ZodIssue[]): string[] {
  return issues.map((issue) => {
    const path = issue.path.map(String).join('.');
    const missing = issue.code === 'invalid_type' && issue.input === undefined;
    return `${path === '' ? '(whole)' : path}: ${missing ? 'required' : issue.message}`;
  });
}

/** Paths of fields that the schema does not name. */
function unnamedFields(schema: z.core.$ZodType, value: unknown, path: string): string[] {
  const { def } = schema as z.ZodType;
  if (def.type === 'optional') {
    return unnamedFields((def as z.core.$ZodOptionalDef).innerType, value, path);
  }
  if (def.type === 'array' && Array.isArray(value)) {
    const { element } = def as z.core.$ZodArrayDef;
    return value.flatMap((item: unknown, index) =>
      unnamedFields(element, item, `${path}${String(index)}.`),
    );
  }
  if (def.type === 'object' && typeof value === 'object' && value != null) {
    const { shape } = def as z.core.$ZodObjectDef;
    return Object.entries(value).flatMap(([key, field]: [string, unknown]) => {
      const inner = Object.hasOwn(shape, key) ? shape[key] : undefined;
      return inner === undefined
        ? [`${path}${key}`]
        : unnamedFields(inner, field, `${path}${key}.`);
    });
  }
  return [];
}

/**
 * Checks data before they are published: they must match the schema and contain no field that the
 * schema does not name (so that nothing reaches other services by accident). Throws
 * {@link EventFormatError}.
 */
export function assertEventData<N extends EventName>(name: N, data: EventData<N>): void {
  const schema = eventDefinition(name).data;
  const result = schema.safeParse(data, { reportInput: true });
  const problems = result.success
    ? unnamedFields(schema, data, '').map((field) => `${field}: not a field of this event`)
    : problemLines(result.error.issues);
  if (problems.length > 0) {
    throw new EventFormatError('EVENT_DATA_INVALID', `data of ${name}`, problems, {
      type: eventType(name),
    });
  }
}

/** What a publisher adds to the data of an event. */
export interface EventAttributes {
  /** ULID. */
  id: string;
  node: string;
  app: string;
  /** Sequence number within the source, from 1. */
  sequence: number;
  subject: string;
  /** When it happened. */
  time: Date;
  /** W3C trace context. */
  traceparent?: string;
}

/**
 * Puts data into the envelope. The data are taken as they are: check them with
 * {@link assertEventData}.
 */
export function createEvent<N extends EventName>(
  name: N,
  attributes: EventAttributes,
  data: EventData<N>,
): CloudEvent {
  return {
    specversion: '1.0',
    id: attributes.id,
    source: eventSource(attributes.node, attributes.app),
    type: eventType(name),
    subject: attributes.subject,
    time: attributes.time.toISOString(),
    datacontenttype: 'application/json',
    sequence: sequenceText(attributes.sequence),
    ...(attributes.traceparent === undefined ? {} : { traceparent: attributes.traceparent }),
    data: data,
  };
}

/** An event as a consumer sees it; `name` determines the type of `data`. */
export type StowageEvent<N extends EventName = EventName> = {
  [Name in N]: {
    name: Name;
    /** ULID; a message delivered twice has the same one. */
    id: string;
    /** `/nodes/<node>/<app>`. */
    source: string;
    node: string;
    app: string;
    subject: string;
    /** When it happened. */
    time: Date;
    /** Sequence within the source; rises by one. */
    sequence: number;
    traceparent?: string;
    data: EventData<Name>;
  };
}[N];

const decoder = new TextDecoder('utf-8', { fatal: true });

function nameOfType(type: string): EventName | undefined {
  const name = type.slice(type.lastIndexOf('.') + 1);
  return isEventName(name) && eventType(name) === type ? name : undefined;
}

/**
 * Reads an event message. Fields and attributes this version does not know are kept. Throws
 * {@link EventFormatError}; its `code` distinguishes an event type of a later version (skip it)
 * from a broken message.
 */
export function parseEvent(message: Uint8Array | string): StowageEvent {
  let json: unknown;
  try {
    json = JSON.parse(typeof message === 'string' ? message : decoder.decode(message));
  } catch (error) {
    throw new EventFormatError('EVENT_NOT_JSON', 'message', [
      error instanceof Error ? error.message : String(error),
    ]);
  }
  if (typeof json !== 'object' || json == null || Array.isArray(json)) {
    throw new EventFormatError('EVENT_NOT_JSON', 'message', ['is not a JSON object']);
  }
  const known = json as { id?: unknown; type?: unknown };
  const event = {
    ...(typeof known.id === 'string' ? { id: known.id } : {}),
    ...(typeof known.type === 'string' ? { type: known.type } : {}),
  };
  const envelope = cloudEventSchema.safeParse(json, { reportInput: true });
  if (!envelope.success) {
    const problems = problemLines(envelope.error.issues);
    throw new EventFormatError('EVENT_NOT_CLOUDEVENT', 'envelope', problems, event);
  }
  const { id, source, type, subject, time, sequence, traceparent, data } = envelope.data;
  const name = nameOfType(type);
  if (name === undefined) {
    throw new EventFormatError(
      'EVENT_TYPE_UNKNOWN',
      `event type ${type}`,
      [`not one of ${eventNames.map(eventType).join(', ')}`],
      event,
    );
  }
  const parsed = eventDefinition(name).data.safeParse(data, { reportInput: true });
  if (!parsed.success) {
    const problems = problemLines(parsed.error.issues);
    throw new EventFormatError('EVENT_DATA_INVALID', `data of ${name}`, problems, event);
  }
  const [, , node = '', app = ''] = source.split('/');
  return {
    name,
    id,
    source,
    node,
    app,
    subject,
    time: new Date(time),
    sequence: Number(sequence),
    ...(traceparent === undefined ? {} : { traceparent }),
    data: parsed.data,
  } as unknown as StowageEvent;
}
