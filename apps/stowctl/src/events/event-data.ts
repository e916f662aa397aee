import type { StowageEvent } from '@stowage/events';

/** An event for programs: what the envelope says, under the names of this tool. */
export function eventData(event: StowageEvent): object {
  const { id, name, node, app, subject, time, sequence, data } = event;
  return { id, name, node, app, subject, time: time.toISOString(), sequence, data };
}
