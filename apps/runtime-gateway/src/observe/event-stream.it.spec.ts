import { renameSync } from 'node:fs';
import path from 'node:path';
import { connectRuntimeService, type RuntimeServiceClient } from '@stowage/cri-client';
import {
  eventually,
  eventuallyPasses,
  startStack,
  subscribeEvents,
  type EventCollection,
  type Stack,
} from '@stowage/testing';
import { FakeRuntime } from '../testing/fake-runtime';
import { brief, eventsAbout, GatewayProcess } from '../testing/gateway-process';

/** Listings alone would come too late for any of these tests. */
const relistInterval = '1h';

describe('runtime-gateway on a runtime with an event stream', () => {
  let stack: Stack;
  let events: EventCollection;
  let runtime: FakeRuntime;
  let gateway: GatewayProcess;
  /** A client that goes past the gateway. */
  let outside: RuntimeServiceClient;
  let runtimes = 0;

  const startRuntime = async (identity: { runtimeName: string; runtimeVersion: string }) => {
    runtimes += 1;
    const socket = path.join(stack.dir, `fake-${runtimes}.sock`);
    runtime = await FakeRuntime.start(socket, identity);
    outside = connectRuntimeService({ endpoint: `unix://${socket}`, versions: 'v1' });
    gateway = new GatewayProcess(stack, {
      node: `node-${runtimes}`,
      runtimeEndpoint: `unix://${socket}`,
    });
    return socket;
  };
  const startGateway = (env: Record<string, string> = {}) =>
    gateway.start({ env: { STOWAGE_RELIST_INTERVAL: relistInterval, ...env } });
  const start = async (
    identity: { runtimeName: string; runtimeVersion: string },
    env: Record<string, string> = {},
  ) => {
    const socket = await startRuntime(identity);
    await startGateway(env);
    return socket;
  };
  const reading = () =>
    eventually(
      async () => (await gateway.app.metric('stowage_gateway_runtime_event_stream')) === 1,
      {
        what: 'the event stream to be read',
      },
    );
  const published = (...ids: string[]) =>
    eventsAbout(events, `node-${runtimes}`, ...ids).map((event) =>
      brief(event).replace(event.subject.slice(0, 8), event.subject.slice(0, 1)),
    );
  const runPod = async (client: RuntimeServiceClient = gateway.client) => {
    const config = { metadata: { name: 'cart-0', namespace: 'shop', uid: 'u1' } };
    const { podSandboxId } = await client.runPodSandbox({ config });
    const { containerId } = await client.createContainer({
      podSandboxId,
      config: { metadata: { name: 'main' }, image: { image: 'team/app:1' } },
      sandboxConfig: config,
    });
    await client.startContainer({ containerId });
    return { podSandboxId, containerId };
  };

  beforeAll(async () => {
    stack = await startStack({ containerd: false, registries: false });
    events = await subscribeEvents(stack.nats.url);
  });

  afterEach(async () => {
    await gateway.end();
    outside.close();
    runtime.stop();
  });

  afterAll(async () => {
    await events.close();
    await stack.down();
  });

  it('publishes what calls did as their doing, and an exit by itself from the stream', async () => {
    await start({ runtimeName: 'containerd', runtimeVersion: 'v2.1.4' });
    await reading();
    const { podSandboxId, containerId } = await runPod();
    runtime.exit(containerId, 3);
    const stopped = await events.waitFor('ContainerStopped');
    expect(stopped.data).toMatchObject({
      containerId,
      pod: { namespace: 'shop', name: 'cart-0', uid: 'u1' },
      exitCode: 3,
      reason: 'Error',
      requested: false,
      observedBy: 'runtime-event',
    });
    await gateway.client.stopContainer({ containerId });
    await gateway.client.removeContainer({ containerId });
    await eventuallyPasses(() => {
      expect(published(podSandboxId, containerId)).toEqual([
        'PodSandboxStarted 5 call',
        'ContainerCreated c call',
        'ContainerStarted c call',
        'ContainerStopped c runtime-event',
        'ContainerRemoved c call',
      ]);
    });
  });

  it.each([{ imageRouting: 'false' }, { imageRouting: 'true' }])(
    'publishes that a container is asked for while the runtime still creates it, imageRouting $imageRouting',
    async ({ imageRouting }) => {
      await start(
        { runtimeName: 'another', runtimeVersion: '1' },
        { STOWAGE_IMAGE_ROUTING: imageRouting },
      );
      let create: () => void = () => undefined;
      runtime.creation = new Promise((resolve) => (create = resolve));
      const running = runPod();
      const asked = await events.waitFor(
        'ContainerCreationStarted',
        ({ node }) => node === `node-${runtimes}`,
      );
      expect(runtime.lives.size).toBe(0);
      expect(asked.data).toMatchObject({
        pod: { namespace: 'shop', name: 'cart-0', uid: 'u1' },
        name: 'main',
        image: { reference: 'team/app:1' },
      });
      create();
      const { containerId } = await running;
      await eventuallyPasses(() => {
        expect(published(containerId)).toEqual([
          'ContainerCreated c call',
          'ContainerStarted c call',
        ]);
      });
    },
  );

  it('publishes a stop that was asked for as such, although the stream shows it first', async () => {
    await start({ runtimeName: 'another', runtimeVersion: '1' });
    await reading();
    const { containerId } = await runPod();
    await gateway.client.stopContainer({ containerId });
    await eventuallyPasses(() => {
      expect(published(containerId)).toEqual([
        'ContainerCreated c call',
        'ContainerStarted c call',
        'ContainerStopped c call',
      ]);
    });
  });

  it('publishes the exit code of a container that is removed right after its stop', async () => {
    await start({ runtimeName: 'another', runtimeVersion: '1' });
    await reading();
    const { containerId } = await runPod();
    // The runtime knows nothing of it any more when it is asked.
    runtime.removeWhenStopped = true;
    await gateway.client.stopContainer({ containerId });
    await eventuallyPasses(() => {
      const stops = eventsAbout(events, `node-${runtimes}`, containerId).slice(2);
      expect(stops).toMatchObject([
        { name: 'ContainerStopped', data: { exitCode: 143, reason: 'Error', requested: true } },
      ]);
    });
  });

  it('makes good by a listing what happened while the stream was broken', async () => {
    await start({ runtimeName: 'another', runtimeVersion: '1' });
    await reading();
    const { containerId } = await runPod();
    runtime.endStreams();
    runtime.exit(containerId, 9);
    await eventuallyPasses(() => {
      expect(published(containerId).at(-1)).toBe('ContainerStopped c listing');
    });
    await reading();
    const other = await runPod();
    runtime.exit(other.containerId, 1);
    await eventuallyPasses(() => {
      expect(published(other.containerId).at(-1)).toBe('ContainerStopped c runtime-event');
    });
  });

  it.each<{ env: Record<string, string>; runtimeVersion: string; why: string }>([
    { env: {}, runtimeVersion: '1.7.27', why: 'whose readers would take events from each other' },
    { env: { STOWAGE_RUNTIME_EVENTS: 'never' }, runtimeVersion: '2.1.4', why: 'by configuration' },
  ])('leaves the stream alone $why, and lists', async ({ env, runtimeVersion }) => {
    await start(
      { runtimeName: 'containerd', runtimeVersion },
      { STOWAGE_RELIST_INTERVAL: '200ms', ...env },
    );
    const { containerId } = await runPod();
    runtime.exit(containerId, 3);
    await eventuallyPasses(() => {
      expect(published(containerId).at(-1)).toBe('ContainerStopped c listing');
    });
    expect(runtime.readers).toBe(0);
  });

  it('reads the stream of any runtime when the configuration says so', async () => {
    await start(
      { runtimeName: 'containerd', runtimeVersion: '1.7.27' },
      { STOWAGE_RUNTIME_EVENTS: 'always' },
    );
    await reading();
    expect(runtime.readers).toBe(1);
  });

  it('publishes nothing of what the runtime kept from before the first start', async () => {
    await startRuntime({ runtimeName: 'containerd', runtimeVersion: 'v2.1.4' });
    runtime.keepsEvents = true;
    const gone = await runPod(outside);
    await outside.stopPodSandbox({ podSandboxId: gone.podSandboxId });
    await outside.removePodSandbox({ podSandboxId: gone.podSandboxId });
    const there = await runPod(outside);
    await startGateway();
    await reading();
    const { podSandboxId, containerId } = await runPod(outside);
    runtime.exit(there.containerId, 3);
    await eventuallyPasses(() => {
      expect(
        published(podSandboxId, containerId, ...Object.values(gone), ...Object.values(there)),
      ).toEqual([
        'PodSandboxStarted 5 runtime-event',
        'ContainerCreated c runtime-event',
        'ContainerStarted c runtime-event',
        'ContainerStopped c runtime-event',
      ]);
    });
  });

  it('publishes once, with its time, what the runtime kept while the gateway was down', async () => {
    await start({ runtimeName: 'containerd', runtimeVersion: 'v2.1.4' });
    await reading();
    runtime.keepsEvents = true;
    const known = await runPod();
    await eventuallyPasses(() => {
      expect(published(known.containerId)).toHaveLength(2);
    });
    await gateway.stop();
    await eventually(() => runtime.readers === 0, { what: 'the stream to be closed' });
    const wasDownAt = Date.now();
    const missed = await runPod(outside);
    runtime.exit(missed.containerId, 3);
    await outside.removePodSandbox({ podSandboxId: missed.podSandboxId });
    await outside.stopContainer({ containerId: known.containerId });
    const isBackAt = Date.now();
    await eventually(() => Date.now() > isBackAt + 500, { what: 'some time to pass' });
    await startGateway();
    await reading();
    const after = await runPod();
    await eventuallyPasses(() => {
      expect(published(after.containerId)).toHaveLength(2);
    });
    const ids = [...Object.values(missed), known.containerId];
    const found = eventsAbout(events, `node-${runtimes}`, ...ids).slice(2);
    expect(found.map(({ name, subject }) => `${name} ${ids.indexOf(subject)}`).sort()).toEqual(
      [
        'PodSandboxStarted 0',
        'PodSandboxStopped 0',
        'PodSandboxRemoved 0',
        'ContainerCreated 1',
        'ContainerStarted 1',
        'ContainerStopped 1',
        'ContainerRemoved 1',
        'ContainerStopped 2',
      ].sort(),
    );
    for (const { time } of found) {
      expect(Number(time)).toBeGreaterThanOrEqual(wasDownAt);
      expect(Number(time)).toBeLessThanOrEqual(isBackAt);
    }
    const ofMissed = found.filter(({ subject }) => subject === missed.containerId);
    expect(ofMissed.map(({ time }) => Number(time))).toEqual(
      ofMissed.map(({ time }) => Number(time)).sort((a, b) => a - b),
    );
  });

  it('finds within seconds the removal of a sandbox that the stream does not show', async () => {
    await start(
      { runtimeName: 'cri-o', runtimeVersion: '1.37.0' },
      { STOWAGE_RELIST_INTERVAL: '5s' },
    );
    await reading();
    runtime.removesSilently = true;
    const { podSandboxId, containerId } = await runPod(outside);
    await outside.stopPodSandbox({ podSandboxId });
    await eventuallyPasses(() => {
      expect(published(podSandboxId).at(-1)).toBe('PodSandboxStopped 5 runtime-event');
    });
    await outside.removePodSandbox({ podSandboxId });
    await eventuallyPasses(() => {
      expect(published(podSandboxId, containerId).slice(-2)).toEqual([
        'ContainerRemoved c listing',
        'PodSandboxRemoved 5 listing',
      ]);
    });
  });

  it('reads the stream of the process that has the socket, while the one before keeps its own open', async () => {
    const identity = { runtimeName: 'cri-o', runtimeVersion: '1.37.0' };
    const socket = await start(identity);
    await reading();
    const before = runtime;
    runtime = await FakeRuntime.start(`${socket}.new`, identity);
    renameSync(`${socket}.new`, socket);
    try {
      await eventually(() => runtime.readers === 1, { what: 'the stream of the new process' });
      await eventually(() => before.readers === 0, { what: 'the old stream to be let go' });
      const { containerId } = await runPod();
      runtime.exit(containerId, 3);
      await eventuallyPasses(() => {
        expect(published(containerId).at(-1)).toBe('ContainerStopped c runtime-event');
      });
    } finally {
      before.stop();
    }
  });

  it('names the ID of an image that only lists show', async () => {
    await start({ runtimeName: 'containerd', runtimeVersion: 'v2.1.4' });
    await reading();
    runtime.statusHasImageId = false;
    const { containerId } = await runPod(outside);
    await eventuallyPasses(() => {
      expect(published(containerId)).toHaveLength(2);
    });
    expect(eventsAbout(events, `node-${runtimes}`, containerId)[0]?.data).toMatchObject({
      image: { reference: 'team/app:1', imageId: `sha256:${'2b'.repeat(32)}` },
    });
  });
});
