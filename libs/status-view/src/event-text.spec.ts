import {
  createEvent,
  eventDefinition,
  eventNames,
  parseEvent,
  type EventData,
  type EventName,
  type StowageEvent,
} from '@stowage/events';
import { eventText } from './event-text';

const example = (name: EventName): StowageEvent => {
  const { publishers, example: given } = eventDefinition(name);
  const attributes = {
    ...{ id: '01KAJB5V1B3D5F7H9K1N3Q0001', node: 'worker-1', sequence: 1 },
    ...{ app: publishers[0] ?? 'gc-worker', subject: given.subject },
    time: new Date('2026-11-20T22:12:00Z'),
  };
  return parseEvent(
    JSON.stringify(createEvent(name, attributes, given.data as EventData<EventName>)),
  );
};

it.each(eventNames)('%s has words of its own', (name) => {
  const { text } = eventText(example(name));
  expect(text).not.toContain(name);
  expect(text).not.toMatch(/undefined|\[object|NaN/);
});

it.each<[StowageEvent, string]>([
  [
    example('ImagePulled'),
    'pulled registry.example:5000/team/app:1.4, 50.0 MiB in 2s with the credential from docker-config /var/lib/kubelet/config.json (sha256 3f1e0a5b7c9d) for pod shop/cart-0',
  ],
  [
    example('ImageRemoved'),
    'gc-worker removed registry.example:5000/team/old:0.9 (threshold), plan 01KAJB5V1B3D5F7H9K1N3Q5S7V, idle for 8d4h, freed 70.0 MiB',
  ],
  [
    example('ThresholdExceeded'),
    '/var/lib/containerd is 88 % full, over its high mark of bytes; 48.0 MiB to free',
  ],
])('in full: %#', (given, text) => {
  expect(eventText(given).text).toBe(text);
});
