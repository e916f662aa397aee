import { DeadlineExceededError } from '@stowage/errors';
import { answerJson, eventually, FakeEngine, type FakeEngineRequest } from '@stowage/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  EngineClient,
  parseAnswer,
  type EndedEngineCall,
  type EngineClientOptions,
} from './engine-client';
import { EngineAnswerError, EngineResponseError, EngineUnreachableError } from './engine-errors';

describe('EngineClient', () => {
  let folder: string;
  let fake: FakeEngine;
  const clients: EngineClient[] = [];
  const open = (options: Partial<EngineClientOptions> = {}) => {
    const client = new EngineClient({
      socketPath: fake.socketPath,
      api: '1.41',
      timeoutMs: 30_000,
      ...options,
    });
    clients.push(client);
    return client;
  };
  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'engine-client-'));
    fake = new FakeEngine(path.join(folder, 'docker.sock'));
    await fake.start();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('has the version in the path of each call, and none in those that find it out', async () => {
    await open().info();
    const asking = open({ api: undefined });
    expect(await asking.ping()).toBe('1.41');
    await asking.version();
    expect(fake.requests.map(({ api, path: of }) => `${api}${of}`)).toEqual([
      '1.41/info',
      '/_ping',
      '/version',
    ]);
  });

  it('takes null for an empty list', async () => {
    fake.answer = (_request, response) => answerJson(response, 200, null);
    const client = open();
    expect(await client.listImages()).toEqual([]);
    expect(await client.listContainers()).toEqual([]);
    expect(await client.imageHistory('app')).toEqual([]);
  });

  it.each([
    [400, 'INVALID_ARGUMENT'],
    [401, 'UNAUTHENTICATED'],
    [403, 'PERMISSION_DENIED'],
    [404, 'NOT_FOUND'],
    [409, 'FAILED_PRECONDITION'],
    [500, 'UNKNOWN'],
    [503, 'UNKNOWN'],
  ])(
    'makes of HTTP status %s an error with %s and the words of the engine',
    async (status, name) => {
      fake.answer = (_request, response) =>
        answerJson(response, status, { message: 'no such thing' });
      const error = (await open()
        .inspectImage('x')
        .catch((reason: unknown) => reason)) as EngineResponseError;
      expect(error).toBeInstanceOf(EngineResponseError);
      expect(error).toMatchObject({
        status,
        grpcStatus: name,
        message: 'no such thing',
        operation: 'inspect image',
      });
    },
  );

  it('makes other calls while more containers are being stopped than it has connections', async () => {
    const stopping: ServerResponse[] = [];
    fake.answer = ({ path: asked }, response) => {
      if (!asked.endsWith('/stop')) return false;
      stopping.push(response);
      return true;
    };
    const client = open({ maxSockets: 2 });
    const stops = [1, 2, 3].map((id) => client.stopContainer(`c${id}`, 3600));
    await eventually(() => stopping.length === 3);
    await client.info({ timeoutMs: 2000 });
    for (const response of stopping) response.writeHead(204).end();
    await Promise.all(stops);
    const cut = client.stopContainer('c4', 3600);
    await eventually(() => stopping.length === 4);
    client.close();
    await expect(cut).rejects.toThrow(EngineUnreachableError);
  });

  it('names the status where the answer has no words', async () => {
    fake.answer = (_request, response) => {
      response.writeHead(502).end('<html>');
      return true;
    };
    await expect(open().info()).rejects.toThrow('Docker Engine answered with HTTP status 502');
  });

  it('says that nothing listens, and that the connection ended before the answer', async () => {
    fake.answer = (_request, response) => {
      response.socket?.destroy();
      return true;
    };
    await expect(open().info()).rejects.toThrow(
      `Docker Engine is not reachable at unix://${fake.socketPath}: the connection ended before the answer to info`,
    );
    fake.answer = (_request, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('{"a"', () => response.socket?.destroy());
      return true;
    };
    await expect(open().info()).rejects.toBeInstanceOf(EngineUnreachableError);
    await fake.stop();
    await expect(open().info()).rejects.toThrow(
      `Docker Engine is not reachable at unix://${fake.socketPath}: connect ENOENT`,
    );
  });

  it('ends a call at its own limit and at the signal of the caller, each with its reason, and the connection with it', async () => {
    let cut = 0;
    fake.answer = (_request, response) => {
      response.on('close', () => (cut += 1));
      return true;
    };
    await expect(open({ timeoutMs: 20 }).info()).rejects.toThrow(
      new DeadlineExceededError("Docker Engine's answer to info", 20),
    );
    const caller = new AbortController();
    const call = open().listImages({ signal: caller.signal });
    const reason = new Error('gone');
    setTimeout(() => caller.abort(reason), 20);
    await expect(call).rejects.toBe(reason);
    await expect(open().info({ signal: caller.signal })).rejects.toBe(reason);
    await eventually(() => cut === 2);
    expect(fake.requests).toHaveLength(2);
  });

  it('fails all calls when it is closed, also those that wait for a connection', async () => {
    fake.answer = () => true;
    const client = open({ maxSockets: 1 });
    const calls = [client.info(), client.listImages(), client.stopContainer('c1', 10)];
    const results = Promise.allSettled(calls);
    await eventually(() => fake.requests.length === 2);
    client.close();
    for (const result of await results) {
      expect(result).toMatchObject({ status: 'rejected', reason: { grpcStatus: 'UNAVAILABLE' } });
    }
    expect(fake.requests).toHaveLength(2);
  });

  it('bounds what it holds of an answer', async () => {
    fake.answer = (_request, response) => {
      response.end('"' + 'x'.repeat(5000) + '"');
      return true;
    };
    await expect(open({ maxAnswerBytes: 4000 }).info()).rejects.toThrow(
      'is longer than 4000 bytes',
    );
  });

  it('asks for names as they are', async () => {
    fake.answer = (_request, response) => answerJson(response, 200, {});
    await open().inspectImage('127.0.0.1:5000/team/a@sha256:ff?x#y');
    expect(fake.requests[0]?.path).toBe('/images/127.0.0.1:5000/team/a@sha256:ff?x#y/json');
  });

  it('gives the messages of a pull as they come, and ends it when nobody reads on', async () => {
    let cut = false;
    fake.answer = (_request, response) => {
      response.on('close', () => (cut = true));
      response.write('{"status":"a"}\n{"sta');
      setTimeout(() => response.write('tus":"b"}\n'), 20);
      return true;
    };
    const seen: unknown[] = [];
    const image = { repository: 'reg/a', tagOrDigest: 'latest' };
    const login = { username: 'u', password: 'p?>' };
    const { signal } = new AbortController();
    for await (const { status } of open().pullImage(image, login, { signal })) {
      seen.push(status);
      if (status === 'b') break;
    }
    expect(seen).toEqual(['a', 'b']);
    await eventually(() => cut);
    const [{ query, headers } = fake.requests[0]!] = fake.requests;
    expect(Object.fromEntries(query)).toEqual({ fromImage: 'reg/a', tag: 'latest' });
    const header = String(headers['x-registry-auth']);
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual(login);
    expect(header).not.toMatch(/[+/]/);
    expect(header.length % 4).toBe(0);
  });

  it('opens the events before it gives any, and ends them when nobody reads on', async () => {
    let cut = false;
    let stream: ServerResponse | undefined;
    fake.answer = (_request, response) => {
      response.on('close', () => (cut = true));
      response.flushHeaders();
      stream = response;
      return true;
    };
    const { signal } = new AbortController();
    const events = await open().openEvents({ type: ['container'] }, { signal });
    const [request] = fake.requests;
    expect([request?.path, request?.query.get('filters')]).toEqual([
      '/events',
      '{"type":["container"]}',
    ]);
    stream?.write('{"Action":"start","timeNano":1764430000000000001}\n{"Action":"die"}\n');
    const seen: unknown[] = [];
    for await (const event of events) {
      seen.push(event);
      if (seen.length === 2) break;
    }
    expect(seen).toEqual([{ Action: 'start', timeNano: 1764430000000000001n }, { Action: 'die' }]);
    await eventually(() => cut);
  });

  it('ends events with the signal, and says that an engine has none', async () => {
    fake.answer = (_request, response) => {
      response.flushHeaders();
      return true;
    };
    const caller = new AbortController();
    const events = await open().openEvents({}, { signal: caller.signal });
    setTimeout(() => caller.abort(), 20);
    await expect(events.next()).rejects.toBeInstanceOf(EngineUnreachableError);
    fake.answer = (_request, response) => answerJson(response, 400, { message: 'bad filter' });
    const { signal } = new AbortController();
    await expect(open().openEvents({}, { signal })).rejects.toThrow('bad filter');
  });

  it('measures a container only where that is asked for, and takes one sample of its stats', async () => {
    fake.answer = (_request, response) => answerJson(response, 200, { SizeRw: 5 });
    const client = open();
    await client.inspectContainer('abc');
    expect(await client.inspectContainer('abc', { size: true })).toEqual({ SizeRw: 5 });
    await client.containerStats('abc');
    expect(fake.requests.map(({ path: of, query }) => `${of}?${query.toString()}`)).toEqual([
      '/containers/abc/json?',
      '/containers/abc/json?size=true',
      '/containers/abc/stats?stream=false&one-shot=true',
    ]);
  });

  it('gives the stream of a hijacked connection from its first byte on', async () => {
    fake.answer = (_request, response) => {
      response.socket?.write(
        'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst',
      );
      return true;
    };
    const streams = { stdin: true, stdout: true, stderr: false };
    const stream = await open().attachContainer('abc', streams);
    expect(String(await new Promise((resolve) => stream.once('data', resolve)))).toBe('first');
    stream.destroy();
    const [{ query, headers }] = fake.requests as [FakeEngineRequest];
    expect(headers).toMatchObject({ connection: 'Upgrade', upgrade: 'tcp' });
    expect(Object.fromEntries(query)).toMatchObject({
      stream: '1',
      logs: '0',
      stdin: '1',
      stdout: '1',
      stderr: '0',
    });
  });

  it.each([
    [404, 'NOT_FOUND', 'no such exec'],
    [409, 'FAILED_PRECONDITION', 'container is paused'],
    [200, 'UNKNOWN', "Docker Engine's answer to start exec is no stream"],
  ])('makes an error of status %s where a stream should come', async (status, name, message) => {
    fake.answer = (_request, response) => answerJson(response, status, { message });
    await expect(open().startExec('abc', { tty: false })).rejects.toMatchObject({
      grpcStatus: name,
      message,
    });
  });

  it('reports every call with its status and duration', async () => {
    const ended: EndedEngineCall[] = [];
    const client = open({ onEnded: (call) => ended.push(call) });
    await client.info();
    await client.inspectImage('gone').catch(() => undefined);
    await fake.stop();
    await client.info().catch(() => undefined);
    expect(ended.map(({ operation, status }) => [operation, status])).toEqual([
      ['info', 200],
      ['inspect image', 404],
      ['info', undefined],
    ]);
    expect(ended.every(({ durationMs }) => durationMs >= 0)).toBe(true);
  });
});

describe('parseAnswer', () => {
  it.each([
    ['{"a":9007199254740993}', { a: 9007199254740993n }],
    [
      '{"a":-9223372036854775808,"b":[1,18446744073709551615]}',
      { a: -(2n ** 63n), b: [1, 2n ** 64n - 1n] },
    ],
    [
      '{"a":"9007199254740993","b":"\\"9007199254740993"}',
      { a: '9007199254740993', b: '"9007199254740993' },
    ],
    ['{"a":1764430000000000}', { a: 1764430000000000 }],
    ['{"a":0.12345678901234567,"b":1.5e300}', { a: 0.12345678901234567, b: 1.5e300 }],
  ])('keeps the value of %s', (text, value) => {
    expect(parseAnswer('info', text)).toEqual(value);
  });

  it('leaves every text as it is, whatever stands in it beside long numbers', () => {
    const labels = { a: '\0integer:x', b: '\0integer:12', c: 'integer:9007199254740993' };
    const text = `{"timeNano":1764430000000000001,"labels":${JSON.stringify(labels)}}`;
    expect(parseAnswer('events', text)).toEqual({ timeNano: 1764430000000000001n, labels });
  });

  it('says which answer is no JSON', () => {
    const parse = () => parseAnswer('info', '<html>');
    expect(parse).toThrow(EngineAnswerError);
    expect(parse).toThrow("Docker Engine's answer to info is no JSON");
  });
});
