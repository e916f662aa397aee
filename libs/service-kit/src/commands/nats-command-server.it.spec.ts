import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { defineCommand } from '@stowage/commands';
import { FailedPreconditionError } from '@stowage/errors';
import { eventually, startStack, type Stack } from '@stowage/testing';
import { connect, createInbox, RequestStrategy, type NatsConnection } from 'nats';
import * as z from 'zod';
import { createLogger } from '../log';
import { CommandErrorFilter } from './command-filter';
import { Handles } from './handles';
import { NatsCommandServer } from './nats-command-server';
import type { CommandCall, CommandConnection, CommandObservation } from './types';

const logged: string[] = [];
const log = createLogger({
  level: 'debug',
  bindings: {},
  destination: { write: (line) => logged.push(line) },
});

const aborted: string[] = [];
const running: { call?: CommandCall; release?: () => void; started: number } = { started: 0 };

const plain = (verb: string) =>
  defineCommand({
    app: 'image-service',
    verb,
    description: 'Stands for any command.',
    answered: 'by-default',
    input: z.strictObject({}),
    reply: z.unknown(),
    example: { input: {}, reply: null },
  });

const echo = defineCommand({
  ...plain('echo'),
  input: z
    .strictObject({
      text: z.string().max(20),
      count: z.int().optional(),
      auth: z
        .strictObject({ user: z.string().optional(), password: z.string().optional() })
        .optional(),
    })
    .refine(() => true),
  example: { input: { text: 'hi' }, reply: null },
});

@Controller()
class Images {
  @Handles(echo)
  echo(input: { text: string }) {
    return { text: input.text, bytes: 5n };
  }

  @Handles(plain('nothing'))
  nothing() {
    return undefined;
  }

  @Handles(plain('coded'))
  async coded() {
    await Promise.resolve();
    throw new FailedPreconditionError('plan p1 is stale');
  }

  @Handles(plain('fault'))
  fault() {
    throw new TypeError('x is not a function');
  }

  @Handles(plain('huge'))
  huge() {
    return 'x'.repeat(2 << 20);
  }

  @Handles(plain('slow'))
  async slow(_input: object, call: CommandCall) {
    running.started++;
    running.call = call;
    await new Promise<void>((resolve, reject) => {
      running.release = resolve;
      call.signal.addEventListener('abort', () => reject(call.signal.reason as Error));
    });
    return 'done';
  }

  @Handles({ ...plain('stuck'), limitMs: 50 })
  async stuck(_input: object, call: CommandCall) {
    call.signal.addEventListener('abort', () => aborted.push(call.verb));
    await new Promise(() => undefined);
  }

  /** Keeps the process busy, as a list of many images does. */
  @Handles(plain('work'))
  work() {
    const end = performance.now() + 5;
    while (performance.now() < end);
    return null;
  }

  @Handles(plain('remove'))
  remove() {
    return null;
  }
}

@Module({ controllers: [Images] })
class ImagesModule {}

/** What is answered; a test may change it as a reload does. */
const allowed = new Set(['echo', 'nothing', 'coded', 'fault', 'huge', 'slow', 'stuck', 'work']);

let healthState: 'ok' | 'degraded' = 'ok';

async function startApp(
  options: { drainMs?: number; maxInFlight?: number; maxPerSecond?: number } = {},
) {
  const observed: CommandObservation[] = [];
  const listeners = new Set<(connection: CommandConnection) => void>();
  const server = new NatsCommandServer({
    app: 'image-service',
    nodeName: 'node-1.example',
    allowed,
    log,
    observe: (observation) => observed.push(observation),
    discovery: {
      version: '1.2.3',
      description: 'Images.',
      startedAt: '2026-11-20T22:00:00.000Z',
      state: () => healthState,
    },
    ...options,
  });
  server.use({
    onConnected: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  });
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- NestJS declares its options as a class
  const nest = await NestFactory.createMicroservice<MicroserviceOptions>(ImagesModule, {
    strategy: server,
    logger: false,
  });
  nest.useGlobalFilters(new CommandErrorFilter());
  await nest.listen();
  return {
    nest,
    observed,
    announce: (connection: NatsConnection) => {
      for (const listener of listeners) listener(connection);
    },
  };
}

const subject = (verb: string) => `stowage.cmd.node-1_example.image-service.${verb}`;

describe('commands over a real NATS', () => {
  let stack: Stack;
  let connection: NatsConnection;
  let client: NatsConnection;
  let app: Awaited<ReturnType<typeof startApp>>;
  const ask = async (verb: string, body: unknown = {}, timeout = 30_000): Promise<unknown> => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return (await client.request(subject(verb), text, { timeout })).json();
  };

  beforeAll(async () => {
    stack = await startStack({ containerd: false, registries: false });
    const options = { servers: stack.nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 20 };
    connection = await connect(options);
    client = await connect(options);
    app = await startApp();
    app.announce(connection);
    await connection.flush();
  });

  afterAll(async () => {
    await app.nest.close();
    await connection.close();
    await client.close();
    await stack.down();
  });

  it('a verb that is added is answered from then on, and one that is dropped is not', async () => {
    expect(await ask('remove')).toMatchObject({ error: { code: 'PERMISSION_DENIED' } });
    allowed.add('remove');
    expect(await ask('remove')).toEqual({ ok: true, result: null });
    allowed.delete('remove');
    expect(await ask('remove')).toMatchObject({ error: { code: 'PERMISSION_DENIED' } });
  });

  describe('to service discovery', () => {
    const search = () => client.services.client({ strategy: RequestStrategy.Timer, maxWait: 300 });
    const all = async <T>(answers: Promise<AsyncIterable<T>>): Promise<T[]> => {
      const found: T[] = [];
      for await (const answer of await answers) found.push(answer);
      return found;
    };

    it('each instance shows itself, by name, and by name and id', async () => {
      const other = await startApp();
      const more = await connect({ servers: stack.nats.url });
      other.announce(more);
      await more.flush();
      try {
        const found = await all(search().ping());
        expect(found).toHaveLength(2);
        expect(found[0]).toMatchObject({
          type: 'io.nats.micro.v1.ping_response',
          name: 'stowage-image-service',
          version: '1.2.3',
          metadata: { app: 'image-service', node: 'node-1.example', state: 'ok' },
        });
        const id = found[0]?.id ?? '';
        expect(await all(search().ping('stowage-image-service'))).toHaveLength(2);
        expect(await all(search().ping('stowage-image-service', id))).toMatchObject([{ id }]);
        await expect(all(search().ping('stowage-gc-worker'))).rejects.toThrow('503');
      } finally {
        await other.nest.close();
        await more.close();
      }
      expect(await all(search().ping())).toHaveLength(1);
    });

    it('with its health as it is now', async () => {
      healthState = 'degraded';
      try {
        for (const found of [all(search().ping()), all(search().info()), all(search().stats())]) {
          expect((await found).map(({ metadata }) => metadata?.state)).toEqual(['degraded']);
        }
      } finally {
        healthState = 'ok';
      }
    });

    it('with what it answers now, on which subject and in which queue', async () => {
      const [info] = await all(search().info('stowage-image-service'));
      expect(info).toMatchObject({
        type: 'io.nats.micro.v1.info_response',
        description: 'Images.',
      });
      expect(info?.endpoints).toContainEqual({
        name: 'echo',
        subject: subject('echo'),
        queue_group: 'image-service',
        metadata: { description: 'Stands for any command.' },
      });
      expect(info?.endpoints.map(({ name }) => name)).not.toContain('remove');
    });

    it('and with how often, how long, and how it went', async () => {
      const echo = async () => {
        const [stats] = await all(search().stats('stowage-image-service'));
        expect(stats).toMatchObject({ started: '2026-11-20T22:00:00.000Z' });
        return stats?.endpoints?.find(({ name }) => name === 'echo');
      };
      const before = await echo();
      await ask('echo', { text: 'hi' });
      await ask('echo', {});
      const after = await echo();
      expect(after).toMatchObject({
        num_requests: (before?.num_requests ?? 0) + 2,
        num_errors: (before?.num_errors ?? 0) + 1,
        last_error: 'INVALID_ARGUMENT',
      });
      expect(after?.processing_time).toBeGreaterThan(before?.processing_time ?? 0);
      expect(after?.average_processing_time).toBe(
        Math.round((after?.processing_time ?? 0) / (after?.num_requests ?? 1)),
      );
    });

    it('but not to verbs that do not exist, and not without end', async () => {
      await expect(client.request('$SRV.SCHEMA', '', { timeout: 200 })).rejects.toThrow('TIMEOUT');
      let answers = 0;
      const inbox = createInbox();
      const heard = client.subscribe(inbox, { callback: () => void (answers += 1) });
      for (let at = 0; at < 1000; at += 1) client.publish('$SRV.PING', '', { reply: inbox });
      await client.flush();
      await client.request(subject('echo'), '{"text":"hi"}', { timeout: 10_000 });
      await client.flush();
      heard.unsubscribe();
      expect(answers).toBeGreaterThan(0);
      // So many in each of the seconds that this took.
      expect(answers).toBeLessThan(500);
    });
  });

  const refused = (code: string, message: string) => ({ ok: false, error: { code, message } });
  it.each<[string, string, unknown, unknown]>([
    ['a result', 'echo', { text: 'hi' }, { ok: true, result: { text: 'hi', bytes: 5 } }],
    ['no result', 'nothing', '', { ok: true, result: null }],
    ['a coded error', 'coded', {}, refused('FAILED_PRECONDITION', 'plan p1 is stale')],
    ['a fault', 'fault', {}, refused('UNKNOWN', 'x is not a function')],
    [
      'an unknown key',
      'echo',
      { txet: 'hi', text: 'hi' },
      refused('INVALID_ARGUMENT', 'request: unknown key "txet"; allowed: text, count, auth'),
    ],
    [
      'an unknown key inside another',
      'echo',
      { text: 'hi', auth: { user: 'u', pasword: 'p' } },
      refused('INVALID_ARGUMENT', 'auth: unknown key "pasword"; allowed: user, password'),
    ],
    [
      'an unknown key that may be a secret, which is not quoted',
      'echo',
      { text: 'hi', 'hunter2-as-a-key': 1 },
      refused('INVALID_ARGUMENT', 'request: unknown key; allowed: text, count, auth'),
    ],
    [
      'a missing key',
      'echo',
      {},
      refused('INVALID_ARGUMENT', 'text: Invalid input: expected string, received undefined'),
    ],
    [
      'a value out of range, which is not quoted',
      'echo',
      { text: 'hunter2'.repeat(5) },
      refused('INVALID_ARGUMENT', 'text: Too big: expected string to have <=20 characters'),
    ],
    [
      'text that is no JSON, which is not quoted',
      'echo',
      '{"password":"hunter2"',
      refused('INVALID_ARGUMENT', 'request: "21 bytes" is not allowed; allowed: a JSON object'),
    ],
    [
      'a command that the configuration does not list',
      'remove',
      {},
      refused(
        'PERMISSION_DENIED',
        'command image-service.remove is not allowed: the configuration key commands (STOWAGE_COMMANDS) does not list it',
      ),
    ],
    [
      'a command that does not exist',
      'ecko',
      {},
      refused('UNIMPLEMENTED', 'command image-service.ecko: not known; nearest: echo'),
    ],
    [
      'a command that does not end in its time',
      'stuck',
      {},
      refused('DEADLINE_EXCEEDED', 'command image-service.stuck timed out after 50 ms'),
    ],
    [
      'a result that NATS cannot carry',
      'huge',
      {},
      refused('RESOURCE_EXHAUSTED', 'reply of 2097175 bytes: NATS message is full: limit 1048576'),
    ],
  ])('answers %s', async (_what, verb, body, reply) => {
    expect(await ask(verb, body)).toEqual(reply);
  });

  it('logs no unknown key and no value of a request', () => {
    const lines = logged.join('');
    expect(lines).toContain('request: unknown key; allowed: text, count, auth');
    expect(lines).toContain('auth: unknown key; allowed: user, password');
    expect(lines).not.toMatch(/hunter2|txet|pasword/);
  });

  it('aborts the signal of a command whose time is over', () => {
    expect(aborted).toEqual(['stuck']);
  });

  it.each([
    ['another node', 'stowage.cmd.node-2_example.image-service.echo'],
    [
      'a node whose name begins with that of this one',
      'stowage.cmd.node-1_example_b.image-service.echo',
    ],
    ['a node of which this name is the end', 'stowage.cmd.a_node-1_example.image-service.echo'],
    ['another app', 'stowage.cmd.node-1_example.gc-worker.echo'],
    ['a longer verb', 'stowage.cmd.node-1_example.image-service.echo.more'],
    ['no verb', 'stowage.cmd.node-1_example.image-service'],
  ])('never answers a request for %s', async (_what, to) => {
    const before = app.observed.length;
    await expect(client.request(to, '{"text":"hi"}', { timeout: 5000 })).rejects.toThrow('503');
    expect(app.observed.length).toBe(before);
  });

  it('counts by verb and code, unknown verbs as one', () => {
    expect(app.observed.map(({ verb, code }) => `${verb} ${code}`)).toEqual(
      expect.arrayContaining(['echo OK', 'unknown UNIMPLEMENTED', 'remove PERMISSION_DENIED']),
    );
  });

  it('logs no request text', () => {
    expect(logged.join('')).not.toContain('hunter2');
  });

  it('answers again after NATS was away', async () => {
    await stack.nats.restart();
    // Each side reconnects in its own time, and flush fails while one is away.
    const back = async (): Promise<unknown> =>
      ask('echo', { text: 'back' }, 200).catch(() => back());
    expect(await back()).toMatchObject({ ok: true });
  });

  it('subscribes once on a connection that is announced twice, and on a new one', async () => {
    app.announce(connection);
    await connection.flush();
    const before = app.observed.length;
    await ask('echo', { text: 'once' });
    expect(app.observed.length).toBe(before + 1);
    const second = await connect({ servers: stack.nats.url });
    app.announce(second);
    await second.flush();
    await connection.drain(); // close alone leaves the server a moment in which it asks the one that is gone
    expect(await ask('echo', { text: 'two' })).toMatchObject({ ok: true });
    connection = second;
  });

  it('refuses more at once than the limit, and lets running ones finish at the stop', async () => {
    const small = await startApp({ maxInFlight: 1, drainMs: 30_000 });
    await app.nest.close();
    small.announce(connection);
    await connection.flush();
    const first = ask('slow');
    await eventually(() => running.release, { what: 'the command to run' });
    expect(await ask('slow')).toEqual(
      refused('RESOURCE_EXHAUSTED', 'queue of commands is full: limit 1'),
    );
    const closed = small.nest.close();
    running.release?.();
    expect(await first).toEqual({ ok: true, result: 'done' });
    await closed;
    await expect(ask('echo', { text: 'x' }, 1000)).rejects.toThrow('503');
  });

  it('20 000 commands in a burst: a bounded number is begun, all are answered, the rest of the process goes on', async () => {
    const busy = await startApp();
    busy.announce(connection);
    await connection.flush();
    const linesBefore = logged.length;
    const codes = new Map<string, number>();
    let answers = 0;
    client.subscribe('answers', {
      callback: (_error, message) => {
        answers += 1;
        const { ok, error } = message.json<{ ok: boolean; error?: { code: string } }>();
        const code = ok ? 'OK' : (error?.code ?? '');
        codes.set(code, (codes.get(code) ?? 0) + 1);
      },
    });
    // What a socket of the service would wait for: a turn of the event loop, here without what
    // other processes take.
    let longestMs = 0;
    let last = process.cpuUsage();
    const turns = setInterval(() => {
      const { user, system } = process.cpuUsage(last);
      longestMs = Math.max(longestMs, (user + system) / 1000);
      last = process.cpuUsage();
    }, 5);
    const begunBefore = performance.now();
    const each = 5000;
    for (let i = 0; i < each; i += 1) {
      client.publish(subject('work'), '{}', { reply: 'answers' });
      client.publish(subject('remove'), '{}', { reply: 'answers' });
      client.publish(subject('ecko'), '{}', { reply: 'answers' });
      client.publish(subject('work'), '{', { reply: 'answers' });
      if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await eventually(() => answers === 4 * each, { what: 'all answers' });
    clearInterval(turns);
    const seconds = (performance.now() - begunBefore) / 1000;
    const begun = busy.observed.filter(({ code }) => code !== 'RESOURCE_EXHAUSTED').length;
    // 100 at once and 100 a second.
    expect(begun).toBeLessThanOrEqual(100 + 100 * seconds + 1);
    expect(begun).toBeGreaterThanOrEqual(100);
    expect(codes.get('RESOURCE_EXHAUSTED')).toBe(4 * each - begun);
    expect(busy.observed).toHaveLength(4 * each);
    expect(longestMs).toBeLessThan(1000);
    // Five lines for each verb and code: three verbs that are refused and unknown ones.
    const lines = logged.slice(linesBefore).filter((line) => line.includes('refused or failed'));
    expect(lines.length).toBeLessThanOrEqual(8 * 5);
    expect(lines.every((line) => line.length < 400)).toBe(true);
    await busy.nest.close();
    // The rest is counted, and written when the service stops at the latest.
    const counted = logged
      .slice(linesBefore)
      .filter((line) => line.includes('in the same way'))
      .map((line) => (JSON.parse(line) as { more: number }).more);
    expect(counted.reduce((sum, more) => sum + more, lines.length)).toBe(
      4 * each - (codes.get('OK') ?? 0),
    );
  });

  it('commands that were not begun when the stop came are refused', async () => {
    const slow = await startApp({ maxPerSecond: 1, drainMs: 30_000 });
    slow.announce(connection);
    await connection.flush();
    const replies = [ask('echo', { text: 'a' }), ask('echo', { text: 'b' })];
    await eventually(() => slow.observed.length === 1, { what: 'one answer' });
    await slow.nest.close();
    expect(await Promise.all(replies)).toEqual([
      { ok: true, result: { text: 'a', bytes: 5 } },
      refused('UNAVAILABLE', 'image-service is shutting down'),
    ]);
  });

  it('aborts what runs longer than the drain time', async () => {
    const impatient = await startApp({ drainMs: 20 });
    impatient.announce(connection);
    await connection.flush();
    const before = running.started;
    const pending = ask('slow');
    await eventually(() => running.started > before, { what: 'the command to run' });
    await impatient.nest.close();
    expect(await pending).toEqual(refused('UNAVAILABLE', 'image-service is shutting down'));
  });
});

describe('a command server', () => {
  it('refuses to start when a command is allowed that no handler answers', () => {
    const server = new NatsCommandServer({
      app: 'a',
      nodeName: 'n',
      allowed: new Set(['list']),
      log,
    });
    expect(() => server.listen(() => undefined)).toThrow(
      'no handler for the allowed commands list',
    );
  });

  it('refuses to start with a command of another service', async () => {
    const server = new NatsCommandServer({
      app: 'gc-worker',
      nodeName: 'n',
      allowed: new Set<string>(),
      log,
    });
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- NestJS declares its options as a class
    const nest = await NestFactory.createMicroservice<MicroserviceOptions>(ImagesModule, {
      strategy: server,
      logger: false,
    });
    await expect(nest.listen()).rejects.toThrow('image-service.echo is not a command of gc-worker');
  });
});
