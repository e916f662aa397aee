import {
  createEvent,
  eventDefinition,
  eventNames,
  parseEvent,
  type EventName,
} from '@stowage/events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describeEvent, size } from './describe-event';

const eventOf = (name: EventName, change: object = {}) => {
  const { subject, data } = eventDefinition(name).example;
  const attributes = {
    id: '01KAJB3P8Q4S6T8V0W2X4Y6Z8A',
    node: 'worker-1',
    app: 'image-service',
    sequence: 1,
    subject,
    time: new Date(),
  };
  return parseEvent(JSON.stringify(createEvent(name, attributes, { ...data, ...change } as never)));
};

describe('one line an event', () => {
  it.each<[EventName, string]>([
    [
      'ImagePulled',
      'pulled registry.example:5000/team/app:1.4: 50.0 MiB in 2.14 s, credential docker-config',
    ],
    [
      'ThresholdExceeded',
      '/var/lib/containerd is at 88 % bytes, over the high mark of 85 %: 48.0 MiB to free',
    ],
    [
      'GarbageCollected',
      'collected 1 images in 0.83 s: 100.0 MiB expected, 70.0 MiB measured; kept 4 in-use, 1 pinned, 1 min-age, 1 enough-freed',
    ],
    ['ImagePullProgress', 'pull of registry.example:5000/team/app:1.4: 25.0 MiB, 50 %'],
    ['ContainerStopped', 'container cart-0/cart c0ffee1c9f9c stopped, exit code 137'],
  ])('%s', (name, line) => {
    expect(describeEvent(eventOf(name))).toBe(line);
  });

  it('has one case for each event', () => {
    const source = readFileSync(path.join(__dirname, 'describe-event.ts'), 'utf8');
    const cases = [...source.matchAll(/^ +case '(\w+)'/gm)].map(([, name]) => name);
    expect(cases.toSorted()).toEqual([...eventNames].sort());
  });

  it.each(eventNames)('%s has a line without undefined', (name) => {
    expect(describeEvent(eventOf(name))).toMatch(/^(?!.*undefined).+$/);
  });

  it('lets no control characters through to the terminal', () => {
    const event = eventOf('ImagePullStarted', { requestedReference: 'a\u001b[2J\u0007\u009bb' });
    expect(describeEvent(event)).toBe('pull of a?[2J??b began');
  });

  it.each([
    [undefined, 'unknown size'],
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [-1048576, '-1.0 MiB'],
    [5 * 1024 ** 5, '5120.0 TiB'],
  ])('%p bytes', (bytes, text) => {
    expect(size(bytes)).toBe(text);
  });
});
