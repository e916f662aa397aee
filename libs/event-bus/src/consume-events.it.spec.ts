import {
  createEvent,
  eventCatalog,
  eventSubject,
  streamName,
  type StowageEvent,
} from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import { AckPolicy, connect, nanos, type NatsConnection, type StoredMsg } from 'nats';
import { rmSync } from 'node:fs';
import {
  consumeEvents,
  deadLetterHeaders,
  maxEventBytes,
  newUlid,
  type EventBus,
  type EventDelivery,
  type EventGap,
} from './index';
import { SlowProxy } from './testing/slow-proxy';
import { recordingLog, temporaryFolder, testBus } from './testing/test-bus';

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
  await eventually(() => sizes.length === 2);
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
  await eventually(() =>
    lines.some(({ message }) => message.startsWith('events cannot be consumed')),
  );
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
  await eventually(() => second.events.length === 1);
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
  await eventually(() => second.events.length === 195, { timeoutMs: 15_000 });
  expect([...second.sequences()].sort((a, b) => a - b)[0]).toBe(6);
});

it('delivers an event again when its handler throws, and acknowledges only then', async () => {
  started();
  await bus.flush();
  const { events, sequences } = collect({ durable: 'platform' }, (_event, { attempt }) => {
    if (attempt < 3) throw new Error(`attempt ${String(attempt)}`);
  });
  await eventually(() => events.length === 1);
  expect(sequences()).toEqual([1]);
  expect(events[0]?.delivery).toMatchObject({ attempt: 3 });
  expect(lines.map(({ fields }) => fields.reason)).toEqual(['attempt 1', 'attempt 2']);
  const manager = await connection.jetstreamManager();
  await eventually(
    async () => (await manager.consumers.info(streamName, 'platform')).num_ack_pending === 0,
  );
});

it('handles an event once however often it is stored, and tells gaps', async () => {
  const { events, sequences } = collect({ names: ['ContainerStarted', 'ImagePulled'] });
  started();
  await eventually(() => events.length === 1);
  const manager = await connection.jetstreamManager();
  const first = await manager.streams.getMessage(streamName, { seq: 1 });
  connection.publish(first.subject, first.data);
  const later = first.json<Record<string, unknown>>();
  const again = { ...later, id: '01KAJB3P8Q4S6T8V0W2X4Y6Z8A', sequence: '0000000000000007' };
  connection.publish(first.subject, JSON.stringify(again));
  await eventually(() => events.length === 2);
  expect(sequences()).toEqual([1, 7]);
  expect(events.map(({ delivery }) => delivery.missing)).toEqual([0, 5]);
});

it('handles an event once although its acknowledgement was lost, however many came since', async () => {
  const subject = eventSubject('worker-1', 'ContainerStarted');
  const { data, subject: about } = eventCatalog.ContainerStarted.example;
  const manager = await connection.jetstreamManager();
  await eventually(() =>
    manager.streams.info(streamName).then(
      () => true,
      () => false,
    ),
  );
  // Comes again sooner than from a consumer of our own making, and lets others pass meanwhile.
  await manager.consumers.add(streamName, {
    durable_name: 'platform',
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(8000),
    max_ack_pending: 1000,
  });
  const count = 12_000;
  const attributes = { node: 'worker-1', app: 'runtime-gateway', subject: about, time: new Date() };
  for (let sequence = 1; sequence <= count; sequence += 1) {
    const event = createEvent('ContainerStarted', { ...attributes, sequence, id: newUlid() }, data);
    connection.publish(subject, JSON.stringify(event));
  }
  await eventually(async () => (await manager.streams.info(streamName)).state.messages === count);
  const proxy = await SlowProxy.start(server.port);
  cleanUps.push(() => proxy.close());
  const lossy = await connect({ servers: proxy.url });
  cleanUps.push(() => lossy.close());
  let lost = 0;
  proxy.change = (bytes) => {
    if (lost >= 75) return bytes;
    const text = bytes.toString('latin1');
    const rest = text.replace(/PUB \$JS\.ACK\.\S+ 4\r\n\+ACK\r\n/g, () => {
      lost += 1;
      return '';
    });
    return Buffer.from(rest, 'latin1');
  };
  const handled = new Map<string, number>();
  collect({ connection: lossy, durable: 'platform' }, ({ id }) => {
    handled.set(id, (handled.get(id) ?? 0) + 1);
  });
  await eventually(async () => {
    const { num_pending, num_ack_pending } = await manager.consumers.info(streamName, 'platform');
    return num_pending + num_ack_pending === 0;
  });
  expect(lost).toBeGreaterThanOrEqual(75);
  expect(handled.size).toBe(count);
  expect([...handled.values()].filter((times) => times > 1)).toEqual([]);
});

it('asks again within seconds when its request for messages got lost', async () => {
  started();
  await bus.flush();
  const proxy = await SlowProxy.start(server.port);
  cleanUps.push(() => proxy.close());
  const lossy = await connect({ servers: proxy.url });
  cleanUps.push(() => lossy.close());
  let lost = 0;
  proxy.change = (bytes) => {
    const text = bytes.toString('latin1');
    const rest = text.replace(
      /PUB \$JS\.API\.CONSUMER\.MSG\.NEXT\S* \S+ \d+\r\n\S*\r\n/g,
      (request) => {
        lost += 1;
        return lost === 1 ? '' : request;
      },
    );
    return Buffer.from(rest, 'latin1');
  };
  const { events } = collect({ connection: lossy, durable: 'platform' });
  await eventually(() => events.length === 1, { timeoutMs: 20_000 });
  expect(lost).toBeGreaterThan(1);
});

it('skips what is no event, once', async () => {
  started();
  await bus.flush();
  connection.publish('stowage.event.n.image.pulled', '{"id":1}');
  const { events } = collect({ durable: 'platform' });
  started();
  await eventually(() => events.length === 2);
  const skips = lines.filter(({ message }) => message === 'message is skipped');
  expect(skips.map(({ fields }) => [fields.subject, fields.code])).toEqual([
    ['stowage.event.n.image.pulled', 'EVENT_NOT_CLOUDEVENT'],
  ]);
});

it('begins anew when NATS was away, its consumer deleted, or the stream', async () => {
  const { events, sequences } = collect({ durable: 'platform' });
  started();
  await eventually(() => events.length === 1);
  await server.kill();
  await server.start();
  started();
  await eventually(() => events.length === 2);
  const manager = await connection.jetstreamManager();
  await manager.consumers.delete(streamName, 'platform');
  started();
  await eventually(() => events.length === 3);
  await manager.streams.delete(streamName);
  started();
  await eventually(() => events.length === 4);
  expect(sequences()).toEqual([1, 2, 3, 4]);
});

describe('dead letters', () => {
  const manager = () => connection.jetstreamManager();

  const addStream = async () => {
    await (await manager()).streams.add({ name: 'DEAD', subjects: ['stowage.dead-letter.>'] });
  };

  /** What the stream of dead letters holds, once there are so many. */
  async function letters(count: number): Promise<StoredMsg[]> {
    const { streams } = await manager();
    await eventually(async () => (await streams.info('DEAD')).state.messages >= count);
    const { messages } = (await streams.info('DEAD')).state;
    return Promise.all(
      Array.from({ length: messages }, (_, i) => streams.getMessage('DEAD', { seq: i + 1 })),
    );
  }

  const header = (letter: StoredMsg | undefined, name: keyof typeof deadLetterHeaders) =>
    letter?.header.get(deadLetterHeaders[name]);

  const settled = async () =>
    eventually(async () => {
      const { num_ack_pending, num_pending } = await (
        await manager()
      ).consumers.info(streamName, 'platform');
      return num_ack_pending === 0 && num_pending === 0;
    });

  it('an event that fails three times is put aside with the reason, and the others go on', async () => {
    await addStream();
    const ids = [started(), pulled(), started()];
    await bus.flush();
    const tries: string[] = [];
    const { sequences } = collect(
      { durable: 'platform', deadLetter: { maxTries: 3 } },
      ({ name }) => {
        tries.push(name);
        if (name === 'ImagePulled') throw new Error('no room\r\nfor it');
      },
    );
    const [letter, ...more] = await letters(1);
    await settled();
    expect(more).toEqual([]);
    expect(sequences()).toEqual([1, 3]);
    expect(tries.filter((name) => name === 'ImagePulled')).toHaveLength(3);
    expect(letter?.subject).toBe('stowage.dead-letter.platform.worker-1_example_net.image.pulled');
    expect(letter?.json()).toMatchObject({ id: ids[1], specversion: '1.0' });
    expect(letter?.header.get('Content-Type')).toBe('application/cloudevents+json');
    expect(letter?.header.get('Nats-Msg-Id')).toBe(`platform.${ids[1]!}`);
    expect(header(letter, 'reason')).toBe('no room for it');
    expect(header(letter, 'tries')).toBe('3');
    expect(header(letter, 'consumer')).toBe('platform');
    expect(header(letter, 'subject')).toBe('stowage.event.worker-1_example_net.image.pulled');
    expect(header(letter, 'streamSequence')).toBe('2');
  });

  it('what is no event goes there at once, under the subject that was asked for', async () => {
    await (await manager()).streams.add({ name: 'DEAD', subjects: ['my-team.dead'] });
    started();
    await bus.flush();
    connection.publish('stowage.event.n.image.pulled', '{"id":1}');
    const { events } = collect({ durable: 'platform', deadLetter: { subject: 'my-team.dead' } });
    const [letter] = await letters(1);
    started();
    await eventually(() => events.length === 2);
    expect(letter?.json()).toEqual({ id: 1 });
    expect(header(letter, 'reason')).toMatch(/^envelope: specversion: /);
    expect(header(letter, 'tries')).toBe('1');
  });

  it('an event of a later release is skipped and no dead letter', async () => {
    await addStream();
    started();
    await bus.flush();
    const first = await (await manager()).streams.getMessage(streamName, { seq: 1 });
    const later = { ...first.json<object>(), type: 'io.stowage.node.v1.ImageDreamt' };
    connection.publish('stowage.event.n.image.dreamt', JSON.stringify(later));
    started();
    const { sequences } = collect({ durable: 'platform', deadLetter: {} });
    await eventually(() => sequences().length === 2);
    await settled();
    expect(await letters(0)).toEqual([]);
  });

  it('without a stream for it the event is kept, not handled again, and put aside when there is one', async () => {
    started();
    let tries = 0;
    collect({ durable: 'platform', deadLetter: { maxTries: 2 } }, () => {
      tries += 1;
      throw new Error('never');
    });
    const notStored = 'dead letter was not stored: its message is kept and delivered again';
    await eventually(() => lines.filter(({ message }) => message === notStored).length >= 2);
    expect(tries).toBe(2);
    await addStream();
    const [letter] = await letters(1);
    expect(header(letter, 'tries')).toBe('2');
    await settled();
  });

  it('an event that is too large with the headers of a dead letter is put aside without its body', async () => {
    await addStream();
    const { data } = eventCatalog.RuntimeUnavailable.example;
    const attributes = {
      id: newUlid(),
      node: 'worker-1.example.net',
      app: 'gc-worker',
      sequence: 1,
      time: new Date(),
    };
    const { byteLength } = Buffer.from(
      JSON.stringify(createEvent('RuntimeUnavailable', { ...attributes, subject: '' }, data)),
    );
    bus.publish('RuntimeUnavailable', { subject: 'x'.repeat(maxEventBytes - byteLength), data });
    collect({ durable: 'platform', deadLetter: { maxTries: 1 } }, () => {
      throw new Error('漢'.repeat(2000));
    });
    const [letter] = await letters(1);
    await settled();
    expect(letter?.data).toHaveLength(0);
    expect(header(letter, 'body')).toBe('omitted');
    expect(header(letter, 'streamSequence')).toBe('1');
    expect(header(letter, 'reason')).toMatch(/^漢+…$/);
  });

  it('deliveries that were given back untried do not count', async () => {
    await addStream();
    for (let i = 0; i < 3; i += 1) started();
    await bus.flush();
    for (let round = 1; round <= 3; round += 1) {
      stop = new AbortController();
      const { done } = collect({ durable: 'platform', deadLetter: { maxTries: 2 } }, () => {
        stop.abort();
        throw new Error('first of the round');
      });
      await done;
    }
    stop = new AbortController();
    const { events } = collect({ durable: 'platform', deadLetter: { maxTries: 2 } });
    await eventually(() => events.length === 3);
    expect(Math.max(...events.map(({ delivery }) => delivery.attempt))).toBeGreaterThan(2);
    expect(await letters(0)).toEqual([]);
  });

  it.each([
    [{ deadLetter: {} }, 'deadLetter.subject'],
    [{ deadLetter: { subject: 'stowage.event.x.dead' } }, 'deadLetter.subject'],
    [{ deadLetter: { subject: 'dead.>' } }, 'deadLetter.subject'],
    [{ durable: 'd', deadLetter: { maxTries: 0 } }, 'deadLetter.maxTries'],
    [{ drainTimeoutMs: -1 }, 'drainTimeoutMs'],
    [{ names: [] }, 'names'],
  ])('%j is refused', async (options, field) => {
    await expect(collect(options).done).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field });
  });
});

it('tells each gap once, before the event after it; an event that comes late is handled', async () => {
  const gaps: EventGap[] = [];
  const order: string[] = [];
  const { events, sequences } = collect(
    {
      durable: 'platform',
      onGap: (gap) => {
        gaps.push(gap);
        order.push(`gap before ${String(gap.before.sequence)}`);
      },
    },
    ({ sequence }) => order.push(String(sequence)),
  );
  started();
  await eventually(() => events.length === 1);
  const first = await (
    await connection.jetstreamManager()
  ).streams.getMessage(streamName, { seq: 1 });
  const copy = (id: string, sequence: number, source?: string) =>
    connection.publish(
      first.subject,
      JSON.stringify({
        ...first.json<object>(),
        id,
        sequence: String(sequence).padStart(16, '0'),
        ...(source !== undefined && { source }),
      }),
    );
  copy('01KAJB3P8Q4S6T8V0W2X4Y6Z01', 4);
  copy('01KAJB3P8Q4S6T8V0W2X4Y6Z02', 3);
  copy('01KAJB3P8Q4S6T8V0W2X4Y6Z03', 9, '/nodes/worker-1.example.net/image-service');
  copy('01KAJB3P8Q4S6T8V0W2X4Y6Z04', 5);
  await eventually(() => events.length === 5);
  expect(sequences()).toEqual([1, 4, 3, 9, 5]);
  expect(order).toEqual(['1', 'gap before 4', '4', '3', '9', '5']);
  expect(gaps).toEqual([
    {
      source: '/nodes/worker-1.example.net/gc-worker',
      first: 2,
      last: 3,
      before: events[1]?.event,
    },
  ]);
});

describe('draining', () => {
  it('ends after the event in hand was handled and acknowledged', async () => {
    started();
    started();
    let finish: () => void = () => undefined;
    const begun: number[] = [];
    const done = consumeEvents({
      connection,
      durable: 'platform',
      log,
      signal: stop.signal,
      handler: ({ sequence }) => {
        begun.push(sequence);
        return new Promise<void>((resolve) => (finish = resolve));
      },
    });
    await eventually(() => begun.length === 1);
    stop.abort();
    let ended = false;
    void done.then(() => (ended = true));
    await connection.flush();
    expect(ended).toBe(false);
    finish();
    await done;
    stop = new AbortController();
    const next = collect({ durable: 'platform' });
    await eventually(() => next.events.length === 1);
    expect([begun, next.sequences()]).toEqual([[1], [2]]);
  });

  it('a handler that does not end is left behind in time, and its event goes to the next consumer', async () => {
    started();
    let finish: () => void = () => undefined;
    let begun = 0;
    const done = consumeEvents({
      connection,
      durable: 'platform',
      drainTimeoutMs: 50,
      log,
      signal: stop.signal,
      handler: () => {
        begun += 1;
        return new Promise<void>((resolve) => (finish = resolve));
      },
    });
    await eventually(() => begun === 1);
    stop.abort();
    await done;
    expect(lines.at(-1)?.message).toBe('event is returned: its handler did not end in time');
    // Too late: this acknowledges nothing.
    finish();
    stop = new AbortController();
    const next = collect({ durable: 'platform' });
    await eventually(() => next.events.length === 1);
    expect(next.events[0]?.delivery.attempt).toBe(2);
  });
});
