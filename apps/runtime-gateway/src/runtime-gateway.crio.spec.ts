import { readFileSync, writeFileSync } from 'node:fs';
import { connectRuntimeService, type RuntimeServiceClient } from '@stowage/cri-client';
import { NamespaceMode } from '@stowage/cri-proto';
import {
  eventually,
  eventuallyPasses,
  startStack,
  subscribeEvents,
  type EventCollection,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import { brief, eventsAbout, GatewayProcess } from './testing/gateway-process';

const node = 'node-1.example';
/** As kubelet asks for it: a process namespace for each container. */
const securityContext = { namespaceOptions: { pid: NamespaceMode.CONTAINER } };
/** Beside a stream listings are five minutes apart: what comes sooner was looked for. */
const relist = { STOWAGE_RELIST_INTERVAL: '2s' };

describe.each([
  ['with pod events', true],
  ['without pod events', false],
])('runtime-gateway on CRI-O %s', (_, hasEvents) => {
  let stack: Stack;
  let gateway: GatewayProcess;
  let events: EventCollection;
  let image: PushedImage;
  let direct: RuntimeServiceClient;
  let pods = 0;

  const published = (...ids: string[]) => eventsAbout(events, node, ...ids).map(brief);
  const short = (id: string) => id.slice(0, 8);
  const isReading = (is: number) =>
    eventually(
      async () => (await gateway.app.metric('stowage_gateway_runtime_event_stream')) === is,
      {
        what: `the stream to be ${is === 1 ? 'read' : 'let go'}`,
        timeoutMs: 20_000,
      },
    );

  /** A pod past the gateway. */
  const runPod = async () => {
    const name = `cart-${(pods += 1)}`;
    const config = {
      metadata: { name, namespace: 'shop', uid: name, attempt: 0 },
      hostname: name,
      linux: { securityContext },
    };
    const { podSandboxId } = await direct.runPodSandbox({ config });
    const { containerId } = await direct.createContainer({
      podSandboxId,
      config: {
        metadata: { name: 'main', attempt: 0 },
        image: { image: image.imageId, userSpecifiedImage: image.reference },
        command: ['/bin/sh', '-c', 'trap "exit 3" TERM; touch /set; sleep 3600 & wait'],
        linux: { securityContext },
      },
      sandboxConfig: config,
    });
    await direct.startContainer({ containerId });
    await eventually(
      async () => {
        const look = ['/bin/sh', '-c', 'test -e /set'];
        return (await direct.execSync({ containerId, cmd: look })).exitCode === 0;
      },
      { what: 'the trap of the container' },
    );
    return { podSandboxId, containerId };
  };

  beforeAll(async () => {
    stack = await startStack({ crio: { events: hasEvents } });
    image = await stack.pushImage({ name: 'team/app', tag: '1' });
    await stack.pullImage(image.reference);
    events = await subscribeEvents(stack.nats.url);
    direct = connectRuntimeService({ endpoint: stack.runtime.endpoint });
    gateway = new GatewayProcess(stack, { node });
    await gateway.start({ env: hasEvents ? relist : {} });
    if (hasEvents) await isReading(1);
  });

  afterAll(async () => {
    direct.close();
    await gateway.end();
    await events.close();
    await stack.down();
  });

  it('publishes the whole life of a pod that went past it, each step once, its removal within seconds', async () => {
    const { podSandboxId, containerId } = await runPod();
    const how = hasEvents ? 'runtime-event' : 'listing';
    await eventuallyPasses(() => {
      expect(published(podSandboxId, containerId)).toHaveLength(3);
    });
    await direct.stopContainer({ containerId, timeout: 5n });
    await direct.stopPodSandbox({ podSandboxId });
    await eventuallyPasses(() => {
      expect(published(podSandboxId).at(-1)).toBe(
        `PodSandboxStopped ${short(podSandboxId)} ${how}`,
      );
    });
    await direct.removePodSandbox({ podSandboxId });
    await eventuallyPasses(
      () => {
        expect(published(podSandboxId).at(-1)).toMatch(/^PodSandboxRemoved /);
      },
      { timeoutMs: 20_000 },
    );
    expect(
      published(podSandboxId, containerId)
        .map((line) => line.split(' ')[0])
        .sort(),
    ).toEqual(
      [
        'PodSandboxStarted',
        'ContainerCreated',
        'ContainerStarted',
        'ContainerStopped',
        'PodSandboxStopped',
        'ContainerRemoved',
        'PodSandboxRemoved',
      ].sort(),
    );
    const [stopped] = eventsAbout(events, node, containerId).filter(
      ({ name }) => name === 'ContainerStopped',
    );
    expect(stopped?.data).toMatchObject({ exitCode: 3 });
  });

  it.each(['stop', 'kill'] as const)(
    'publishes what happened while CRI-O was away after %s, and what happens then',
    async (way) => {
      const before = await runPod();
      await eventuallyPasses(() => {
        expect(published(before.containerId)).toHaveLength(2);
      });
      // A CRI-O that is asked to end waits for the readers of its events: the gateway lets go.
      await stack.runtime[way]();
      await stack.runtime.start();
      const after = await eventually(runPod, { what: 'a pod', timeoutMs: 30_000 });
      if (hasEvents) await isReading(1);
      await direct.stopContainer({ containerId: before.containerId, timeout: 5n });
      await eventuallyPasses(
        () => {
          expect(published(before.containerId).map((line) => line.split(' ')[0])).toEqual([
            'ContainerCreated',
            'ContainerStarted',
            'ContainerStopped',
          ]);
          expect(published(after.podSandboxId, after.containerId)).toHaveLength(3);
        },
        { timeoutMs: 20_000 },
      );
      for (const { podSandboxId } of [before, after]) {
        await direct.stopPodSandbox({ podSandboxId });
        await direct.removePodSandbox({ podSandboxId });
        await eventuallyPasses(
          () => {
            expect(published(podSandboxId).at(-1)).toMatch(/^PodSandboxRemoved /);
          },
          { timeoutMs: 20_000 },
        );
      }
    },
  );

  it('reads the stream soon after it was switched the other way, or goes over to listings', async () => {
    const { runtime } = stack;
    if (runtime.name !== 'cri-o') throw new Error('these tests run on CRI-O');
    const config = readFileSync(runtime.configFile, 'utf8');
    const [from, to] = [hasEvents, !hasEvents].map((is) => `enable_pod_events = ${is}`);
    expect(config).toContain(from);
    writeFileSync(runtime.configFile, config.replace(from ?? '', to ?? ''));
    await runtime.restart();
    await isReading(hasEvents ? 0 : 1);
    const { podSandboxId, containerId } = await eventually(runPod, { what: 'a pod' });
    await eventuallyPasses(
      () => {
        expect(published(podSandboxId, containerId)).toHaveLength(3);
      },
      { timeoutMs: 30_000 },
    );
  });

  it('publishes nothing that is no event by its schema', () => {
    expect(events.invalid).toEqual([]);
  });
});
