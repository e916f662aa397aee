import { errorMessage } from '@stowage/errors';
import type { EventBus } from '@stowage/event-bus';
import { EventFormatError, type EventData, type EventName } from '@stowage/events';
import { currentTrace } from '@stowage/tracing';

/**
 * Hands an event to the outbox. Never throws and never waits: events do not decide whether work
 * goes on.
 */
export type Publish = <N extends EventName>(name: N, subject: string, data: EventData<N>) => void;

/**
 * As {@link Publish} for many events of one kind; `time` is when it happened, where that is not
 * now.
 */
export type PublishAll = <N extends EventName>(
  name: N,
  events: readonly {
    readonly subject: string;
    readonly data: EventData<N>;
    readonly time?: Date;
  }[],
) => void;

/** The way of events out of the worker. */
export interface EventPublisher {
  readonly publish: Publish;
  readonly publishAll: PublishAll;
  /** Sequence of the next event. */
  readonly nextSequence: () => number;
}

/**
 * Publishes on the bus. An event that breaks its own schema is a fault of this program: it is
 * logged and dropped, and where it is one of many the others go out all the same.
 */
export function busPublisher(
  bus: Pick<EventBus, 'publish' | 'publishAll' | 'nextSequence'>,
  log: { error(fields: object, message: string): void },
): EventPublisher {
  const publish: Publish = (name, subject, data) => {
    try {
      bus.publish(name, { subject, data, traceparent: currentTrace().traceparent });
    } catch (error) {
      log.error({ event: name, subject, reason: errorMessage(error) }, 'event not published');
    }
  };
  const publishAll: PublishAll = (name, events) => {
    if (events.length === 0) return;
    const { traceparent } = currentTrace();
    try {
      bus.publishAll(
        name,
        events.map((event) => ({ ...event, traceparent })),
      );
    } catch (error) {
      if (error instanceof EventFormatError) {
        for (const { subject, data } of events) publish(name, subject, data);
        return;
      }
      log.error(
        { event: name, count: events.length, reason: errorMessage(error) },
        'events not published',
      );
    }
  };
  return { publish, publishAll, nextSequence: () => bus.nextSequence() };
}
