import 'reflect-metadata';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { defineCommand } from '@stowage/commands';
import {
  askLocalService,
  followLocalCommand,
  sendLocalCommand,
  type CommandError,
} from '@stowage/commands/local';
import { NotFoundError } from '@stowage/errors';
import { eventually } from '@stowage/testing';
import { buildSync } from 'esbuild';
import * as z from 'zod';
import { createLogger } from '../log';
import { CommandErrorFilter } from './command-filter';
import { Handles } from './handles';
import { LocalCommandServer, type LocalCommandServerOptions } from './local-command-server';
import { NatsCommandServer } from './nats-command-server';
import type { CommandCall } from './types';

const plain = (verb: string) =>
  defineCommand({
    app: 'image-service',
    verb,
    description: `Stands for ${verb}.`,
    answered: 'by-default',
    input: z.strictObject({}),
    reply: z.unknown(),
    example: { input: {}, reply: null },
  });
const echo = defineCommand({
  ...plain('echo'),
  input: z.strictObject({ text: z.string().max(20), times: z.int().default(2) }),
  reply: z.object({ text: z.string() }),
  example: { input: { text: 'hi' }, reply: { text: 'hihi' } },
});
const [remove, slow, missing] = [plain('remove'), plain('slow'), plain('missing')];
/** One that may be followed: what it returns is what the test sets. */
const counted = defineCommand({
  ...plain('counted'),
  follows: true,
  reply: z.object({ count: z.int() }),
  example: { input: {}, reply: { count: 0 } },
});
let count = 0;
const limited = { ...plain('limited'), limitMs: 50 };

const calls: CommandCall[] = [];
let release: () => void = () => undefined;

@Controller()
class Images {
  @Handles(echo)
  echo({ text, times }: { text: string; times: number }) {
    return { text: text.repeat(times) };
  }

  @Handles(counted)
  counted() {
    return { count };
  }

  @Handles(remove)
  remove() {
    return null;
  }

  @Handles(missing)
  missing() {
    throw new NotFoundError('image', 'busybox');
  }

  @Handles(slow)
  async slow(_input: object, call: CommandCall) {
    calls.push(call);
    await new Promise<void>((resolve, reject) => {
      release = resolve;
      call.signal.addEventListener('abort', () => reject(call.signal.reason as Error));
    });
    return 'done';
  }

  @Handles(limited)
  async limited() {
    await new Promise(() => undefined);
  }
}

@Module({ controllers: [Images] })
class ImagesModule {}

const folder = mkdtempSync(path.join(os.tmpdir(), 'stowage-local-'));
chmodSync(folder, 0o755);
const socketPath = path.join(folder, 'image-service.cmd.sock');
const cleanUps: (() => unknown)[] = [];
const logged: string[] = [];
const log = createLogger({
  level: 'debug',
  bindings: {},
  destination: { write: (line) => logged.push(line) },
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  logged.length = 0;
  calls.length = 0;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function startApp(
  options: Partial<LocalCommandServerOptions> & { isStarting?: boolean; takeOver?: boolean } = {},
) {
  const observed: { verb: string; code: string }[] = [];
  const onNats = new Set(['echo', 'missing', 'slow', 'limited']);
  const app = { app: 'image-service', nodeName: 'node-1.example', log };
  const commands = new NatsCommandServer({ ...app, allowed: onNats });
  const server = new LocalCommandServer({
    ...app,
    socketPath,
    handlers: commands.handlers,
    onNats,
    answers: 'all',
    info: () => ({
      app: 'image-service',
      version: '1.2.3',
      node: 'node-1.example',
      pid: 7,
      startedAt: '2026-11-20T22:00:00.000Z',
      health: { state: 'ok', phase: 'running', components: [] },
    }),
    observe: ({ verb, code }) => observed.push({ verb, code }),
    ...options,
  });
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- NestJS declares its options as a class
  const nest = await NestFactory.createMicroservice<MicroserviceOptions>(ImagesModule, {
    strategy: commands,
    logger: false,
  });
  nest.useGlobalFilters(new CommandErrorFilter());
  await server.listen({ takeOver: options.takeOver ?? false });
  cleanUps.push(async () => {
    await server.end({ drainMs: 0 });
    await nest.close();
  });
  if (options.isStarting !== true) {
    await nest.listen();
    server.ready();
  }
  return { server, observed };
}

/** One request as any HTTP client sends it. */
function ask(method: string, target: string, body = '') {
  return new Promise<{ status?: number; headers: http.IncomingHttpHeaders; json: unknown }>(
    (resolve, reject) => {
      const request = http.request({ socketPath, method, path: target, agent: false }, (reply) => {
        let text = '';
        reply.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        reply.on('end', () => {
          const json: unknown = text === '' ? undefined : JSON.parse(text);
          resolve({ status: reply.statusCode, headers: reply.headers, json });
        });
      });
      request.on('error', reject);
      request.end(body);
    },
  );
}

const refused = (code: string, message: unknown) => ({ ok: false, error: { code, message } });
const options = { timeoutMs: 10_000 };

describe('commands on a socket, without NATS', () => {
  it('a command is checked, carried out and answered as on NATS', async () => {
    const { observed } = await startApp();
    await expect(sendLocalCommand(socketPath, echo, { text: 'hi' }, options)).resolves.toEqual({
      text: 'hihi',
    });
    expect(await ask('POST', '/v1/echo', '{"text":"a","times":3}')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json', connection: 'close' },
      json: { ok: true, result: { text: 'aaa' } },
    });
    expect(observed).toEqual([
      { verb: 'echo', code: 'OK' },
      { verb: 'echo', code: 'OK' },
    ]);
  });

  it.each([
    [
      'POST',
      '/v1/echo',
      '{"text":5}',
      400,
      'INVALID_ARGUMENT',
      'text: Invalid input: expected string, received number',
    ],
    [
      'POST',
      '/v1/echo',
      '{"txt":"a"}',
      400,
      'INVALID_ARGUMENT',
      'text: Invalid input: expected string, received undefined',
    ],
    [
      'POST',
      '/v1/echo',
      'hunter2',
      400,
      'INVALID_ARGUMENT',
      'request: "7 bytes" is not allowed; allowed: a JSON object',
    ],
    ['POST', '/v1/missing', '', 404, 'NOT_FOUND', 'image "busybox" not found'],
    [
      'POST',
      '/v1/ecko',
      '{}',
      501,
      'UNIMPLEMENTED',
      'command image-service.ecko: not known; nearest: echo',
    ],
    ['POST', '/v1/limited', '{}', 504, 'DEADLINE_EXCEEDED', /limited/],
    ['GET', '/', '', 404, 'NOT_FOUND', 'there are GET /v1 and POST /v1/<verb>'],
    ['POST', '/v1/../echo', '', 404, 'NOT_FOUND', 'there are GET /v1 and POST /v1/<verb>'],
    ['GET', '/v1/echo', '', 405, 'UNIMPLEMENTED', 'method not allowed; allowed: POST'],
    ['POST', '/v1', '', 405, 'UNIMPLEMENTED', 'method not allowed; allowed: GET, HEAD'],
    [
      'POST',
      '/v1/echo',
      `{"text":"${'x'.repeat(1 << 20)}"}`,
      429,
      'RESOURCE_EXHAUSTED',
      /request of a command \(bytes\)/,
    ],
  ])('%s %s is refused (%#)', async (method, target, body, status, code, message) => {
    await startApp();
    const answer = await ask(method, target, body);
    const text = message instanceof RegExp ? expect.stringMatching(message) : message;
    expect(answer).toMatchObject({ status, json: refused(code, text) });
    expect(logged.join('')).not.toContain('hunter2');
  });

  it('says who it is, how it is, and which verbs it answers to whom', async () => {
    await startApp();
    const info = await askLocalService(socketPath, 'image-service', options);
    expect(info).toMatchObject({ app: 'image-service', version: '1.2.3', node: 'node-1.example' });
    expect(info.verbs).toContainEqual({
      verb: 'remove',
      description: 'Stands for remove.',
      answered: { nats: false, local: true },
    });
    expect(info.verbs).toHaveLength(6);
  });

  it('answers verbs that callers on NATS need the list for, unless told not to', async () => {
    await startApp();
    await expect(sendLocalCommand(socketPath, remove, {}, options)).resolves.toBeNull();
    await cleanUps.pop()?.();
    await startApp({ answers: 'listed' });
    await expect(sendLocalCommand(socketPath, remove, {}, options)).rejects.toMatchObject({
      code: 'COMMAND_REFUSED',
      grpcStatus: 'PERMISSION_DENIED',
      reason: expect.stringMatching(/the configuration key commands \(STOWAGE_COMMANDS\)/),
    });
    const { verbs } = await askLocalService(socketPath, 'image-service', options);
    expect(verbs.find(({ verb }) => verb === 'remove')?.answered).toEqual({
      nats: false,
      local: false,
    });
  });

  it('says that the app is starting', async () => {
    await startApp({ isStarting: true });
    await expect(sendLocalCommand(socketPath, echo, { text: 'hi' }, options)).rejects.toMatchObject(
      { grpcStatus: 'UNAVAILABLE', reason: 'UNAVAILABLE: image-service is starting' },
    );
    await expect(askLocalService(socketPath, 'image-service', options)).resolves.toMatchObject({
      version: '1.2.3',
    });
  });

  it('is for its own user and root alone', async () => {
    await startApp();
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    const script = `require('net').connect(${JSON.stringify(socketPath)}).on('error', ({ code }) => console.log(code)).on('connect', () => process.exit(1));`;
    const other = spawnSync(process.execPath, ['-e', script], { uid: 65534, gid: 65534 });
    expect(other.stdout.toString().trim()).toBe('EACCES');
  });

  it('replaces the file of a dead process, and leaves alone a socket that is served', async () => {
    const script = `require('net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    await startApp();
    await expect(startApp()).rejects.toMatchObject({
      code: 'SOCKET_IN_USE',
      message: `socket ${socketPath} is in use: another process answers on it`,
    });
    await expect(sendLocalCommand(socketPath, echo, { text: 'a' }, options)).resolves.toEqual({
      text: 'aa',
    });
  });

  it('a newer instance takes it over, and the older one lets its commands end', async () => {
    const first = await startApp();
    const pending = sendLocalCommand(socketPath, slow, {}, options);
    await eventually(() => calls.length === 1, { what: 'the command to run' });
    await startApp({ takeOver: true });
    const ended = first.server.end({ drainMs: 10_000 });
    await expect(sendLocalCommand(socketPath, remove, {}, options)).resolves.toBeNull();
    release();
    await expect(pending).resolves.toBe('done');
    await ended;
    await expect(sendLocalCommand(socketPath, remove, {}, options)).resolves.toBeNull();
  });

  it('a stop waits for what runs, within its time', async () => {
    const { server } = await startApp();
    const pending = sendLocalCommand(socketPath, slow, {}, options).catch((e: unknown) => e);
    await eventually(() => calls.length === 1, { what: 'the command to run' });
    await server.end({ drainMs: 20 });
    expect(await pending).toMatchObject({
      grpcStatus: 'UNAVAILABLE',
      reason: 'UNAVAILABLE: image-service is shutting down',
    });
    await expect(sendLocalCommand(socketPath, echo, { text: 'a' }, options)).rejects.toMatchObject({
      code: 'COMMAND_NO_RESPONDERS',
    });
  });

  it('runs so many commands at once, and says so to the next one', async () => {
    await startApp({ maxInFlight: 1 });
    const pending = sendLocalCommand(socketPath, slow, {}, options);
    await eventually(() => calls.length === 1, { what: 'the command to run' });
    await expect(sendLocalCommand(socketPath, echo, { text: 'a' }, options)).rejects.toMatchObject({
      grpcStatus: 'RESOURCE_EXHAUSTED',
      reason: expect.stringMatching(/queue of commands/),
    });
    release();
    await pending;
  });

  it('has so many connections at once, and the next one is told', async () => {
    await startApp({ maxConnections: 2 });
    const idle = [net.connect(socketPath), net.connect(socketPath)];
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    const sent = sendLocalCommand(socketPath, echo, { text: 'a' }, options);
    await expect(sent).rejects.toMatchObject({
      grpcStatus: 'RESOURCE_EXHAUSTED',
      reason: expect.stringMatching(/limit of 2 reached/),
    });
    for (const socket of idle) socket.destroy();
    await eventually(
      () =>
        sendLocalCommand(socketPath, echo, { text: 'a' }, options).then(
          () => true,
          () => false,
        ),
      { what: 'a connection to be free' },
    );
  });

  it('goes on with the command of a caller who leaves, and with all others', async () => {
    const { observed } = await startApp();
    const stop = new AbortController();
    const pending = sendLocalCommand(socketPath, slow, {}, { ...options, signal: stop.signal });
    await eventually(() => calls.length === 1, { what: 'the command to run' });
    stop.abort(new Error('the user left'));
    await expect(pending).rejects.toThrow('the user left');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(calls[0]?.signal.aborted).toBe(false);
    release();
    await eventually(() => observed.length === 1, { what: 'the command to end' });
    await expect(sendLocalCommand(socketPath, echo, { text: 'a' }, options)).resolves.toEqual({
      text: 'aa',
    });
    expect(observed).toEqual([
      { verb: 'slow', code: 'OK' },
      { verb: 'echo', code: 'OK' },
    ]);
  });

  it('ends a connection whose request does not arrive', async () => {
    await startApp({ requestMs: 100 });
    const half = net.connect(socketPath);
    half.write('POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{"te');
    half.on('error', () => undefined);
    await once(half.resume(), 'close');
    // One that is waiting for a long command is not such a connection.
    const pending = sendLocalCommand(socketPath, slow, {}, options);
    await new Promise((resolve) => setTimeout(resolve, 300));
    release();
    await expect(pending).resolves.toBe('done');
  });
});

describe('a command that is followed', () => {
  const follow = (signal?: AbortSignal) =>
    followLocalCommand(socketPath, counted, {}, { ...options, signal });

  it('has a line for each reply that is another one, and no other', async () => {
    count = 0;
    const { observed } = await startApp({ followMs: 10 });
    const seen: number[] = [];
    for await (const reply of follow()) {
      seen.push(reply.count);
      const calls = observed.length;
      await eventually(() => observed.length > calls + 2);
      count += 1;
      if (seen.length === 3) break;
    }
    expect(seen).toEqual([0, 1, 2]);
    // Nobody follows it any more.
    const calls = observed.length;
    await eventually(async () => {
      const before = observed.length;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return observed.length === before;
    });
    expect(observed.length).toBeLessThan(calls + 3);
  });

  it('ends when its reader wants no more, and when the service stops', async () => {
    const { server } = await startApp({ followMs: 10 });
    const leave = new AbortController();
    for await (const { count: seen } of follow(leave.signal)) {
      expect(seen).toBe(count);
      leave.abort();
    }
    const replies = follow();
    await replies.next();
    const next = replies.next();
    await Promise.all([
      server.end({ drainMs: 1000 }),
      expect(next).rejects.toMatchObject({ name: 'CommandError', grpcStatus: 'UNAVAILABLE' }),
    ]);
  });

  it('is refused for a verb with one reply, and for too many readers', async () => {
    await startApp({ followMs: 10 });
    await expect(followLocalCommand(socketPath, remove, {}, options).next()).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
      reason: expect.stringMatching(/image-service\.remove has one reply/),
    });
    const readers = Array.from({ length: 16 }, () => follow());
    await Promise.all(readers.map((reader) => reader.next()));
    await expect(follow().next()).rejects.toMatchObject({ grpcStatus: 'RESOURCE_EXHAUSTED' });
    await Promise.all(readers.map((reader) => reader.return()));
  });

  it('says that nobody is there', async () => {
    await expect(follow().next()).rejects.toMatchObject({ code: 'COMMAND_NO_RESPONDERS' });
  });
});

describe('the client says what is wrong', () => {
  const send = (where: string, more = {}) =>
    sendLocalCommand(where, echo, { text: 'hi' }, { ...options, ...more }).catch(
      (error: unknown) => error as CommandError,
    );

  it('no socket', async () => {
    const where = path.join(folder, 'absent/a.sock');
    expect(await send(where)).toMatchObject({
      name: 'CommandError',
      code: 'COMMAND_NO_RESPONDERS',
      grpcStatus: 'UNAVAILABLE',
      message: `image-service.echo on ${where}: image-service is not running here, or its socket is elsewhere: there is no ${where} (configuration key commandSocket)`,
    });
  });

  it('a socket that nobody listens on any more', async () => {
    const where = path.join(folder, 'dead.sock');
    const script = `require('net').createServer().listen(${JSON.stringify(where)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    expect(await send(where)).toMatchObject({
      code: 'COMMAND_NO_RESPONDERS',
      reason: `image-service is not running: nobody listens on ${where}`,
    });
  });

  it('something else at the path', async () => {
    const where = path.join(folder, 'file.sock');
    writeFileSync(where, '');
    expect(await send(where)).toMatchObject({ code: 'COMMAND_NO_RESPONDERS' });
  });

  it('another protocol, an end before the answer, no answer, and a caller who leaves', async () => {
    const behaviours: ((socket: net.Socket) => void)[] = [
      (socket) => socket.end('SSH-2.0-x\r\n'),
      (socket) => socket.destroy(),
      () => undefined,
      () => undefined,
    ];
    const where = path.join(folder, 'odd.sock');
    const sockets: net.Socket[] = [];
    const odd = net.createServer((socket) => {
      sockets.push(socket.on('error', () => undefined));
      socket.once('data', () => behaviours.shift()?.(socket));
    });
    odd.listen(where);
    await once(odd, 'listening');
    cleanUps.push(() => {
      for (const socket of sockets) socket.destroy();
      odd.close();
    });
    expect(await send(where)).toMatchObject({
      code: 'COMMAND_REPLY_INVALID',
      reason: `what listens on ${where} does not answer as a service of Stowage`,
    });
    expect(await send(where)).toMatchObject({ code: 'COMMAND_REPLY_LOST' });
    expect(await send(where, { timeoutMs: 50 })).toMatchObject({
      code: 'COMMAND_TIMEOUT',
      reason: 'no answer within 0.05 s',
    });
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('the user left')), 20);
    expect(await send(where, { signal: stop.signal })).toEqual(new Error('the user left'));
  });

  it('a user who may not', async () => {
    await startApp();
    const folder = mkdtempSync(path.join(os.tmpdir(), 'stowage-ask-'));
    cleanUps.push(() => rmSync(folder, { recursive: true }));
    chmodSync(folder, 0o755); // others may not read the workspace
    const program = path.join(folder, 'ask-local.cjs');
    buildSync({
      entryPoints: [path.resolve(__dirname, '../../testdata/ask-local.ts')],
      bundle: true,
      platform: 'node',
      outfile: program,
    });
    const child: ChildProcess = spawn(process.execPath, [program, socketPath], {
      cwd: folder,
      uid: 65534,
      gid: 65534,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(child, 'close');
    expect(text.trim()).toBe(
      `COMMAND_NOT_PERMITTED only root and the user of image-service may use ${socketPath}: run this as root`,
    );
  });
});
