export {
  consumeEvents,
  type ConsumeOptions,
  type EventDelivery,
  type EventGap,
} from './consume-events';
export { databaseCopy } from './database-copy';
export { deadLetterHeaders, type DeadLetterOptions } from './dead-letter';
export { EventTooLargeError, StateDirInUseError } from './errors';
export { instrumentEventBus } from './event-bus-metrics';
export { maxEventBytes, openEventBus } from './open-event-bus';
export type {
  BusLog,
  EventBus,
  EventBusOptions,
  EventBusStatus,
  NatsOptions,
  OutboxOptions,
  PublishedEvent,
  StreamOptions,
} from './types';
export { newUlid } from './ulid';
