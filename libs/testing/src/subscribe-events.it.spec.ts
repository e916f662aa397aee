import { connect, headers } from 'nats';
import { createEvent, eventSubject, streamName, streamSubjects } from '@stowage/events';
import { eventuallyPasses } from './eventually';
import { startStack } from './start-stack';
import { subscribeEvents, type EventCollection } from './subscribe-events';
import type { Stack } from './types';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ containerd: false, registries: false });
});

afterAll(() => stack.down());

let opened: EventCollection[] = [];

const subscribe = async (): Promise<EventCollection> => {
  const events = await subscribeEvents(stack.nats.url);
  opened.push(events);
  return events;
};

afterEach(async () => {
  await Promise.all(opened.map((events) => events.close()));
  opened = [];
});

async function publish(sequences: number[], { makeStream = false } = {}): Promise<void> {
  const connection = await connect({ servers: stack.nats.url });
  if (makeStream) {
    const manager = await connection.jetstreamManager();
    await manager.streams.add({ name: streamName, subjects: [...streamSubjects] });
  }
  for (const sequence of sequences) {
    const id = `01K0000000000000000000000${sequence}`;
    const event = createEvent(
      'RuntimeUnavailable',
      { id, node: 'n1', app: 'runtime-gateway', sequence, subject: 's', time: new Date(0) },
      {
        endpoint: 'unix:///run/x.sock',
        unavailableSince: '1970-01-01T00:00:00.000Z',
        reason: 'gone',
      },
    );
    const header = headers();
    header.set('Nats-Msg-Id', id);
    await connection
      .jetstream()
      .publish(eventSubject('n1', 'RuntimeUnavailable'), JSON.stringify(event), {
        headers: header,
      });
  }
  await connection.close();
}

it('events are collected from before, over a restart of NATS, each once', async () => {
  const events = await subscribe();
  expect(events.all).toEqual([]);
  await publish([1, 2], { makeStream: true });
  const second = await events.waitFor('RuntimeUnavailable', ({ sequence }) => sequence === 2);
  expect(second).toMatchObject({
    natsSubject: 'stowage.event.n1.runtime.unavailable',
    messageId: '01K00000000000000000000002',
    streamSequence: 2,
    node: 'n1',
    data: { reason: 'gone' },
  });
  await stack.nats.restart();
  await publish([3]);
  await events.waitFor('RuntimeUnavailable', ({ sequence }) => sequence === 3);
  expect(events.all.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
});

it('a message that is no event is kept apart, with the reason', async () => {
  const events = await subscribe();
  const connection = await connect({ servers: stack.nats.url });
  await connection.jetstream().publish('stowage.event.n1.x.y', 'nonsense');
  await connection.close();
  await eventuallyPasses(() => expect(events.invalid).toHaveLength(1));
  expect(events.invalid[0]?.reason).toMatch(/^message: /);
});

it('an event that does not arrive is reported with those that did', async () => {
  const events = await subscribe();
  await events.waitFor('RuntimeUnavailable', ({ sequence }) => sequence === 3);
  await expect(events.waitFor('ImagePulled', undefined, { timeoutMs: 50 })).rejects.toThrow(
    'timed out after 50 ms waiting for the event ImagePulled; events so far: ' +
      'RuntimeUnavailable, RuntimeUnavailable, RuntimeUnavailable',
  );
});
