import {
  ContainerEventType,
  PodSandboxState,
  PodSandboxStatus,
  type ContainerEventResponse,
} from '@stowage/cri-proto';
import { NotFoundError } from '@stowage/errors';
import { eventually, startStack, subscribeEvents, type Stack } from '@stowage/testing';
import { EngineConnection } from '../engine/engine-connection';
import { isNotFound } from '../engine/engine-errors';
import { ListedContainers } from '../pod/listed-containers';
import { EnginePods } from '../testing/engine-pods';
import { ShimProcess } from '../testing/shim-process';
import { ContainerEvents } from './container-events';
import { EngineEvents } from './engine-events';
import type { ContainerChange } from './known-containers';

const { CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT } = ContainerEventType;
const { CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } = ContainerEventType;

describe.each([false, true])('events of a real engine, live-restore %s', (liveRestore) => {
  let stack: Stack;
  let pods: EnginePods;
  let connection: EngineConnection;
  let events: EngineEvents;
  let containerEvents: ContainerEvents;
  let image: string;
  const call = new AbortController();
  const changes: ContainerChange[] = [];
  const sent: ContainerEventResponse[] = [];
  const failures: unknown[] = [];

  beforeAll(async () => {
    stack = await startStack({ docker: { liveRestore }, nats: false });
    pods = new EnginePods(stack);
    image = (await stack.pushImage({ name: 'team/events' })).reference;
    await stack.docker.api(
      'POST',
      `/images/create?fromImage=${image.replace(/:latest$/, '')}&tag=latest`,
    );
    connection = new EngineConnection({ socketPath: stack.docker.socket, timeoutMs: 60_000 });
    events = new EngineEvents({
      connection,
      list: (signal) => pods.list(connection.engine().client, signal),
      containers: new ListedContainers(),
      listener: { received: () => undefined, differed: () => undefined },
      log: { debug: () => undefined },
    });
    events.onContainerEvent((change) => changes.push(change));
    containerEvents = new ContainerEvents({
      events,
      podStatus: async (id, signal) => {
        try {
          await connection.engine().client.inspectContainer(id, { signal });
        } catch (error) {
          throw isNotFound(error) ? new NotFoundError('pod sandbox', id) : error;
        }
        return { sandbox: PodSandboxStatus.fromPartial({ id }), containers: [] };
      },
      listener: { subscriberDropped: () => undefined },
    });
    void (async () => {
      const stream = containerEvents.getContainerEvents(
        {},
        { signal: call.signal, fail: (error) => failures.push(error) },
      );
      for await (const event of stream) sent.push(event);
    })();
    events.start();
    await eventually(() => connection.availability().available);
  }, 120_000);

  afterAll(async () => {
    call.abort();
    containerEvents.close();
    await events.close();
    await connection.close();
    await stack.down();
  });

  const kindsOf = (id: string) => changes.filter((one) => one.id === id).map(({ kind }) => kind);
  const typesOf = (id: string) =>
    sent.filter(({ containerId }) => containerId === id).map((one) => one.containerEventType);

  it('the life of a container is reported in order, with its times', async () => {
    const before = BigInt(Date.now()) * 1_000_000n;
    const sandbox = await pods.sandbox(image, 'pod1');
    const id = await pods.container(image, sandbox, 'app', 'exit 3');
    await pods.start(id);
    await eventually(() => kindsOf(id).includes('die'));
    await pods.remove(id);
    await pods.remove(sandbox);
    await eventually(() => kindsOf(sandbox).includes('destroy'));
    expect(kindsOf(id)).toEqual(['create', 'start', 'die', 'destroy']);
    expect(kindsOf(sandbox)).toEqual(['create', 'start', 'die', 'destroy']);
    const of = changes.filter((one) => one.id === id);
    expect(of.map(({ source }) => source)).toEqual(['event', 'event', 'event', 'event']);
    expect(of[2]).toMatchObject({ exitCode: 3, sandboxId: sandbox });
    const times = of.map(({ atNs }) => atNs);
    expect([...times].sort((a, b) => Number(a - b))).toEqual(times);
    expect(times[0]).toBeGreaterThanOrEqual(before);
    const all = [
      CONTAINER_CREATED_EVENT,
      CONTAINER_STARTED_EVENT,
      CONTAINER_STOPPED_EVENT,
      CONTAINER_DELETED_EVENT,
    ];
    await eventually(() => typesOf(sandbox).length === 4);
    expect([typesOf(id), typesOf(sandbox)]).toEqual([all, all]);
    expect(sent.filter(({ containerId }) => containerId === sandbox).at(-1)).toMatchObject({
      podSandboxStatus: { id: sandbox, state: PodSandboxState.SANDBOX_NOTREADY },
    });
  }, 60_000);

  it('what a killed engine did not report is reported after its restart', async () => {
    const sandbox = await pods.sandbox(image, 'pod2');
    const lasting = await pods.container(image, sandbox, 'lasting', 'sleep 1000');
    const ending = await pods.container(image, sandbox, 'ending', 'sleep 4');
    await pods.start(lasting);
    await pods.start(ending);
    await eventually(() => kindsOf(ending).includes('start'));
    await stack.docker.kill();
    await eventually(() => !connection.availability().available);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    await stack.docker.start();
    await eventually(() => kindsOf(ending).includes('die'), { timeoutMs: 30_000 });
    await eventually(() => typesOf(ending).includes(CONTAINER_STOPPED_EVENT));
    expect(kindsOf(ending)).toEqual(['create', 'start', 'die']);
    expect(kindsOf(lasting)).toEqual(
      liveRestore ? ['create', 'start'] : ['create', 'start', 'die'],
    );
    // The stream has not ended, and events come as before.
    expect(failures).toEqual([]);
    await pods.remove(lasting);
    await eventually(() => typesOf(lasting).includes(CONTAINER_DELETED_EVENT));
    expect(kindsOf(lasting)).toEqual(['create', 'start', 'die', 'destroy']);
    await pods.remove(ending);
    await pods.remove(sandbox);
    await eventually(() => kindsOf(sandbox).includes('destroy'));
  }, 120_000);
});

it('an outage of the engine is on the event bus, once, and its end', async () => {
  const stack = await startStack({ docker: {} });
  const shim = new ShimProcess(stack);
  try {
    await shim.start({ env: { STOWAGE_NATS_SERVERS: stack.nats.url } });
    const events = await subscribeEvents(stack.nats.url);
    await stack.docker.kill();
    const unavailable = await events.waitFor('RuntimeUnavailable');
    expect(unavailable).toMatchObject({
      source: '/nodes/node-1/docker-shim',
      subject: stack.docker.endpoint,
      data: { endpoint: stack.docker.endpoint },
    });
    await stack.docker.start();
    const recovered = await events.waitFor('RuntimeRecovered');
    expect(recovered).toMatchObject({
      source: '/nodes/node-1/docker-shim',
      data: {
        endpoint: stack.docker.endpoint,
        unavailableSince: unavailable.data.unavailableSince,
        runtime: { name: 'docker' },
      },
    });
    expect(await shim.stop()).toBe(0);
    expect(events.named('RuntimeUnavailable')).toHaveLength(1);
    await events.close();
  } finally {
    await stack.down();
  }
}, 120_000);
