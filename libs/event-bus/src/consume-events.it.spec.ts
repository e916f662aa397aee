import { eventCatalog, streamName, type StowageEvent } from '@stowage/events';
import { connect, type NatsConnection } from 'nats';
import { rmSync } from 'node:fs';
import { consumeEvents, type EventBus, type EventDelivery } from './index';
import { TestNatsServer } from './testing/nats-server';
import { recordingLog, temporaryFolder, testBus } from './testing/test-bus';
import { until } from './testing/until';

let server: TestNatsServer;
let bus: EventBus;
let connection: NatsConnection;
let stop: AbortController;
const cleanUps: (() => unknown)[] = [];
const { log, lines } = recordingLog();

beforeEach(async () => {
  lines.length = 0;
  server = await TestNatsServer.start();
  cleanUps.push(() => server.remove());
  const stateDir = temporaryFolder();
  cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
  bus = testBus({ stateDir, url: server.url });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
  connection = await connect({
    servers: server.url,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  cleanUps.push(() => connection.close());
  stop = new AbortController();
  cleanUps.push(() => stop.abort());
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const started = () => bus.publish('ContainerStarted', eventCatalog.ContainerStarted.example);
const pulled = () => bus.publish('ImagePulled', eventCatalog.ImagePulled.example);

function collect(
  options: Partial<Parameters<typeof consumeEvents>[0]> = {},
  onEvent: (event: StowageEvent, delivery: EventDelivery) => void = () => undefined,
) {
  const events: { event: StowageEvent; delivery: EventDelivery }[] = [];
  const done = consumeEvents({
    connection,
    log,
    retryDelayMs: 20,
    signal: stop.signal,
    handler: (event, delivery) => {
      onEvent(event, delivery);
      events.push({ event, delivery });
    },
    ...options,
  });
  const sequences = () => events.map(({ event }) => event.sequence);
  return { events, sequences, done };
}

it('hands on events by name, in order, with their types', async () => {
  const sizes: (number | undefined)[] = [];
  const done = consumeEvents({
    connection,
    names: ['ImagePulled'],
    log,
    signal: stop.signal,
    handler: (event) => {
      const { sizeBytes }: { sizeBytes?: number } = event.data;
      sizes.push(sizeBytes);
    },
  });
  started();
  pulled();
  started();
  pulled();
  await until(() => sizes.length === 2);
  expect(sizes).toEqual([52428800, 52428800]);
  stop.abort();
  await done;
});

it('waits for the stream and ends when the signal aborts', async () => {
  const other = await TestNatsServer.start();
  cleanUps.push(() => other.remove());
  const empty = await connect({ servers: other.url });
  cleanUps.push(() => empty.close());
  const { done } = collect({ connection: empty, durable: 'platform' });
  await until(() => lines.some(({ message }) => message.startsWith('events cannot be consumed')));
  expect(lines[0]?.fields).toEqual({ reason: 'stream not found' });
  stop.abort();
  await done;
});

it('goes on under its durable name with what was not acknowledged', async () => {
  started();
  started();
  const first = collect({ durable: 'platform' }, ({ sequence }) => {
    if (sequence === 2) stop.abort();
  });
  await first.done;
  expect(first.sequences()).toEqual([1, 2]);
  started();
  stop = new AbortController();
  const second = collect({ durable: 'platform' });
  await until(() => second.events.length === 1);
  expect(second.sequences()).toEqual([3]);
});

it('gives back what it had fetched and not begun, so that the next one need not wait', async () => {
  for (let i = 0; i < 200; i += 1) started();
  await bus.flush();
  const first = collect({ durable: 'platform' }, ({ sequence }) => {
    if (sequence === 5) stop.abort();
  });
  await first.done;
  expect(first.sequences()).toEqual([1, 2, 3, 4, 5]);
  stop = new AbortController();
  const second = collect({ durable: 'platform' });
  await until(() => second.events.length === 195, 15_000);
  expect([...second.sequences()].sort((a, b) => a - b)[0]).toBe(6);
});

it('delivers an event again when its handler throws, and acknowledges only then', async () => {
  started();
  await bus.flush();
  const { events, sequences } = collect({ durable: 'platform' }, (_event, { attempt }) => {
    if (attempt < 3) throw new Error(`attempt ${String(attempt)}`);
  });
  await until(() => events.length === 1);
  expect(sequences()).toEqual([1]);
  expect(events[0]?.delivery).toMatchObject({ attempt: 3 });
  expect(lines.map(({ fields }) => fields.reason)).toEqual(['attempt 1', 'attempt 2']);
  const manager = await connection.jetstreamManager();
  await until(
    async () => (await manager.consumers.info(streamName, 'platform')).num_ack_pending === 0,
  );
});

it('handles an event once however often it is stored, and tells gaps', async () => {
  const { events, sequences } = collect({ names: ['ContainerStarted', 'ImagePulled'] });
  started();
  await until(() => events.length === 1);
  const manager = await connection.jetstreamManager();
  const first = await manager.streams.getMessage(streamName, { seq: 1 });
  connection.publish(first.subject, first.data);
  const later = first.json<Record<string, unknown>>();
  const again = { ...later, id: '01KAJB3P8Q4S6T8V0W2X4Y6Z8A', sequence: '0000000000000007' };
  connection.publish(first.subject, JSON.stringify(again));
  await until(() => events.length === 2);
  expect(sequences()).toEqual([1, 7]);
  expect(events.map(({ delivery }) => delivery.missing)).toEqual([0, 5]);
});

it('skips what is no event, once', async () => {
  started();
  await bus.flush();
  connection.publish('stowage.event.n.image.pulled', '{"id":1}');
  const { events } = collect({ durable: 'platform' });
  started();
  await until(() => events.length === 2);
  const skips = lines.filter(({ message }) => message === 'message is skipped');
  expect(skips.map(({ fields }) => [fields.subject, fields.code])).toEqual([
    ['stowage.event.n.image.pulled', 'EVENT_NOT_CLOUDEVENT'],
  ]);
});

it('begins anew when NATS was away, its consumer deleted, or the stream', async () => {
  const { events, sequences } = collect({ durable: 'platform' });
  started();
  await until(() => events.length === 1);
  await server.stop();
  await server.start();
  started();
  await until(() => events.length === 2);
  const manager = await connection.jetstreamManager();
  await manager.consumers.delete(streamName, 'platform');
  started();
  await until(() => events.length === 3);
  await manager.streams.delete(streamName);
  started();
  await until(() => events.length === 4);
  expect(sequences()).toEqual([1, 2, 3, 4]);
});
