import { gcWorker, imageService } from '@stowage/commands';
import { commandSubject } from '@stowage/events';
import { TestNatsServer } from '@stowage/testing';
import { connect, type ConnectionOptions, type Msg, type NatsConnection } from 'nats';
import type { CommandError } from './command-error';
import type { SendOptions } from './exchange';
import { sendCommand } from './send-command';

/** The client on a real nats-server; the service's side is played here. */

const node = 'worker-1.example.net';
const { plan } = gcWorker;
const cleanUps: (() => unknown)[] = [];
let url: string;
let service: NatsConnection;
let client: NatsConnection;

const config = `
authorization {
  users = [
    { user: service, password: s }
    { user: operator, password: s }
    { user: reader, password: s, permissions: { publish: "stowage.event.>", subscribe: ">" } }
    { user: narrow, password: s, permissions: { publish: ">", subscribe: "_INBOX_narrow.>" } }
  ]
}
`;

const open = async (user: string, more: ConnectionOptions = {}): Promise<NatsConnection> => {
  const options = { servers: url, user, pass: 's' };
  const connection = await connect({ ...options, reconnectTimeWait: 20, ...more });
  cleanUps.push(() => connection.close());
  return connection;
};

beforeAll(async () => {
  const server = await TestNatsServer.start({ jetStream: false, config });
  cleanUps.push(() => server.remove());
  ({ url } = server);
  service = await open('service');
  client = await open('operator');
});

afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

/** Answers `gc-worker.plan` of the node while `task` runs; the requests that came. */
async function answering(
  reply: unknown,
  task: () => Promise<unknown>,
): Promise<{ requests: Msg[]; outcome: unknown }> {
  const requests: Msg[] = [];
  const subscription = service.subscribe(commandSubject(node, 'gc-worker', 'plan'), {
    callback: (_error, message) => {
      requests.push(message);
      if (reply === undefined) return;
      message.respond(typeof reply === 'string' ? reply : JSON.stringify(reply));
    },
  });
  await service.flush();
  try {
    return { requests, outcome: await task().catch((error: unknown) => error) };
  } finally {
    subscription.unsubscribe();
    await service.flush();
  }
}

const send = (options: Partial<SendOptions> = {}, input: object = {}, by = client) =>
  sendCommand(by, node, plan, input, { timeoutMs: 5000, ...options });

const failed = (code: string, grpcStatus: string, reason: string) =>
  expect.objectContaining({
    name: 'CommandError',
    code,
    grpcStatus,
    command: 'gc-worker.plan',
    node,
    reason,
    message: `gc-worker.plan on ${node}: ${reason}`,
  }) as CommandError;

it('sends the input and resolves with the result', async () => {
  const result = plan.example.reply;
  const { requests, outcome } = await answering({ ok: true, result }, () => send({}, { limit: 5 }));
  expect(outcome).toEqual(result);
  expect(requests.map((message) => message.json())).toEqual([{ limit: 5 }]);
  expect(requests[0]?.headers).toBeUndefined();
});

it('the command is a part of the caller’s trace', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const reply = { ok: true, result: plan.example.reply };
  const { requests } = await answering(reply, () => send({ traceparent }));
  expect(requests[0]?.headers?.get('traceparent')).toBe(traceparent);
});

it('keeps what a newer service adds: fields and words', async () => {
  const { reply } = plan.example;
  const newer = {
    ...reply,
    addedLater: { deep: [1] },
    images: [{ ...reply.images[0], rule: 'rule-of-tomorrow', colour: 'red' }],
  };
  const answer = { ok: true, result: newer, took: 5 };
  expect((await answering(answer, () => send())).outcome).toEqual(newer);
  expect((await answering(answer, () => send({ strict: true }))).outcome).toEqual(
    failed(
      'COMMAND_REPLY_INVALID',
      'INTERNAL',
      'the contract does not name these fields of the reply: images.0.colour, addedLater',
    ),
  );
});

it('says when nobody answers there', async () => {
  await expect(send()).rejects.toEqual(
    failed('COMMAND_NO_RESPONDERS', 'UNAVAILABLE', 'nobody answers commands there'),
  );
});

it('says how long it waited', async () => {
  const { outcome } = await answering(undefined, () => send({ timeoutMs: 50 }));
  expect(outcome).toEqual(
    failed('COMMAND_TIMEOUT', 'DEADLINE_EXCEEDED', 'no answer within 0.05 s'),
  );
});

it('ends the wait when the signal is aborted', async () => {
  const stop = new AbortController();
  const { outcome } = await answering(undefined, () => {
    const sent = send({ signal: stop.signal });
    stop.abort(new Error('the user left'));
    return sent;
  });
  expect(outcome).toEqual(new Error('the user left'));
  await expect(send({ signal: stop.signal })).rejects.toThrow('the user left');
});

it.each<[string, object, string]>([
  ['a value that is not allowed', { bytes: 0 }, 'bytes: Too small: expected number to be >0'],
  [
    'a key that does not exist',
    { byts: 5 },
    'request: unknown key "byts"; allowed: bytes, assumedAge, limit, after',
  ],
  [
    'a key that may be a secret',
    { 'hunter2-x': 5 },
    'request: unknown key; allowed: bytes, assumedAge, limit, after',
  ],
])('%s is not sent', async (_what, input, reason) => {
  const { requests, outcome } = await answering({ ok: true }, () => send({}, input));
  expect(outcome).toEqual(failed('COMMAND_INPUT_INVALID', 'INVALID_ARGUMENT', reason));
  expect(requests).toEqual([]);
});

it('a value of the input stands in no error', async () => {
  const input = { image: 'a', auth: { password: 5 } } as never;
  const error: unknown = await sendCommand(client, node, imageService.ensure, input, {
    timeoutMs: 50,
  }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    message: `image-service.ensure on ${node}: auth.password: Invalid input: expected string, received number`,
  });
});

it('a node that cannot be one is not sent to', async () => {
  await expect(sendCommand(client, 'worker 1', plan, {}, { timeoutMs: 50 })).rejects.toMatchObject({
    code: 'COMMAND_INPUT_INVALID',
    reason: expect.stringMatching(/^node "worker 1" is not valid: /),
  });
});

it.each<[string, unknown, string, string, string]>([
  [
    'an error with code and message',
    { ok: false, error: { code: 'NOT_FOUND', message: 'image "a" not found' } },
    'COMMAND_REFUSED',
    'NOT_FOUND',
    'NOT_FOUND: image "a" not found',
  ],
  [
    'an error with a code that does not exist yet',
    { ok: false, error: { code: 'TEAPOT', message: 'short and stout' } },
    'COMMAND_REFUSED',
    'UNKNOWN',
    'TEAPOT: short and stout',
  ],
  [
    'a result that lacks a field',
    { ok: true, result: { ...plan.example.reply, total: undefined } },
    'COMMAND_REPLY_INVALID',
    'INTERNAL',
    'the reply does not fit: total: Invalid input: expected number, received undefined',
  ],
  [
    'no result',
    { ok: true },
    'COMMAND_REPLY_INVALID',
    'INTERNAL',
    'the reply does not fit: result: Invalid input: expected object, received undefined',
  ],
  [
    'something else',
    { ok: false },
    'COMMAND_REPLY_INVALID',
    'INTERNAL',
    'the reply is neither {"ok":true,"result":…} nor {"ok":false,"error":{"code":…,"message":…}}',
  ],
  ['no JSON', 'hunter2', 'COMMAND_REPLY_INVALID', 'INTERNAL', 'the reply of 7 bytes is not JSON'],
])('a reply with %s is an error', async (_what, reply, code, status, reason) => {
  const { outcome } = await answering(reply, () => send());
  expect(outcome).toEqual(failed(code, status, reason));
});

it('says when the login may not send commands', async () => {
  const reader = await open('reader');
  await expect(send({}, {}, reader)).rejects.toEqual(
    failed(
      'COMMAND_NOT_PERMITTED',
      'PERMISSION_DENIED',
      'NATS does not let this login publish on stowage.cmd.worker-1_example_net.gc-worker.plan',
    ),
  );
});

it('says when the login may not receive the reply, and what helps', async () => {
  const narrow = await open('narrow');
  await expect(send({}, {}, narrow)).rejects.toMatchObject({
    code: 'COMMAND_NOT_PERMITTED',
    reason: expect.stringMatching(
      /^NATS does not let this login receive replies on _INBOX\.\S+: give the connection an inbox prefix that it may use$/,
    ),
  });
  const right = await open('narrow', { inboxPrefix: '_INBOX_narrow' });
  const reply = { ok: true, result: plan.example.reply };
  expect((await answering(reply, () => send({}, {}, right))).outcome).toEqual(plan.example.reply);
});

it('says when the connection is closed', async () => {
  const gone = await open('operator');
  await gone.close();
  await expect(send({}, {}, gone)).rejects.toEqual(
    failed('COMMAND_NOT_SENT', 'UNAVAILABLE', 'the connection to NATS is closed'),
  );
});

it('says when the request is too large for NATS', async () => {
  const after = 'x'.repeat(2 << 20);
  await expect(send({}, { after })).rejects.toEqual(
    failed('COMMAND_NOT_SENT', 'UNAVAILABLE', 'the request is larger than a NATS message may be'),
  );
});
