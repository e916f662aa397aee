import type { EventData, EventName } from '@stowage/events';

/** Hands an event to the outbox. Never throws and never waits: events do not decide whether work goes on. */
export type Publish = <N extends EventName>(name: N, subject: string, data: EventData<N>) => void;

/** As {@link Publish} for many events of one kind; `time` is when it happened, where that is not now. */
export type PublishAll = <N extends EventName>(
  name: N,
  events: readonly {
    readonly subject: string;
    readonly data: EventData<N>;
    readonly time?: Date;
  }[],
) => void;
