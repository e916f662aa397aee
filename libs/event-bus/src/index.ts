export {
  consumeEvents,
  type ConsumeOptions,
  type EventDelivery,
  type EventGap,
} from './consume-events';
export type { EventConnection, NatsConnection3 } from './consumer-connection';
export { deadLetterHeaders, type DeadLetterOptions } from './dead-letter';
export { EventTooLargeError, StateDirInUseError, StateDirUnusableError } from './errors';
export { instrumentEventBus } from './event-bus-metrics';
export { checkEventBus, checkStateDir, maxEventBytes, openEventBus } from './open-event-bus';
export { openEventBusWhenFree } from './open-when-free';
export type {
  BusLog,
  EventBus,
  EventBusOptions,
  EventBusStatus,
  NatsOptions,
  OutboxOptions,
  PublishedEvent,
  RecentEvents,
  RecentEventsQuery,
  StreamOptions,
} from './types';
export { newUlid } from './ulid';
