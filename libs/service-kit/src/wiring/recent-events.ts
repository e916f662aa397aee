import type { CheckedInput, CommandAnswer, gcWorker } from '@stowage/commands';
import { InvalidArgumentError } from '@stowage/errors';
import type { EventBus } from '@stowage/event-bus';
import { eventNames, eventType, type EventName } from '@stowage/events';

/** The command `events`, which is the same for every service that publishes. */
type Events = typeof gcWorker.events;

/** Answers the command `events` from the ring of the bus. */
export function recentEvents(
  bus: Pick<EventBus, 'recent'>,
  { since, types, ...query }: CheckedInput<Events>,
): CommandAnswer<Events> {
  const { oldest, ...found } = bus.recent({
    ...query,
    since: since === undefined ? undefined : new Date(since),
    names: types?.map(nameOf),
  });
  return { ...found, events: [...found.events], oldest: oldest?.toISOString() };
}

function nameOf(type: string): EventName {
  const name = eventNames.find((known) => type === known || type === eventType(known));
  if (name !== undefined) return name;
  throw new InvalidArgumentError('types', type, `names of events, as in ${eventNames.join(', ')}`);
}
