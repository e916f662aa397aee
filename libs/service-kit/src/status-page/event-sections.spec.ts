import type { EventBus, EventBusStatus } from '@stowage/event-bus';
import { createEvent, eventDefinition } from '@stowage/events';
import { cellText } from '@stowage/status-view';
import { eventSections } from './event-sections';
import type { StatusSection } from './types';

const now = Date.parse('2026-11-20T22:00:00Z');
const since = new Date('2026-11-20T21:00:00Z');

const flowing: EventBusStatus = {
  ...{ isLocal: false, connected: true, since, isOnDisk: true },
  ...{ pending: 0, pendingBytes: 0, published: 7, dropped: 0, failures: 1 },
};

function sectionsOf(status: EventBusStatus, events: object[] = [], kept = events.length) {
  const recent: EventBus['recent'] = () => ({
    events: events as Record<string, unknown>[],
    next: kept,
    more: false,
    kept,
  });
  const { sections } = eventSections({ status: () => status, recent }, () => now);
  return sections({ signal: new AbortController().signal }) as readonly [
    StatusSection,
    StatusSection,
  ];
}

const factsOf = ({ facts = [] }: StatusSection): Record<string, string> =>
  Object.fromEntries(facts.map(([name, value]) => [name, cellText(value)]));
const rowsOf = ({ tables = [] }: StatusSection): string[][] =>
  tables.flatMap(({ rows }) => rows.map((row) => row.map(cellText)));

it.each<[string, Partial<EventBusStatus>, string]>([
  ['flow', {}, 'flow to NATS, for 1h'],
  [
    'wait',
    { connected: false, reason: 'CONNECTION_REFUSED' },
    'wait on this node for 1h: CONNECTION_REFUSED',
  ],
  ['stay', { isLocal: true }, 'stay on this node: the configuration names no NATS'],
])('events that %s', (_what, status, text) => {
  expect(factsOf(sectionsOf({ ...flowing, ...status })[0]).Events).toBe(text);
});

it('what waits and what was dropped is counted', () => {
  const oldestPendingAt = new Date(now - 90_000);
  const [delivery] = sectionsOf({
    ...flowing,
    ...{ pending: 3, pendingBytes: 2048, oldestPendingAt, dropped: 2 },
  });
  expect(factsOf(delivery)).toMatchObject({
    Delivered: '7 since the start, 1 attempts failed',
    Waiting: '3 (2.0 KiB), the oldest for 1m30s',
    Dropped: '2 since the start',
  });
});

it('the newest event is first, in words; one that cannot be read is there too', () => {
  const { subject, data } = eventDefinition('ImagePulled').example;
  const event = (sequence: number) =>
    createEvent(
      'ImagePulled',
      {
        id: `01KAJB5V1B3D5F7H9K1N3Q${String(sequence).padStart(4, '0')}`,
        ...{ node: 'worker-1', app: 'image-service', subject, sequence },
        time: new Date(now + sequence * 1000),
      },
      data as never,
    );
  const [, recent] = sectionsOf(flowing, [{ time: 'then', type: 'odd' }, event(1), event(2)], 40);
  const rows = rowsOf(recent);
  expect(rows.map(([time]) => time)).toEqual([
    '2026-11-20T22:00:02.000Z',
    '2026-11-20T22:00:01.000Z',
    'then',
  ]);
  expect(rows[0]?.[2]).toMatch(/^pulled registry\.example:5000\/team\/app:1\.4, 50\.0 MiB/);
  expect(rows[2]?.slice(1).join(' ')).toMatch(/^odd cannot be read: /);
  expect(recent.notes).toEqual(['The last 3 of 40 that are kept.']);
});

it('without events it says so', () => {
  const [, { tables: [table] = [] }] = sectionsOf(flowing);
  expect(table?.empty).toBe('This service has published no event yet.');
});
