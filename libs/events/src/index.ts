export {
  eventCatalog,
  eventDefinition,
  eventNames,
  isEventName,
  type EventData,
  type EventName,
} from './catalog';
export type { EventDefinition, EventPublisher } from './define-event';
export {
  assertEventData,
  cloudEventContentType,
  cloudEventSchema,
  createEvent,
  EventFormatError,
  eventSource,
  eventType,
  parseEvent,
  sequenceText,
  type CloudEvent,
  type EventAttributes,
  type EventErrorCode,
  type StowageEvent,
} from './envelope';
export {
  boundedText,
  maxCredentialProblems,
  maxListedImages,
  maxMessageLength,
  type Open,
} from './fields';
export {
  parseNatsServer,
  splitNatsServers,
  withoutNatsLogin,
  type NatsServer,
} from './nats-server';
export {
  checkAppName,
  checkNodeName,
  commandSubject,
  eventFilter,
  eventSubject,
  eventSubjectPrefix,
  nodeOfToken,
  parseEventSubject,
  streamName,
  streamSubjects,
  SubjectError,
  subjectToken,
  type ParsedEventSubject,
} from './subjects';
