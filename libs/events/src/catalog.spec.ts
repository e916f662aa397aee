import { CloudEvent as SdkCloudEvent, HTTP } from 'cloudevents';
import {
  assertEventData,
  createEvent,
  eventDefinition,
  EventFormatError,
  eventNames,
  eventType,
  parseEvent,
  type EventName,
} from './index';

const attributes = {
  id: '01KAJB3P8Q4S6T8V0W2X4Y6Z8A',
  node: 'worker-1.example.net',
  app: 'image-service',
  sequence: 42,
  time: new Date('2026-11-20T22:12:02.140Z'),
};

const exampleOf = (name: EventName) => eventDefinition(name).example;

const messageOf = (name: EventName, data: object = exampleOf(name).data) =>
  createEvent(name, { ...attributes, subject: exampleOf(name).subject }, data as never);

const problemsOf = (run: () => unknown): readonly string[] => {
  try {
    run();
  } catch (error) {
    if (error instanceof EventFormatError) return [error.code, ...error.problems];
    throw error;
  }
  return [];
};

/** Required fields of the data at top level, found by asking the schema for an empty object. */
const requiredFields = (name: EventName) =>
  problemsOf(() => parseEvent(JSON.stringify(messageOf(name, {}))))
    .slice(1)
    .map((problem) => problem.replace(': required', ''));

describe('the catalogue', () => {
  it('holds the events of the design and no two on one subject', () => {
    expect(eventNames).toHaveLength(27);
    const subjects = eventNames.map((name) => {
      const { entity, event } = eventDefinition(name);
      return `${entity}.${event}`;
    });
    expect(new Set(subjects).size).toBe(eventNames.length);
    expect(subjects.every((subject) => /^[a-z]+\.[a-z]+(-[a-z]+)*$/.test(subject))).toBe(true);
  });

  it.each(eventNames)('%s: the definition stands under its own name', (name) => {
    expect(eventDefinition(name).name).toBe(name);
  });

  it.each(eventNames)('%s: the example may be published and is read back unchanged', (name) => {
    const { data, subject } = exampleOf(name);
    expect(problemsOf(() => assertEventData(name, data as never))).toEqual([]);
    const event = parseEvent(new TextEncoder().encode(JSON.stringify(messageOf(name))));
    expect(event).toEqual({
      name,
      id: attributes.id,
      source: '/nodes/worker-1.example.net/image-service',
      node: 'worker-1.example.net',
      app: 'image-service',
      subject,
      time: attributes.time,
      sequence: 42,
      data,
    });
  });

  it.each(eventNames)('%s: the message is a valid CloudEvent to the CloudEvents SDK', (name) => {
    const message = messageOf(name);
    const event = new SdkCloudEvent(message as never, true);
    expect(event.validate()).toBe(true);
    const read = HTTP.toEvent({
      headers: { 'content-type': 'application/cloudevents+json' },
      body: JSON.stringify(message),
    }) as SdkCloudEvent<unknown>;
    expect(JSON.parse(JSON.stringify(read))).toEqual(JSON.parse(JSON.stringify(message)));
    expect(read.type).toBe(eventType(name));
  });

  it.each(eventNames)('%s: a consumer accepts and keeps fields it does not know', (name) => {
    const data = { ...exampleOf(name).data, addedLater: { deep: [1] } };
    const message = { ...messageOf(name, data), addedattribute: 'x' };
    expect(parseEvent(JSON.stringify(message)).data).toEqual(data);
  });

  it.each(eventNames)('%s: a missing required field is named', (name) => {
    for (const field of requiredFields(name)) {
      const data = Object.fromEntries(
        Object.entries(exampleOf(name).data).filter(([key]) => key !== field),
      );
      expect(problemsOf(() => parseEvent(JSON.stringify(messageOf(name, data))))).toEqual([
        'EVENT_DATA_INVALID',
        `${field}: required`,
      ]);
    }
    expect(requiredFields(name).length).toBeGreaterThan(0);
  });
});

describe('what may be published', () => {
  const pulled = exampleOf('ImagePulled').data;
  const collected = exampleOf('GarbageCollected').data;
  it.each<[string, EventName, object, string[]]>([
    [
      'a field the schema does not name',
      'ImagePulled',
      { ...pulled, password: 'x' },
      ['password: not a field of this event'],
    ],
    [
      'such a field further down',
      'ImagePulled',
      { ...pulled, credential: { source: 'request', token: 'x' } },
      ['credential.token: not a field of this event'],
    ],
    [
      'such a field in a list',
      'GarbageCollected',
      { ...collected, removed: [{ ...(collected.removed as object[])[0], x: 1 }] },
      ['removed.0.x: not a field of this event'],
    ],
    [
      'bytes as bigint',
      'ImagePulled',
      { ...pulled, sizeBytes: 10n },
      ['sizeBytes: Invalid input: expected number, received bigint'],
    ],
    [
      'bytes beyond the safe integers',
      'ImagePulled',
      { ...pulled, sizeBytes: 2 ** 53 },
      ['sizeBytes: Too big: expected int to be <=9007199254740991'],
    ],
    [
      'a fraction of a millisecond',
      'ImagePulled',
      { ...pulled, durationMs: 1.5 },
      ['durationMs: Invalid input: expected int, received number'],
    ],
    [
      'a time without zone',
      'ImagePulled',
      { ...pulled, holdUntil: '2026-11-20T22:12:00' },
      ['holdUntil: must be an RFC 3339 time with zone'],
    ],
    [
      'a credential hash that is not SHA-256 in hex',
      'ImagePulled',
      { ...pulled, credential: { source: 'request', hash: 'hunter2' } },
      ['credential.hash: must be 64 lower-case hex digits'],
    ],
    [
      'a gRPC status that does not exist',
      'ImagePullFailed',
      {
        ...exampleOf('ImagePullFailed').data,
        error: { code: 'unknown', grpcStatus: 'TEAPOT', message: '' },
      },
      [expect.stringMatching(/^error\.grpcStatus: Invalid option: expected one of "CANCELLED"/)],
    ],
    [
      'a missing field further down',
      'ThresholdExceeded',
      { ...exampleOf('ThresholdExceeded').data, filesystem: { mountpoint: '/' } },
      [
        'filesystem.capacityBytes: required',
        'filesystem.availableBytes: required',
        'filesystem.usedPercent: required',
      ],
    ],
  ])('%s is refused and named', (_case, name, data, problems) => {
    expect(problemsOf(() => assertEventData(name, data as never))).toEqual([
      'EVENT_DATA_INVALID',
      ...problems,
    ]);
  });

  it('a word outside the known ones, counts by any key and absent optional fields pass', () => {
    const data = {
      ...collected,
      trigger: 'schedule',
      askedBytes: undefined,
      keptByReason: { 'a-rule-of-tomorrow': 3 },
    };
    expect(problemsOf(() => assertEventData('GarbageCollected', data as never))).toEqual([]);
  });
});

describe('what is read', () => {
  const message = messageOf('RuntimeUnavailable');
  it.each<[string, string | Uint8Array, string, string]>([
    ['text that is not JSON', '{"id":', 'EVENT_NOT_JSON', 'message: '],
    ['a JSON list', '[]', 'EVENT_NOT_JSON', 'message: is not a JSON object'],
    ['null', 'null', 'EVENT_NOT_JSON', 'message: is not a JSON object'],
    ['bytes that are not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 'EVENT_NOT_JSON', 'message: '],
    [
      'JSON that is no CloudEvent',
      '{}',
      'EVENT_NOT_CLOUDEVENT',
      'envelope: specversion: Invalid input: expected "1.0"; id: required; source: required',
    ],
    [
      'another sequence form',
      JSON.stringify({ ...message, sequence: 42 }),
      'EVENT_NOT_CLOUDEVENT',
      'envelope: sequence: Invalid input: expected string, received number',
    ],
    [
      'an id that is no ULID',
      JSON.stringify({ ...message, id: '../../etc/passwd' }),
      'EVENT_NOT_CLOUDEVENT',
      'envelope: id: must be a ULID',
    ],
    [
      'a later version of an event',
      JSON.stringify({ ...message, type: 'io.stowage.node.v2.ImagePulled' }),
      'EVENT_TYPE_UNKNOWN',
      'event type io.stowage.node.v2.ImagePulled: not one of io.stowage.node.v1.ImagePullStarted, ',
    ],
    [
      'an event of a later release',
      JSON.stringify({ ...message, type: 'io.stowage.node.v1.ImageMelted' }),
      'EVENT_TYPE_UNKNOWN',
      'event type io.stowage.node.v1.ImageMelted: not one of ',
    ],
    [
      'a name that every object has',
      JSON.stringify({ ...message, type: 'io.stowage.node.v1.Object' }),
      'EVENT_TYPE_UNKNOWN',
      'event type io.stowage.node.v1.Object: not one of ',
    ],
    [
      'data of another event',
      JSON.stringify({ ...message, data: exampleOf('ImagePulled').data }),
      'EVENT_DATA_INVALID',
      'data of RuntimeUnavailable: endpoint: required; unavailableSince: required; reason: required',
    ],
  ])('%s is refused with a code and a message', (_case, bytes, code, start) => {
    let thrown: unknown;
    try {
      parseEvent(bytes);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(EventFormatError);
    const error = thrown as EventFormatError;
    expect(error.code).toBe(code);
    expect(error.message.startsWith(start)).toBe(true);
  });

  it('says which event it was where that can be read', () => {
    const broken = JSON.stringify({ ...message, data: {} });
    expect(() => parseEvent(broken)).toThrow(
      expect.objectContaining({ event: { id: attributes.id, type: message.type } }) as Error,
    );
  });

  it('carries the trace context', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    expect(parseEvent(JSON.stringify({ ...message, traceparent })).traceparent).toBe(traceparent);
  });

  it('determines the type of the data by the name', () => {
    const event = parseEvent(JSON.stringify(message));
    if (event.name !== 'RuntimeUnavailable') throw new Error('another event');
    const { endpoint }: { endpoint: string } = event.data;
    expect(endpoint).toBe('unix:///run/containerd/containerd.sock');
  });
});
