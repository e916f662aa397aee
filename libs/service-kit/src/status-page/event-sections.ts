import { errorMessage } from '@stowage/errors';
import type { EventBus } from '@stowage/event-bus';
import { parseEvent } from '@stowage/events';
import { ageText, eventText, sizeText, type Cell } from '@stowage/status-view';
import type { StatusSection, StatusSource } from './types';

/** Events that the page shows. */
const shownEvents = 50;

/** Delivery of events, and the last of them, the newest first. */
export const eventSections = (
  bus: Pick<EventBus, 'status' | 'recent'>,
  now: () => number,
): StatusSource => ({
  title: 'Events',
  place: 100,
  sections: () => [deliverySection(bus.status(), now()), recentSection(bus)],
});

function deliverySection(status: ReturnType<EventBus['status']>, now: number): StatusSection {
  const { isLocal, reason, since, published, pending, pendingBytes, dropped, failures } = status;
  const { oldestPendingAt } = status;
  const age = (time: Date) => ageText(time.toISOString(), now);
  const flow: Cell =
    reason !== undefined
      ? { text: `wait on this node for ${age(since)}: ${reason}`, tone: 'warning' }
      : isLocal
        ? 'stay on this node: the configuration names no NATS'
        : { text: `flow to NATS, for ${age(since)}`, tone: 'good' };
  const oldest = oldestPendingAt === undefined ? '' : `, the oldest for ${age(oldestPendingAt)}`;
  return {
    title: 'Events',
    facts: [
      ['Events', flow],
      ['Delivered', `${published} since the start, ${failures} attempts failed`],
      ['Waiting', `${pending} (${sizeText(pendingBytes)})${oldest}`],
      ['Dropped', dropped === 0 ? '0' : { text: `${dropped} since the start`, tone: 'bad' }],
    ],
  };
}

function recentSection(bus: Pick<EventBus, 'recent'>): StatusSection {
  const { events, kept } = bus.recent({ limit: shownEvents });
  return {
    title: 'Recent events',
    tables: [
      {
        columns: [{ title: 'TIME' }, { title: 'EVENT' }, { title: 'WHAT' }],
        rows: events.toReversed().map(eventRow),
        empty: 'This service has published no event yet.',
      },
    ],
    notes: kept > events.length ? [`The last ${events.length} of ${kept} that are kept.`] : [],
  };
}

/** An event in words; one that this version cannot read is in the ring all the same. */
function eventRow(json: Readonly<Record<string, unknown>>): Cell[] {
  try {
    const event = parseEvent(JSON.stringify(json));
    const { text, tone } = eventText(event);
    return [event.time.toISOString(), { text: event.name, tone }, text];
  } catch (error) {
    const { time, type } = json;
    return [String(time), String(type), `cannot be read: ${errorMessage(error)}`];
  }
}
