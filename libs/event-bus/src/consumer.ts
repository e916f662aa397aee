// The exports of `@stowage/events/consumer` for other repositories: see libs/events/package.
export {
  consumeEvents,
  type ConsumeOptions,
  type EventDelivery,
  type EventGap,
} from './consume-events';
export type { EventConnection, NatsConnection3 } from './consumer-connection';
export { deadLetterHeaders, type DeadLetterOptions } from './dead-letter';
export type { BusLog } from './types';
