import path from 'node:path';
import { commandSubject } from '@stowage/events';
import { eventually } from './eventually';
import { ServiceFixture } from './service-fixture';

const script = path.join(__dirname, '../testdata/app.js');
let fixture: ServiceFixture;

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node: 'node-f', containerd: false, registries: false });
});
afterAll(() => fixture.down());

it('gives a service the node, NATS and a state directory; a value of the test goes before', () => {
  const { stack } = fixture;
  const runtime = { STOWAGE_RUNTIME_ENDPOINT: 'unix:///fake.sock' };
  expect(fixture.environment('gc-worker', runtime)).toEqual({
    STOWAGE_COMMAND_SOCKET: '',
    STOWAGE_NODE_NAME: 'node-f',
    STOWAGE_RUNTIME_ENDPOINT: 'unix:///fake.sock',
    STOWAGE_NATS_SERVERS: stack.nats.url,
    STOWAGE_STATE_DIR: path.join(stack.dir, 'gc-worker'),
  });
  const own = { ...runtime, STOWAGE_NODE_NAME: 'other', STOWAGE_LISTEN: '/x.sock' };
  expect(fixture.environment('gc-worker', own)).toMatchObject(own);
  // The stack has no runtime that could be named.
  expect(() => fixture.environment('gc-worker', {})).toThrow('containerd');
});

it('ends its services, also those that a test has ended itself', async () => {
  const values = { STOWAGE_RUNTIME_ENDPOINT: 'unix:///fake.sock', MODE: 'numbers' };
  const [one, two] = [await fixture.start(script, values), await fixture.start(script, values)];
  expect(await one.readiness()).toEqual({ status: 200, text: 'nats degraded' });
  expect(await one.metric('pulls_total{result="success"}')).toBe(2.5);
  expect(await one.metric('pulls_total')).toBe(0);
  await one.kill();
  await fixture.stopServices();
  expect(await one.exited).toEqual({ code: null, signal: 'SIGKILL' });
  expect(await two.exited).toEqual({ code: 3, signal: null });
});

it('asks commands with whatever input, and keeps its connection when NATS was away', async () => {
  const { nats, stack } = fixture;
  const subscription = nats.subscribe(commandSubject('node-f', 'gc-worker', 'plan'), {
    callback: (_error, message) => void message.respond(`{"got":${message.string()}}`),
  });
  expect(await fixture.request('gc-worker', 'plan')).toEqual({ got: {} });
  expect(await fixture.request('gc-worker', 'plan', '[1]')).toEqual({ got: [1] });
  await stack.nats.restart();
  // One that was sent while it was away is lost.
  const again = () => fixture.request('gc-worker', 'plan', { limit: 1 }, { timeoutMs: 1000 });
  expect(await eventually(again)).toEqual({ got: { limit: 1 } });
  subscription.unsubscribe();
});
