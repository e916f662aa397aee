import { eventCatalog } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import {
  connect,
  headers,
  type ConsumerMessages,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
  type StoredMsg,
} from 'nats';
import { rmSync } from 'node:fs';
import { consumeEvents, deadLetterHeaders, type EventBus, type NatsConnection3 } from './index';

import { recordingLog, temporaryFolder, testBus } from './testing/test-bus';

/**
 * The client's version 3 as a stand-in over version 2: a connection without JetStream, whose
 * package is one of its own. It differs where the real one does: errors carry no codes of the
 * client, and the status of messages is there at once.
 */
const connections = new WeakMap<object, NatsConnection>();

class ApiError3 extends Error {
  constructor(private readonly error: { err_code: number; description: string }) {
    super(error.description);
  }
  get code(): number {
    return this.error.err_code;
  }
  apiError(): { err_code: number; description: string } {
    return this.error;
  }
}

function as3(error: unknown): unknown {
  const { api_error: api, code } = error as {
    api_error?: { err_code: number; description: string };
    code?: string;
  };
  if (api !== undefined) return new ApiError3(api);
  if (code !== '503') return error;
  return Object.assign(new Error('jetstream is not enabled'), { name: 'JetStreamNotEnabled' });
}

/** The same object, whose calls fail with errors of version 3. */
function withErrors3<T extends object>(of: T): T {
  return new Proxy(of, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value === 'object' && value != null) return withErrors3(value);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, target, args);
        if (!(result instanceof Promise)) return result;
        return result.then(
          (found: unknown) => (key === 'get' ? consumer3(found) : found),
          (error: unknown) => {
            throw as3(error);
          },
        );
      };
    },
  });
}

const consumer3 = (consumer: unknown) => ({
  consume: async (options: object) => {
    const messages = await (
      consumer as { consume(options: object): Promise<ConsumerMessages> }
    ).consume(options);
    const status = await messages.status();
    return new Proxy(messages, {
      get(target, key) {
        if (key === 'status') return () => status;
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  },
});

const jetStream3 = {
  jetstream: (connection: object, options: object): JetStreamClient =>
    withErrors3(of(connection).jetstream(options)),
  jetstreamManager: async (connection: object, options: object): Promise<JetStreamManager> =>
    withErrors3(await of(connection).jetstreamManager(options)),
};

function of(connection: object): NatsConnection {
  const found = connections.get(connection);
  if (found === undefined) throw new Error('not a connection of version 3');
  return found;
}

function connection3(connection: NatsConnection): NatsConnection3 {
  const made = {
    info: connection.info,
    isClosed: () => connection.isClosed(),
    flush: () => connection.flush(),
    request: (subject: string) => connection.request(subject),
    publish: (subject: string) => connection.publish(subject),
    subscribe: (subject: string) => connection.subscribe(subject),
  };
  connections.set(made, connection);
  return made;
}

let server: TestNatsServer;
let bus: EventBus;
let connection: NatsConnection;
let stop: AbortController;
const cleanUps: (() => unknown)[] = [];
const { log, lines } = recordingLog();

beforeEach(async () => {
  jest.resetModules();
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

function installVersion3(): void {
  jest.doMock('@nats-io/jetstream', () => jetStream3, { virtual: true });
  jest.doMock('@nats-io/nats-core', () => ({ headers }), { virtual: true });
  cleanUps.push(() => {
    jest.dontMock('@nats-io/jetstream');
    jest.dontMock('@nats-io/nats-core');
  });
}

const consume = (over: unknown, names: string[], handler?: () => void) =>
  consumeEvents({
    connection: over as NatsConnection3,
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
    installVersion3();
    const names: string[] = [];
    const done = consume(connection3(connection), names);
    bus.publish('ContainerStarted', eventCatalog.ContainerStarted.example);
    bus.publish('ImagePulled', eventCatalog.ImagePulled.example);
    await eventually(() => names.length === 2);
    expect(names).toEqual(['ContainerStarted', 'ImagePulled']);
    stop.abort();
    await done;
    stop = new AbortController();
    bus.publish('ImageRemoved', eventCatalog.ImageRemoved.example);
    const again = consume(connection3(connection), names);
    await eventually(() => names.length === 3);
    expect(names[2]).toBe('ImageRemoved');
    stop.abort();
    await again;
  });

  it('waits for the stream, and makes dead letters', async () => {
    installVersion3();
    const other = await TestNatsServer.start();
    cleanUps.push(() => other.remove());
    const empty = await connect({ servers: other.url });
    cleanUps.push(() => empty.close());
    const names: string[] = [];
    const done = consume(connection3(empty), names, () => {
      throw new Error('no');
    });
    await eventually(() => lines.length > 0);
    expect(lines[0]?.fields).toEqual({ reason: 'stream not found' });
    const manager = await empty.jetstreamManager();
    await manager.streams.add({ name: 'DEAD', subjects: ['stowage.dead-letter.>'] });
    const stateDir = temporaryFolder();
    cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
    const late = testBus({ stateDir, url: other.url });
    cleanUps.push(() => late.close({ drainMs: 0 }));
    late.publish('ImagePulled', eventCatalog.ImagePulled.example);
    let letter: StoredMsg | undefined;
    await eventually(async () => {
      letter = await manager.streams.getMessage('DEAD', { seq: 1 }).catch(() => undefined);
      return letter !== undefined;
    });
    expect(letter?.header.get(deadLetterHeaders.reason)).toBe('no');
    expect(names).toHaveLength(2);
    stop.abort();
    await done;
  });

  it('is an error at once where the package for JetStream is not installed', async () => {
    await expect(consume(connection3(connection), [])).rejects.toMatchObject({
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
  await expect(consume(value, [])).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining(`connection: ${shown} is not allowed`) as string,
  });
  expect(lines).toEqual([]);
});
