// What `@stowage/events/consumer` offers outside this repository: see libs/events/package.
export { consumeEvents, type ConsumeOptions, type EventDelivery } from './consume-events';
export type { BusLog } from './types';
