import {
  ContainerEventType,
  ContainerStatus,
  PodSandbox,
  PodSandboxState,
  PodSandboxStatus,
  type ContainerEventResponse,
} from '@stowage/cri-proto';
import { NotFoundError, RuntimeUnavailableError } from '@stowage/errors';
import { eventually } from '@stowage/testing';
import { ContainerEvents } from './container-events';
import type { ChangeKind, ContainerChange } from './known-containers';

const { CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT } = ContainerEventType;
const { CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } = ContainerEventType;

describe('ContainerEvents', () => {
  let listener: (change: ContainerChange) => void;
  let events: ContainerEvents;
  /** Containers by sandbox, as status calls show them. */
  let pods: Map<string, string[]>;
  let calls: string[];
  let underWay: number;
  let mostUnderWay: number;
  let dropped: number;
  let failure: Error | undefined;

  const change = (kind: ChangeKind, id: string, of: Partial<ContainerChange> = {}) =>
    listener({ kind, id, sandboxId: 'p', atNs: 7n, source: 'event', ...of });

  /** A subscriber that reads, or one that does not. */
  function subscribe({ reads = true } = {}) {
    const call = new AbortController();
    const seen: ContainerEventResponse[] = [];
    const failures: unknown[] = [];
    const subscription = events.getContainerEvents(
      {},
      {
        signal: call.signal,
        fail: (error) => {
          failures.push(error);
          call.abort(error);
        },
      },
    );
    const ended = reads
      ? (async () => {
          for await (const event of subscription) seen.push(event);
        })()
      : Promise.resolve();
    return { seen, failures, ended, leave: () => call.abort() };
  }

  beforeEach(() => {
    pods = new Map([['p', ['c']]]);
    calls = [];
    underWay = 0;
    mostUnderWay = 0;
    dropped = 0;
    failure = undefined;
    events = new ContainerEvents({
      events: {
        onContainerEvent: (given) => {
          listener = given;
          return () => undefined;
        },
      },
      podStatus: async (id) => {
        calls.push(id);
        underWay += 1;
        mostUnderWay = Math.max(mostUnderWay, underWay);
        await new Promise((resolve) => setTimeout(resolve, 5));
        underWay -= 1;
        if (failure !== undefined) throw failure;
        const containers = pods.get(id);
        if (containers === undefined) throw new NotFoundError('pod sandbox', id);
        return {
          sandbox: PodSandboxStatus.fromPartial({ id, state: PodSandboxState.SANDBOX_READY }),
          containers: containers.map((container) => ContainerStatus.fromPartial({ id: container })),
        };
      },
      listener: { subscriberDropped: () => (dropped += 1) },
    });
  });
  afterEach(() => events.close());

  it('every subscriber gets every change with the pod as it is, in order', async () => {
    const subscribers = [subscribe(), subscribe()];
    change('create', 'c');
    change('start', 'c');
    change('oom', 'c');
    change('die', 'c');
    for (const { seen } of subscribers) {
      await eventually(() => seen.length === 3);
      expect(seen.map(({ containerEventType }) => containerEventType)).toEqual([
        CONTAINER_CREATED_EVENT,
        CONTAINER_STARTED_EVENT,
        CONTAINER_STOPPED_EVENT,
      ]);
      expect(seen[0]).toMatchObject({
        containerId: 'c',
        createdAt: 7n,
        podSandboxStatus: { id: 'p', state: PodSandboxState.SANDBOX_READY },
        containersStatuses: [{ id: 'c' }],
      });
    }
    // What came together shares one status.
    expect(calls).toEqual(['p']);
  });

  it('asks for the status of a pod one at a time, anew for what came meanwhile', async () => {
    const { seen } = subscribe();
    pods.set('q', []);
    for (let n = 0; n < 50; n += 1) {
      change('start', `c${n}`);
      if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    }
    change('start', 'd', { sandboxId: 'q' });
    await eventually(() => seen.length === 51);
    expect(
      seen.filter(({ containerId }) => containerId !== 'd').map((one) => one.containerId),
    ).toEqual(Array.from({ length: 50 }, (_one, n) => `c${n}`));
    expect(calls.filter((id) => id === 'p').length).toBeLessThan(8);
    // Of the two pods.
    expect(mostUnderWay).toBeLessThanOrEqual(2);
  });

  it('nobody is asked for anything while nobody listens', async () => {
    change('start', 'c');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toEqual([]);
    const { seen, leave, ended } = subscribe();
    leave();
    await ended;
    change('die', 'c');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([calls, seen]).toEqual([[], []]);
  });

  it('a removed container is not among those of its pod; a removed sandbox is as last known, not ready', async () => {
    const { seen } = subscribe();
    pods.set('p', ['c', 'd']);
    change('destroy', 'c');
    await eventually(() => seen.length === 1);
    expect(seen[0]?.containersStatuses.map(({ id }) => id)).toEqual(['d']);
    pods.delete('p');
    change('destroy', 'd');
    change('die', 'p');
    change('destroy', 'p');
    await eventually(() => seen.length === 4);
    expect(seen[3]).toMatchObject({
      containerId: 'p',
      containerEventType: CONTAINER_DELETED_EVENT,
      podSandboxStatus: { id: 'p', state: PodSandboxState.SANDBOX_NOTREADY },
      containersStatuses: [],
    });
  });

  it('of a sandbox that was never looked at, the list says enough', async () => {
    const { seen } = subscribe();
    pods.clear();
    const sandbox = PodSandbox.fromPartial({
      id: 'q',
      metadata: { name: 'pod', namespace: 'ns', uid: 'u' },
      createdAt: 5n,
      labels: { a: 'b' },
    });
    change('destroy', 'q', { sandboxId: 'q', sandbox });
    await eventually(() => seen.length === 1);
    expect(seen[0]?.podSandboxStatus).toMatchObject({
      id: 'q',
      state: PodSandboxState.SANDBOX_NOTREADY,
      metadata: { name: 'pod', namespace: 'ns', uid: 'u' },
      createdAt: 5n,
      labels: { a: 'b' },
    });
  });

  it('while the engine is away the stream stays open, and what happened is sent when it is back', async () => {
    const { seen, failures } = subscribe();
    failure = new RuntimeUnavailableError('unix:///x', new Date(0), 'away');
    change('die', 'c');
    change('start', 'c');
    await eventually(() => calls.length > 1);
    expect([seen, failures]).toEqual([[], []]);
    failure = undefined;
    await eventually(() => seen.length === 2);
    expect(seen.map(({ containerEventType }) => containerEventType)).toEqual([
      CONTAINER_STOPPED_EVENT,
      CONTAINER_STARTED_EVENT,
    ]);
  });

  it('an event is sent though the status of its pod cannot be had', async () => {
    const { seen } = subscribe();
    change('start', 'c');
    await eventually(() => seen.length === 1);
    failure = new Error('broken');
    change('die', 'c');
    await eventually(() => seen.length === 2, { timeoutMs: 10_000 });
    expect(seen[1]).toMatchObject({
      podSandboxStatus: { id: 'p', state: PodSandboxState.SANDBOX_READY },
      containersStatuses: [],
    });
  });

  it('a subscriber that does not read is ended when 1000 events wait for it, the others go on', async () => {
    const slow = subscribe({ reads: false });
    const { seen } = subscribe();
    for (let n = 0; n < 1000; n += 1) change('start', 'c');
    await eventually(() => seen.length === 1000);
    expect(slow.failures).toEqual([]);
    change('die', 'c');
    await eventually(() => seen.length === 1001);
    expect(slow.failures).toMatchObject([
      {
        grpcStatus: 'RESOURCE_EXHAUSTED',
        message: 'the queue of container events is full: limit 1000',
      },
    ]);
    expect(dropped).toBe(1);
    change('start', 'c');
    await eventually(() => seen.length === 1002);
    expect(dropped).toBe(1);
  });

  it('ends the streams when it is closed', async () => {
    const { ended } = subscribe();
    events.close();
    await ended;
    await subscribe().ended;
  });
});
