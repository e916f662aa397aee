export { consumeEvents, type ConsumeOptions, type EventDelivery } from './consume-events';
export { EventTooLargeError, StateDirInUseError, StateDirUnusableError } from './errors';
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
