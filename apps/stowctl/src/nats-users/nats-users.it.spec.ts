import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { commandSubject, eventSubject } from '@stowage/events';
import { eventually, runApp, TestNatsServer } from '@stowage/testing';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';
import { parse } from 'yaml';

/** The files of `stowctl nats users`, and what a real nats-server makes of them. */

const permissions = path.resolve(__dirname, '../../../../deploy/nats/permissions.mjs');
const program = path.resolve(__dirname, '../../../../dist/apps/stowctl/main.js');
const nodes = ['worker-1.example.net', 'worker-2'];
const cleanUps: (() => unknown)[] = [];

let folder: string;

const file = (name: string): string => path.join(folder, 'out', name);
const text = (name: string): string => readFileSync(file(name), 'utf8');

interface Users {
  readonly users: readonly {
    readonly kind: string;
    readonly name: string;
    readonly publicKey: string;
    readonly state: string;
  }[];
}

function natsUsers(list: readonly string[], ...args: string[]) {
  writeFileSync(path.join(folder, 'nodes'), `${list.join('\n')}\n`);
  const files = ['--nodes-from', path.join(folder, 'nodes'), '--out', path.join(folder, 'out')];
  return runApp('stowctl', { args: ['nats', 'users', ...files, ...args], env: { HOME: folder } });
}

/** Runs it, and returns the state of each key by name. */
async function states(list: readonly string[], ...args: string[]): Promise<Record<string, string>> {
  const ran = await natsUsers(list, '-o', 'json', ...args);
  expect(ran.code).toBe(0);
  const { users } = JSON.parse(ran.stdout) as Users;
  return Object.fromEntries(users.map(({ name, state }) => [name, state]));
}

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'stowage-nats-users-'));
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  rmSync(folder, { recursive: true, force: true });
});

describe('the files', () => {
  it('are of their owner alone, and the seeds are in no output', async () => {
    const ran = await natsUsers(nodes, '--operator', 'sre', '-o', 'wide');
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    const seeds = [...nodes.map((node) => `nodes/${node}.nk`), 'operators/sre.nk'].map(text);
    for (const seed of seeds) {
      expect(seed).toMatch(/^SU[A-Z2-7]{56}\n$/);
      expect(ran.stdout).not.toContain(seed.trim());
      expect(text('accounts.conf')).not.toContain(seed.trim());
    }
    const names = readdirSync(path.join(folder, 'out'), { recursive: true }).map(String);
    const modes = names.map((name) => [name, (statSync(file(name)).mode & 0o777).toString(8)]);
    expect(Object.fromEntries(modes)).toEqual({
      ...{ 'accounts.conf': '600', 'secret.yaml': '600' },
      ...{ nodes: '700', operators: '700', 'operators/sre.nk': '600' },
      ...Object.fromEntries(nodes.map((node) => [`nodes/${node}.nk`, '600'])),
    });
  });

  it('hold a Secret with the seed of each node under its name, and of nobody else', async () => {
    await natsUsers(nodes, '--operator', 'sre', '--namespace', 'kube-system');
    expect(parse(text('secret.yaml'))).toEqual({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'stowage-nats', namespace: 'kube-system' },
      type: 'Opaque',
      stringData: Object.fromEntries(nodes.map((node) => [node, text(`nodes/${node}.nk`).trim()])),
    });
  });

  it('hold the accounts and permissions of deploy/nats, with keys for passwords', async () => {
    await natsUsers(nodes, '--operator', 'sre', '--consumer', 'capacity');
    const args = [...nodes.flatMap((node) => ['--node', node]), '--operator', 'sre'];
    const printed = execFileSync(process.execPath, [permissions, ...args, '--consumer', 'capacity'])
      .toString()
      .replaceAll(/user: "(.*)"\n *password: .*/g, '# $1\n        nkey: KEY');
    const [, ...written] = text('accounts.conf').split('\n');
    expect(written.join('\n').replaceAll(/nkey: "U[A-Z2-7]{55}"/g, 'nkey: KEY')).toBe(printed);
  });
});

describe('run again', () => {
  it('makes keys for nodes that have none, and leaves the others and the operators', async () => {
    await natsUsers(nodes, '--operator', 'sre');
    const before = [text('nodes/worker-2.nk'), text('accounts.conf'), text('secret.yaml')];
    expect(await states(nodes)).toEqual({ [nodes[0]!]: 'kept', 'worker-2': 'kept', sre: 'kept' });
    expect([text('nodes/worker-2.nk'), text('accounts.conf'), text('secret.yaml')]).toEqual(before);
    expect(await states([...nodes, 'node/worker-3 # new'])).toEqual({
      ...{ [nodes[0]!]: 'kept', 'worker-2': 'kept', sre: 'kept' },
      'worker-3': 'new',
    });
    expect(text('nodes/worker-2.nk')).toBe(before[0]);
    expect(text('accounts.conf')).toContain('service-worker-3');
    expect(text('accounts.conf')).toContain('operator-sre');
  });

  it('replaces a key with --rotate alone, all with --force', async () => {
    await natsUsers(nodes);
    const [one, two] = nodes.map((node) => text(`nodes/${node}.nk`));
    expect(await states(nodes, '--rotate', 'worker-2')).toEqual({
      ...{ [nodes[0]!]: 'kept', 'worker-2': 'rotated' },
    });
    expect(text(`nodes/${nodes[0]!}.nk`)).toBe(one);
    expect(text('nodes/worker-2.nk')).not.toBe(two);
    expect(text('secret.yaml')).toContain(text('nodes/worker-2.nk').trim());
    await natsUsers(nodes, '--force');
    expect(text(`nodes/${nodes[0]!}.nk`)).not.toBe(one);
  });

  it('takes the access of a node that is no longer listed, says so and keeps its key', async () => {
    await natsUsers(nodes);
    const ran = await natsUsers(['worker-2']);
    expect(ran.stderr).toMatch(/without access from now on: worker-1\.example\.net/);
    expect(text('accounts.conf')).not.toContain('worker-1');
    expect(parse(text('secret.yaml')).stringData).toEqual({
      'worker-2': text('nodes/worker-2.nk').trim(),
    });
    expect(existsSync(file('nodes/worker-1.example.net.nk'))).toBe(true);
  });

  it('does not touch a key that others may read, nor a file that is none', async () => {
    await natsUsers(nodes);
    const key = file('nodes/worker-2.nk');
    chmodSync(key, 0o644);
    const read = await natsUsers(nodes, '--force');
    expect([read.code, read.stderr]).toEqual([1, expect.stringMatching(/chmod 600 .*worker-2/)]);
    chmodSync(key, 0o600);
    writeFileSync(key, 'not a seed\n');
    const other = await natsUsers(nodes, '--force');
    expect([other.code, other.stderr]).toEqual([
      1,
      expect.stringMatching(/does not hold the seed/),
    ]);
    expect(text('nodes/worker-2.nk')).toBe('not a seed\n');
  });
});

it('the names come from stdin, too', async () => {
  const args = [program, 'nats', 'users', '--nodes-from', '-', '--out', path.join(folder, 'out')];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end('node/worker-1\n\nnode/worker-2\n');
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  expect(readdirSync(file('nodes'))).toEqual(['worker-1.nk', 'worker-2.nk']);
});

it.each([
  [['worker_1'], [], 64, /nodes, line 1: .*worker_1/],
  [['# none'], [], 1, /nodes names no node/],
  [['worker-1'], ['--rotate', 'worker-11'], 64, /no user "worker-11"\n {2}the nearest is worker-1/],
  [['worker-1'], ['--operator', 'A B'], 64, /operator "A B" is not a name/],
  [['worker-1'], ['--secret-name', 'A'], 64, /--secret-name "A" is no name in Kubernetes/],
])('%j %j is refused, and no file is written', async (list, args, code, message) => {
  const ran = await natsUsers(list, ...args);
  expect([ran.code, ran.stderr]).toEqual([code, expect.stringMatching(message)]);
  expect(existsSync(path.join(folder, 'out'))).toBe(false);
});

describe('with a nats-server of this configuration', () => {
  let server: TestNatsServer;

  beforeEach(async () => {
    await natsUsers(nodes, '--operator', 'sre', '--consumer', 'capacity');
    server = await TestNatsServer.start({ config: text('accounts.conf') });
    cleanUps.push(() => server.remove());
    const { streams, consumers } = await (
      await login('operators/sre', '_INBOX_sre')
    ).jetstreamManager();
    const print = (...args: string[]) =>
      JSON.parse(execFileSync(process.execPath, [permissions, ...args]).toString()) as object;
    await streams.add(print('--format', 'stream'));
    const consumer = print('--format', 'consumer', '--consumer', 'capacity');
    await consumers.add('STOWAGE_EVENTS', consumer);
  });

  async function login(key: string, inboxPrefix?: string): Promise<NatsConnection> {
    const seed = text(`${key}.nk`).trim();
    const connection = await connect({
      servers: server.url,
      authenticator: nkeyAuthenticator(Buffer.from(seed)),
      reconnect: false,
      ...(inboxPrefix && { inboxPrefix }),
    });
    cleanUps.push(() => connection.close());
    return connection;
  }

  /** What the server complains of; empty when it complains of nothing. */
  async function complaints(connection: NatsConnection, act: () => unknown): Promise<string[]> {
    const seen: string[] = [];
    void (async () => {
      for await (const { permissionContext } of connection.status()) {
        if (permissionContext !== undefined) {
          seen.push(`${permissionContext.operation} ${permissionContext.subject}`);
        }
      }
    })();
    act();
    // Its complaint comes before the answer to the second of these at the latest.
    await connection.flush();
    await connection.flush();
    return seen;
  }

  const event = (node: string) => eventSubject(node, 'ImagePulled');

  it.each([
    [nodes[0]!, nodes[1]!],
    [nodes[1]!, nodes[0]!],
  ])('the key of %s does what its services must, and nothing for %s', async (own, other) => {
    const operator = await login('operators/sre', '_INBOX_sre');
    const service = await login(`nodes/${own}`);
    // It publishes events of its node, and has them acknowledged.
    const acknowledged = await service.request(event(own), '{}', { timeout: 10_000 });
    expect(acknowledged.json()).toMatchObject({ stream: 'STOWAGE_EVENTS' });
    const info = await service.request('stowage.api.STREAM.INFO.STOWAGE_EVENTS');
    expect(info.json()).toMatchObject({ state: { messages: 1 } });
    // It answers commands to its node.
    const subject = commandSubject(own, 'gc-worker', 'status');
    service.subscribe(subject, { callback: (_error, message) => void message.respond('done') });
    await service.flush();
    expect((await operator.request(subject, '{}')).string()).toBe('done');
    // It reads the events of its node as they come.
    let heard = 0;
    service.subscribe(`${event(own).split('.').slice(0, 3).join('.')}.>`, {
      callback: () => (heard += 1),
    });
    await service.flush();
    service.publish(event(own), '{}');
    await eventually(() => heard === 1);

    for (const forbidden of [
      event(other),
      commandSubject(other, 'gc-worker', 'run'),
      commandSubject(own, 'gc-worker', 'run'),
      '$JS.API.STREAM.PURGE.STOWAGE_EVENTS',
      'stowage.api.STREAM.DELETE.STOWAGE_EVENTS',
      '_INBOX_sre.x',
    ]) {
      expect(await complaints(service, () => service.publish(forbidden, '{}'))).toEqual([
        `publish ${forbidden}`,
      ]);
    }
    const listener = await login(`nodes/${own}`);
    for (const forbidden of [
      commandSubject(other, 'gc-worker', 'status'),
      `stowage.event.${other.replaceAll('.', '_')}.>`,
      '>',
    ]) {
      expect(await complaints(listener, () => listener.subscribe(forbidden))).toEqual([
        `subscription ${forbidden}`,
      ]);
    }
    const { state } = await (await operator.jetstreamManager()).streams.info('STOWAGE_EVENTS');
    expect(state.messages).toBe(2);
  });

  it('a consumer fetches through its durable consumer, an operator commands every node', async () => {
    const service = await login(`nodes/${nodes[0]!}`);
    await service.request(event(nodes[0]!), '"an event"', { timeout: 10_000 });
    const consumer = await login('consumers/capacity', '_INBOX_capacity');
    const message = await consumer.request(
      'stowage.api.CONSUMER.MSG.NEXT.STOWAGE_EVENTS.capacity',
      JSON.stringify({ batch: 1, expires: 5e9 }),
      // The message comes under its own subject.
      { timeout: 10_000, noMux: true },
    );
    expect(message.string()).toBe('"an event"');
    const operator = await login('operators/sre', '_INBOX_sre');
    for (const node of nodes) {
      const command = commandSubject(node, 'gc-worker', 'run');
      expect(await complaints(operator, () => operator.publish(command, '{}'))).toEqual([]);
    }
  });

  it('a key that was replaced is refused once the server has the new configuration', async () => {
    const old = Buffer.from(text('nodes/worker-2.nk').trim());
    await natsUsers(nodes, '--rotate', 'worker-2');
    await server.stop();
    await server.start({ config: text('accounts.conf') });
    const authenticator = nkeyAuthenticator(old);
    // On a busy machine the server may end the connection before the login has come.
    await eventually(async () => {
      const refusal = await connect({ servers: server.url, authenticator, reconnect: false }).then(
        (connection) => connection.close(),
        (error: unknown) => String(error),
      );
      return refusal?.includes('Authorization Violation');
    });
    await login('nodes/worker-2');
  });
});
