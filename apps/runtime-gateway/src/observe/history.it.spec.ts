import { connectRuntimeService, type RuntimeServiceClient } from '@stowage/cri-client';
import {
  eventuallyPasses,
  startStack,
  subscribeEvents,
  type EventCollection,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import { eventsAbout, GatewayProcess } from '../testing/gateway-process';

/**
 * Pods past the gateway, before its first start, beside it and while it is down. Nobody else reads
 * the event stream of the runtime, which keeps events for its next reader in containerd 2.
 */
describe('runtime-gateway and what happened without it', () => {
  const node = 'history';
  let stack: Stack;
  let events: EventCollection;
  let image: PushedImage;
  let gateway: GatewayProcess;
  let outside: RuntimeServiceClient;
  let pods = 0;

  beforeAll(async () => {
    stack = await startStack();
    image = await stack.pushImage({ name: 'team/app', tag: '1' });
    await stack.pullImage(image.reference);
    events = await subscribeEvents(stack.nats.url);
    outside = connectRuntimeService({ endpoint: stack.runtime.endpoint });
    gateway = new GatewayProcess(stack, { node });
  });

  afterAll(async () => {
    await gateway.end();
    outside.close();
    await events.close();
    await stack.down();
  });

  const runPod = async (command = 'exec sleep 3600') => {
    const name = `cart-${(pods += 1)}`;
    const config = {
      metadata: { name, namespace: 'shop', uid: name, attempt: 0 },
      hostname: name,
      linux: {},
    };
    const { podSandboxId } = await outside.runPodSandbox({ config });
    const { containerId } = await outside.createContainer({
      podSandboxId,
      config: {
        metadata: { name: 'main', attempt: 0 },
        image: { image: image.reference },
        command: ['/bin/sh', '-c', command],
        linux: {},
      },
      sandboxConfig: config,
    });
    await outside.startContainer({ containerId });
    return { podSandboxId, containerId };
  };
  const removed = async (pod: { podSandboxId: string }) => {
    await outside.stopPodSandbox({ podSandboxId: pod.podSandboxId });
    await outside.removePodSandbox({ podSandboxId: pod.podSandboxId });
  };
  const namesOf = (...ids: string[]) => eventsAbout(events, node, ...ids).map(({ name }) => name);
  const started = ['ContainerCreated', 'ContainerStarted'];

  it('publishes only what happens from its first start on, with time and image', async () => {
    const gone = await runPod();
    await removed(gone);
    const there = await runPod();
    await gateway.start();
    const beganAt = Date.now();
    const pod = await runPod();
    await eventuallyPasses(() => {
      expect(namesOf(pod.podSandboxId, pod.containerId)).toEqual(['PodSandboxStarted', ...started]);
    });
    const endedAt = Date.now();
    for (const { time, data } of eventsAbout(events, node, pod.containerId)) {
      expect(Number(time)).toBeGreaterThanOrEqual(beganAt);
      expect(Number(time)).toBeLessThanOrEqual(endedAt);
      expect(data).toMatchObject({ image: { imageId: image.imageId } });
    }
    expect(namesOf(...Object.values(gone), ...Object.values(there))).toEqual([]);
    await removed(there);
    await eventuallyPasses(() => {
      expect(namesOf(there.containerId)).toEqual(['ContainerStopped', 'ContainerRemoved']);
    });
    expect(namesOf(...Object.values(gone))).toEqual([]);
    await removed(pod);
    await eventuallyPasses(() => {
      expect(namesOf(pod.podSandboxId).at(-1)).toBe('PodSandboxRemoved');
    });
  });

  it('publishes once, with its time, what happened while it was down', async () => {
    const known = await runPod();
    await eventuallyPasses(() => {
      expect(namesOf(known.containerId)).toEqual(started);
    });
    expect(await gateway.stop()).toBe(0);
    const wasDownAt = Date.now();
    const missed = await runPod('exit 3');
    await eventuallyPasses(async () => {
      const { status } = await outside.containerStatus({ containerId: missed.containerId });
      expect(status?.exitCode).toBe(3);
    });
    await outside.stopContainer({ containerId: known.containerId, timeout: 0n });
    const isBackAt = Date.now();
    await gateway.start();
    const after = await runPod();
    await eventuallyPasses(() => {
      expect(namesOf(after.containerId)).toEqual(started);
      expect(namesOf(missed.containerId)).toEqual([...started, 'ContainerStopped']);
      expect(namesOf(known.containerId)).toEqual([...started, 'ContainerStopped']);
      expect(namesOf(missed.podSandboxId)).toEqual(['PodSandboxStarted']);
    });
    const missedEvents = eventsAbout(events, node, missed.podSandboxId, missed.containerId);
    for (const { time } of [
      ...missedEvents,
      ...eventsAbout(events, node, known.containerId).slice(2),
    ]) {
      expect(Number(time)).toBeGreaterThanOrEqual(wasDownAt);
      expect(Number(time)).toBeLessThanOrEqual(isBackAt);
    }
    expect(missedEvents.at(-1)?.data).toMatchObject({ exitCode: 3 });
    for (const pod of [known, missed, after]) await removed(pod);
    await eventuallyPasses(() => {
      expect(namesOf(after.podSandboxId).at(-1)).toBe('PodSandboxRemoved');
    });
    const ofNode = events.all.filter((event) => event.node === node);
    expect(new Set(ofNode.map(({ name, subject }) => `${name} ${subject}`)).size).toBe(
      ofNode.length,
    );
  });
});
