import { eventCatalog } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import { jetstreamManager, type StoredMsg } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { rmSync } from 'node:fs';
import { consumeEvents, deadLetterHeaders, type EventBus, type EventConnection } from './index';
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
  connection = await connect({ servers: server.url });
  cleanUps.push(() => connection.close());
  stop = new AbortController();
  cleanUps.push(() => stop.abort());
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const consume = (over: EventConnection, names: string[], handler?: () => void) =>
  consumeEvents({
    connection: over,
    durable: 'platform',
    log,
    retryDelayMs: 20,
    deadLetter: { maxTries: 2 },
    signal: stop.signal,
    handler: ({ name }) => {
      names.push(name);
      handler?.();
    },
  });

describe('a connection of the client version 3', () => {
  it('consumes events, under a durable name that goes on', async () => {
    const names: string[] = [];
    const done = consume(connection, names);
    bus.publish('ContainerStarted', eventCatalog.ContainerStarted.example);
    bus.publish('ImagePulled', eventCatalog.ImagePulled.example);
    await eventually(() => names.length === 2);
    expect(names).toEqual(['ContainerStarted', 'ImagePulled']);
    stop.abort();
    await done;
    stop = new AbortController();
    bus.publish('ImageRemoved', eventCatalog.ImageRemoved.example);
    const again = consume(connection, names);
    await eventually(() => names.length === 3);
    expect(names[2]).toBe('ImageRemoved');
    stop.abort();
    await again;
  });

  it('waits for the stream, and makes dead letters', async () => {
    const other = await TestNatsServer.start();
    cleanUps.push(() => other.remove());
    const empty = await connect({ servers: other.url });
    cleanUps.push(() => empty.close());
    const names: string[] = [];
    const done = consume(empty, names, () => {
      throw new Error('no');
    });
    await eventually(() => lines.length > 0);
    expect(lines[0]?.fields).toEqual({ reason: 'stream not found' });
    const manager = await jetstreamManager(empty);
    await manager.streams.add({ name: 'DEAD', subjects: ['stowage.dead-letter.>'] });
    const stateDir = temporaryFolder();
    cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
    const late = testBus({ stateDir, url: other.url });
    cleanUps.push(() => late.close({ drainMs: 0 }));
    late.publish('ImagePulled', eventCatalog.ImagePulled.example);
    let letter: StoredMsg | null | undefined;
    await eventually(async () => {
      letter = await manager.streams.getMessage('DEAD', { seq: 1 });
      return letter != null;
    });
    expect(letter?.header.get(deadLetterHeaders.reason)).toBe('no');
    expect(names).toHaveLength(2);
    stop.abort();
    await done;
  });

  it('goes on after the server was away', async () => {
    const handled: string[] = [];
    const done = consume(connection, handled);
    bus.publish('ContainerStarted', eventCatalog.ContainerStarted.example);
    await eventually(() => handled.length === 1);
    await server.kill();
    bus.publish('ImagePulled', eventCatalog.ImagePulled.example);
    await server.start();
    await eventually(() => handled.length === 2);
    expect(handled).toEqual(['ContainerStarted', 'ImagePulled']);
    stop.abort();
    await done;
  });

  it('is an error at once where the package for JetStream is not installed', async () => {
    jest.doMock('@nats-io/jetstream', () => {
      throw new Error("Cannot find module '@nats-io/jetstream'");
    });
    cleanUps.push(() => jest.dontMock('@nats-io/jetstream'));
    await expect(consume(connection, [])).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(
        /^connection: "of version 3, and @nats-io\/jetstream cannot be loaded \(.+\)" is not allowed; allowed: a connection of nats 2, or of @nats-io\/transport-node 3 with @nats-io\/jetstream beside it$/s,
      ) as string,
    });
    expect(lines).toEqual([]);
  });
});

it.each([
  ['nothing', undefined, '"undefined"'],
  ['null', null, '"null"'],
  ['something else', { isClosed: () => false }, '"object"'],
  ['a class', new Map(), '"object"'],
])('%s is an error at once, not a retry without end', async (_, value, shown) => {
  await expect(consume(value as EventConnection, [])).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining(`connection: ${shown} is not allowed`) as string,
  });
  expect(lines).toEqual([]);
});
