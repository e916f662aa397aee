import { readdirSync, readFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { runtimeGateway, type CommandDefinition, type CommandInput } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectRuntimeService } from '@stowage/cri-client';
import { VersionRequest, VersionResponse } from '@stowage/cri-proto';
import * as v1alpha2 from '@stowage/cri-proto/v1alpha2';
import type { EventName } from '@stowage/events';
import {
  eventually,
  eventuallyPasses,
  ServiceFixture,
  testOn,
  type EventCollection,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import { brief, eventsAbout, GatewayProcess } from './testing/gateway-process';
import { callPath } from './testing/plain-client';

const node = 'node-1.example';
const runtimePath = (method: string, version = 'v1') =>
  `/runtime.${version}.RuntimeService/${method}`;

/** For containers that ignore SIGTERM. */
const withSigkill = testOn(
  'containerd',
  'CRI-O waits for a container that ignores SIGTERM as long as the caller does, two minutes',
);

describe('runtime-gateway on containerd and NATS', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let gateway: GatewayProcess;
  let events: EventCollection;
  let image: PushedImage;
  let pods = 0;

  const gateways: GatewayProcess[] = [];
  const newGateway = (name: string) => {
    const made = new GatewayProcess(stack, { node: name });
    gateways.push(made);
    return made;
  };
  /** An event of the node that is about the object, now or later. */
  const publishedOf = <N extends EventName>(name: N, subject: string) =>
    events.waitFor(name, (event) => event.node === node && event.subject === subject, {
      timeoutMs: 60_000,
    });
  const about = (...ids: string[]) => eventsAbout(events, node, ...ids);
  const published = (...ids: string[]) => about(...ids).map(brief);
  const short = (id: string) => id.slice(0, 8);

  /** A sandbox config with names of its own. */
  const podConfig = () => {
    pods += 1;
    return {
      metadata: { name: `cart-${pods}`, namespace: 'shop', uid: `uid-${pods}`, attempt: 0 },
      hostname: `cart-${pods}`,
      linux: {},
    };
  };
  const podNames = (config: ReturnType<typeof podConfig>) => {
    const { name, namespace, uid } = config.metadata;
    return { name, namespace, uid };
  };
  const containerConfig = (command: string, spec: object = { image: image.reference }) => ({
    metadata: { name: 'main', attempt: 0 },
    image: spec,
    command: ['/bin/sh', '-c', command],
    envs: [{ key: 'PASSWORD', value: Buffer.from('secret-of-the-environment') }],
    linux: {},
  });
  /** Ends at once on SIGTERM, with this code, once {@link isSet} says so. */
  const endsWith = (code: number) => `trap "exit ${code}" TERM; touch /set; sleep 3600 & wait`;
  const waits = endsWith(0);
  const isSet = (containerId: string) =>
    eventually(
      async () => {
        const direct = connectRuntimeService({ endpoint: stack.runtime.endpoint });
        try {
          await direct.execSync({ containerId, cmd: ['/bin/sh', '-c', 'test -e /set'] });
          return true;
        } finally {
          direct.close();
        }
      },
      { what: 'the trap of the container' },
    );

  /** A pod with one running container, through the gateway unless said otherwise. */
  const runPod = async (command: string, client = gateway.client) => {
    const config = podConfig();
    const { podSandboxId } = await client.runPodSandbox({ config });
    const { containerId } = await client.createContainer({
      podSandboxId,
      config: containerConfig(command, { image: image.imageId }),
      sandboxConfig: config,
    });
    await client.startContainer({ containerId });
    if (command.includes('/set')) await isSet(containerId);
    return { config, podSandboxId, containerId };
  };

  const send = <C extends CommandDefinition>(command: C, input: CommandInput<C>) =>
    sendCommand(fixture.nats, node, command, input, { timeoutMs: 30_000, strict: true });

  /**
   * Until what the runtime has shown so far is published: two listings later, or, where its event
   * stream is read and listings are rare, when the end of a sandbox that came after all of it is.
   */
  const caughtUp = async (of = gateway) => {
    if ((await of.app.metric('stowage_gateway_runtime_event_stream')) === 0) {
      const before = await of.listings();
      await eventually(async () => (await of.listings()) >= before + 2, { what: 'two listings' });
      return;
    }
    const direct = connectRuntimeService({ endpoint: stack.runtime.endpoint });
    const { podSandboxId } = await direct.runPodSandbox({ config: podConfig() });
    await direct.removePodSandbox({ podSandboxId });
    direct.close();
    await events.waitFor(
      'PodSandboxRemoved',
      (event) => event.node === of.options.node && event.subject === podSandboxId,
      { timeoutMs: 60_000 },
    );
  };
  /**
   * How a container ends that ends at once on SIGTERM, when its sandbox is stopped: containerd
   * sends SIGKILL, CRI-O asks it first.
   */
  const endWithSandbox = () =>
    stack.runtime.name === 'containerd'
      ? { exitCode: 137, reason: 'Error' }
      : { exitCode: 0, reason: 'Completed' };
  /** How the gateway finds what no call of a client shows. */
  const found = () => (stack.runtime.hasEventStream ? 'runtime-event' : 'listing');
  /** Until it finds it so: a stream is only known to be one when it has lasted a second. */
  const isFinding = async (of = gateway) => {
    await eventually(
      async () =>
        (await of.app.metric('stowage_gateway_runtime_event_stream')) ===
        Number(stack.runtime.hasEventStream),
      { what: 'the event stream of a runtime that has one' },
    );
  };

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ node });
    ({ stack, events } = fixture);
    image = await stack.pushImage({ name: 'team/app', tag: '1' });
    await stack.pullImage(image.reference);
    gateway = newGateway(node);
    await gateway.start();
    await isFinding();
  });

  afterAll(async () => {
    await Promise.all(gateways.map((one) => one.end()));
    await fixture.down();
  });

  it('publishes the life of a pod and its container in order, with names, image and exit', async () => {
    const { client } = gateway;
    const config = podConfig();
    const pod = podNames(config);
    const { podSandboxId } = await client.runPodSandbox({ config });
    const { containerId } = await client.createContainer({
      podSandboxId,
      config: containerConfig(waits, {
        image: image.reference,
        userSpecifiedImage: 'team/app:1',
      }),
      sandboxConfig: config,
    });
    await client.startContainer({ containerId });
    await isSet(containerId);
    await client.stopContainer({ containerId, timeout: 5n });
    await client.removeContainer({ containerId });
    await client.stopPodSandbox({ podSandboxId });
    await client.removePodSandbox({ podSandboxId });
    await publishedOf('PodSandboxRemoved', podSandboxId);

    expect(published(podSandboxId, containerId)).toEqual([
      `PodSandboxStarted ${short(podSandboxId)} call`,
      `ContainerCreated ${short(containerId)} call`,
      `ContainerStarted ${short(containerId)} call`,
      `ContainerStopped ${short(containerId)} call`,
      `ContainerRemoved ${short(containerId)} call`,
      `PodSandboxStopped ${short(podSandboxId)} call`,
      `PodSandboxRemoved ${short(podSandboxId)} call`,
    ]);
    const [started, created, running, stopped, removed] = about(podSandboxId, containerId);
    expect(started).toMatchObject({
      natsSubject: 'stowage.event.node-1_example.sandbox.started',
      source: `/nodes/${node}/runtime-gateway`,
      data: { podSandboxId, pod, attempt: 0, durationMs: expect.any(Number) as number },
    });
    expect((started?.data as { durationMs: number }).durationMs).toBeGreaterThan(10);
    const names = { containerId, podSandboxId, pod, name: 'main', attempt: 0 };
    const publishedImage = {
      reference: image.reference,
      userSpecifiedReference: 'team/app:1',
      imageId: image.imageId,
    };
    expect(created?.data).toEqual({ ...names, image: publishedImage, observedBy: 'call' });
    expect(running?.data).toEqual({
      ...names,
      image: publishedImage,
      startedAt: expect.any(String) as string,
      observedBy: 'call',
    });
    expect(stopped?.data).toEqual({
      ...names,
      image: publishedImage,
      exitCode: 0,
      reason: 'Completed',
      requested: true,
      startedAt: (running?.data as { startedAt: string }).startedAt,
      finishedAt: expect.any(String) as string,
      observedBy: 'call',
    });
    expect(removed?.data).toEqual({ ...names, image: publishedImage, observedBy: 'call' });
    await caughtUp();
    expect(about(podSandboxId, containerId)).toHaveLength(7);
  });

  it('publishes the same life when a client speaks v1alpha2', async () => {
    const config = podConfig();
    const call = <Q, S>(
      method: string,
      request: { encode(message: Q): { finish(): Uint8Array } },
      response: { decode(bytes: Uint8Array): S },
      message: Q,
    ) => callPath(gateway.socket, runtimePath(method, 'v1alpha2'), request, response, message);
    const { podSandboxId } = await call(
      'RunPodSandbox',
      v1alpha2.RunPodSandboxRequest,
      v1alpha2.RunPodSandboxResponse,
      v1alpha2.RunPodSandboxRequest.fromPartial({ config }),
    );
    const { containerId } = await call(
      'CreateContainer',
      v1alpha2.CreateContainerRequest,
      v1alpha2.CreateContainerResponse,
      v1alpha2.CreateContainerRequest.fromPartial({
        podSandboxId,
        config: { ...containerConfig(waits), envs: [] },
        sandboxConfig: config,
      }),
    );
    await call(
      'StartContainer',
      v1alpha2.StartContainerRequest,
      v1alpha2.StartContainerResponse,
      v1alpha2.StartContainerRequest.fromPartial({ containerId }),
    );
    await call(
      'StopPodSandbox',
      v1alpha2.StopPodSandboxRequest,
      v1alpha2.StopPodSandboxResponse,
      v1alpha2.StopPodSandboxRequest.fromPartial({ podSandboxId }),
    );
    await call(
      'RemovePodSandbox',
      v1alpha2.RemovePodSandboxRequest,
      v1alpha2.RemovePodSandboxResponse,
      v1alpha2.RemovePodSandboxRequest.fromPartial({ podSandboxId }),
    );
    await publishedOf('PodSandboxRemoved', podSandboxId);
    expect(published(podSandboxId, containerId)).toEqual([
      `PodSandboxStarted ${short(podSandboxId)} call`,
      `ContainerCreated ${short(containerId)} call`,
      `ContainerStarted ${short(containerId)} call`,
      `ContainerStopped ${short(containerId)} call`,
      `PodSandboxStopped ${short(podSandboxId)} call`,
      `ContainerRemoved ${short(containerId)} call`,
      `PodSandboxRemoved ${short(podSandboxId)} call`,
    ]);
    expect(about(containerId)[2]?.data).toMatchObject({
      ...endWithSandbox(),
      requested: true,
      pod: podNames(config),
    });
  });

  withSigkill(
    'publishes the exits of all containers of a sandbox that is stopped, before its own',
    async () => {
      const { client } = gateway;
      const { config, podSandboxId, containerId } = await runPod(
        'trap "" TERM; while :; do :; done',
      );
      const second = await client.createContainer({
        podSandboxId,
        config: { ...containerConfig(waits), metadata: { name: 'second', attempt: 0 } },
        sandboxConfig: config,
      });
      await client.startContainer({ containerId: second.containerId });
      await client.stopPodSandbox({ podSandboxId });
      await client.stopPodSandbox({ podSandboxId });
      await publishedOf('PodSandboxStopped', podSandboxId);
      const stops = about(podSandboxId, containerId, second.containerId).slice(5);
      expect(stops.map(({ name }) => name)).toEqual([
        'ContainerStopped',
        'ContainerStopped',
        'PodSandboxStopped',
      ]);
      for (const { data } of stops.slice(0, 2)) {
        expect(data).toMatchObject({ exitCode: 137, requested: true, observedBy: 'call' });
      }
      await client.removePodSandbox({ podSandboxId });
      await client.removePodSandbox({ podSandboxId });
      await publishedOf('PodSandboxRemoved', podSandboxId);
      await caughtUp();
      const ends = published(podSandboxId, containerId, second.containerId).slice(8);
      expect(ends).toHaveLength(3);
      expect(ends[2]).toBe(`PodSandboxRemoved ${short(podSandboxId)} call`);
    },
  );

  it('finds a container that ends by itself, with its exit code, and publishes it once', async () => {
    const { client } = gateway;
    const { podSandboxId, containerId } = await runPod('exit 3');
    const stopped = await publishedOf('ContainerStopped', containerId);
    expect(stopped.data).toMatchObject({
      containerId,
      name: 'main',
      exitCode: 3,
      reason: 'Error',
      requested: false,
      observedBy: found(),
    });
    // Stopping what has stopped succeeds and is no news.
    await client.stopContainer({ containerId, timeout: 0n });
    await client.stopContainer({ containerId: containerId.slice(0, 13), timeout: 0n });
    await client.removePodSandbox({ podSandboxId });
    await publishedOf('PodSandboxRemoved', podSandboxId);
    expect(published(containerId)).toEqual([
      `ContainerCreated ${short(containerId)} call`,
      `ContainerStarted ${short(containerId)} call`,
      `ContainerStopped ${short(containerId)} ${found()}`,
      `ContainerRemoved ${short(containerId)} call`,
    ]);
  });

  it('knows a container that is named by the beginning of its id', async () => {
    const { client } = gateway;
    const { podSandboxId, containerId } = await runPod(waits);
    await client.stopContainer({ containerId: containerId.slice(0, 12), timeout: 5n });
    await client.removeContainer({ containerId: containerId.slice(0, 12) });
    await client.removePodSandbox({ podSandboxId: podSandboxId.slice(0, 12) });
    await publishedOf('PodSandboxRemoved', podSandboxId);
    expect(published(containerId).slice(2)).toEqual([
      `ContainerStopped ${short(containerId)} call`,
      `ContainerRemoved ${short(containerId)} call`,
    ]);
  });

  it('finds what went past it, from creation to removal', async () => {
    const direct = connectRuntimeService({ endpoint: stack.runtime.endpoint });
    try {
      const { config, podSandboxId, containerId } = await runPod(waits, direct);
      // CRI-O's stream leaves out what a listing soon after it shows.
      const isFound = (
        stack.runtime.name === 'containerd'
          ? found()
          : expect.stringMatching(/^(runtime-event|listing)$/)
      ) as string;
      const started = await publishedOf('ContainerStarted', containerId);
      expect(started.data).toMatchObject({
        pod: podNames(config),
        // A listing has the reference of the request, an event of containerd the image's own.
        image: {
          reference:
            stack.runtime.name === 'containerd' && stack.runtime.hasEventStream
              ? image.reference
              : image.imageId,
          imageId: image.imageId,
        },
        observedBy: isFound,
      });
      await direct.stopContainer({ containerId, timeout: 5n });
      await publishedOf('ContainerStopped', containerId);
      await direct.stopPodSandbox({ podSandboxId });
      await direct.removePodSandbox({ podSandboxId });
      await publishedOf('PodSandboxRemoved', podSandboxId);
      const lines = published(podSandboxId, containerId);
      const seen = lines.map((line) =>
        stack.runtime.name === 'containerd' ? line : line.replace(/\S+$/, found()),
      );
      expect(new Set(seen)).toEqual(
        new Set([
          `PodSandboxStarted ${short(podSandboxId)} ${found()}`,
          `ContainerCreated ${short(containerId)} ${found()}`,
          `ContainerStarted ${short(containerId)} ${found()}`,
          `ContainerStopped ${short(containerId)} ${found()}`,
          `PodSandboxStopped ${short(podSandboxId)} ${found()}`,
          `ContainerRemoved ${short(containerId)} ${found()}`,
          `PodSandboxRemoved ${short(podSandboxId)} ${found()}`,
        ]),
      );
    } finally {
      direct.close();
    }
  });

  it('publishes each thing once while many pods come and go and listings run all the time', async () => {
    const busy = newGateway('busy-node');
    await busy.start({
      env: { STOWAGE_RELIST_INTERVAL: '100ms', STOWAGE_RUNTIME_EVENTS: 'never' },
    });
    const lives = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const life = await runPod(waits, busy.client);
        await busy.client.stopContainer({ containerId: life.containerId, timeout: 5n });
        await busy.client.removeContainer({ containerId: life.containerId });
        await busy.client.stopPodSandbox({ podSandboxId: life.podSandboxId });
        await busy.client.removePodSandbox({ podSandboxId: life.podSandboxId });
        return life;
      }),
    );
    const namesOf = (...ids: string[]) =>
      eventsAbout(events, 'busy-node', ...ids).map(({ name }) => name);
    for (const { podSandboxId, containerId } of lives) {
      await eventuallyPasses(() => {
        expect(namesOf(podSandboxId)).toEqual([
          'PodSandboxStarted',
          'PodSandboxStopped',
          'PodSandboxRemoved',
        ]);
        expect(namesOf(containerId)).toEqual([
          'ContainerCreated',
          'ContainerStarted',
          'ContainerStopped',
          'ContainerRemoved',
        ]);
      });
    }
    await caughtUp(busy);
    const ofNode = events.all.filter((event) => event.node === 'busy-node');
    // The request is known although listings saw the exits too. The exit code is asked for after
    // the stop, and is unknown where the removal, which does not wait for us, came first.
    for (const event of ofNode.filter(({ name }) => name === 'ContainerStopped')) {
      expect(event.data).toMatchObject({ requested: true, observedBy: 'call' });
      expect([0, undefined]).toContain((event.data as { exitCode?: number }).exitCode);
    }
    expect(ofNode).toHaveLength(6 * 8);
    expect(ofNode.map(({ sequence }) => sequence)).toEqual(ofNode.map((_, index) => index + 1));
    expect(await busy.stop()).toBe(0);
  });

  it('forwards what no proto here knows, and errors of the runtime word for word', async () => {
    const unknown = runtimePath('NoSuchMethod');
    await expect(
      callPath(gateway.socket, unknown, VersionRequest, VersionResponse, {
        version: '',
      }),
    ).rejects.toMatchObject({
      code: 12,
      details: 'unknown method NoSuchMethod for service runtime.v1.RuntimeService',
    });
    await expect(gateway.client.containerStatus({ containerId: 'nothing' })).rejects.toMatchObject({
      grpcStatus: 'NOT_FOUND',
    });
    expect(
      await gateway.app.metric('stowage_gateway_calls_total{method="other",code="UNIMPLEMENTED"}'),
    ).toBe(1);
  });

  it('answers the NATS query pods', async () => {
    const { config, podSandboxId, containerId } = await runPod(waits);
    const ended = await runPod('exit 0');
    // containerd answers UNKNOWN to a stop that meets the container's own exit.
    await events.waitFor('ContainerStopped', ({ data }) => data.containerId === ended.containerId, {
      timeoutMs: 30_000,
    });
    await gateway.client.stopPodSandbox({ podSandboxId: ended.podSandboxId });
    const running = await send(runtimeGateway.pods, {});
    expect(running.pods.map(({ uid }) => uid)).toContain(config.metadata.uid);
    expect(running.pods.map(({ uid }) => uid)).not.toContain(ended.config.metadata.uid);
    expect(running.pods.find(({ uid }) => uid === config.metadata.uid)).toEqual({
      ...podNames(config),
      createdAt: expect.any(String) as string,
      sandboxes: [
        {
          id: podSandboxId,
          state: 'ready',
          attempt: 0,
          createdAt: expect.any(String) as string,
        },
      ],
      containers: [
        {
          id: containerId,
          podSandboxId,
          name: 'main',
          attempt: 0,
          state: 'running',
          image: { reference: image.imageId, imageId: image.imageId },
          // CRI-O names the image by the repository that it came from.
          imageRef: stack.runtime.name === 'cri-o' ? image.repoDigest : image.imageId,
          createdAt: expect.any(String) as string,
        },
      ],
    });
    const all = await send(runtimeGateway.pods, { all: true });
    expect(all.pods.find(({ uid }) => uid === ended.config.metadata.uid)).toMatchObject({
      sandboxes: [{ state: 'notready' }],
      containers: [{ state: 'exited' }],
    });
    for (const id of [podSandboxId, ended.podSandboxId]) {
      await gateway.client.stopPodSandbox({ podSandboxId: id });
      await gateway.client.removePodSandbox({ podSandboxId: id });
    }
  });

  it('answers the NATS queries status and version', async () => {
    expect(await send(runtimeGateway.status, {})).toMatchObject({
      endpoint: stack.runtime.endpoint,
      available: true,
      criVersion: 'v1',
      // Later runtimes have conditions of their own besides.
      conditions: expect.arrayContaining([
        expect.objectContaining({ type: 'RuntimeReady', status: true }),
        expect.objectContaining({ type: 'NetworkReady', status: true }),
      ]) as object[],
      observing: { mode: stack.runtime.hasEventStream ? 'event-stream' : 'listing' },
    });
    expect(await send(runtimeGateway.version, {})).toMatchObject({
      runtimeName: stack.runtime.name,
      version: '0.1.0',
      criVersion: 'v1',
    });
    await expect(
      send(runtimeGateway.exec, { containerId: 'any', command: ['id'] }),
    ).rejects.toMatchObject({ grpcStatus: 'PERMISSION_DENIED' });
  });

  it('counts calls, bytes, times and connections', async () => {
    const calls = 'stowage_gateway_calls_total{method="Version",code="OK"}';
    const before = await gateway.app.metric(calls);
    await gateway.client.version({});
    await eventuallyPasses(async () => {
      expect(await gateway.app.metric(calls)).toBe(before + 1);
    });
    const { body } = await gateway.app.get('/metrics');
    for (const line of [
      /^stowage_gateway_calls_in_flight\{method="Version"\} 0$/m,
      /^stowage_gateway_call_bytes_total\{method="RunPodSandbox",direction="request"\} [1-9]/m,
      /^stowage_gateway_call_duration_seconds_count\{method="RunPodSandbox"\} [1-9]/m,
      /^stowage_gateway_call_own_seconds_count\{method="RunPodSandbox"\} [1-9]/m,
      /^stowage_gateway_connections_open\{socket="main"\} [1-9]/m,
      /^stowage_gateway_connections_total\{socket="main"\} [1-9]/m,
      /^stowage_gateway_events_total\{event="PodSandboxStarted",observed_by="call"\} [1-9]/m,
      stack.runtime.hasEventStream
        ? /^stowage_gateway_runtime_event_stream 1$/m
        : /^stowage_gateway_runtime_event_stream 0$/m,
    ]) {
      expect(body).toMatch(line);
    }
  });

  it('puts neither environment nor command lines into events', () => {
    for (const { wire } of events.all) {
      expect(wire).not.toContain('secret-of-the-environment');
      expect(wire).not.toContain('/bin/sh');
    }
    expect(events.invalid).toEqual([]);
  });

  it('goes on observing other connections when one speaks nonsense', async () => {
    const stranger = connectSocket(gateway.socket);
    stranger.on('error', () => undefined);
    stranger.write('GET / HTTP/1.1\r\n\r\n');
    await eventuallyPasses(async () => {
      expect(
        await gateway.app.metric(
          'stowage_gateway_connections_let_go_total{socket="main",reason="not-http2"}',
        ),
      ).toBe(1);
    });
    stranger.destroy();
    await gateway.client.version({});
  });

  it('says UNAVAILABLE while the runtime is gone, and publishes what happened meanwhile', async () => {
    const ends = await runPod(endsWith(7));
    const stays = await runPod(waits);
    await eventuallyPasses(() => {
      expect(about(ends.containerId, stays.containerId)).toHaveLength(4);
    });
    await stack.runtime.kill();
    const unavailable = await events.waitFor('RuntimeUnavailable', (event) => event.node === node);
    expect(unavailable.data).toMatchObject({
      endpoint: stack.runtime.endpoint,
      // The socket that is gone, or the connection that was cut, whichever is noticed first.
      reason: expect.stringMatching(/connect |ECONNRESET/) as string,
    });
    await eventuallyPasses(async () => {
      const ready = await gateway.app.readiness();
      expect(ready.status).toBe(503);
      expect(ready.text).toMatch(/^runtime down since \S+: unix:\/\/\S+: connect /);
    });
    const began = performance.now();
    await expect(
      callPath(gateway.socket, runtimePath('Version'), VersionRequest, VersionResponse, {
        version: '',
      }),
    ).rejects.toMatchObject({
      code: 14,
      details: expect.stringMatching(
        /^container runtime at unix:\/\/\S+ is unavailable since \S+: connect E\w+ \S+$/,
      ) as string,
    });
    expect(performance.now() - began).toBeLessThan(2000);
    expect(await send(runtimeGateway.status, {})).toMatchObject({
      available: false,
      conditions: [],
      reason: expect.any(String) as string,
    });
    // A container ends although nobody can be asked about it.
    for (const pid of processesOf(ends.containerId)) process.kill(pid, 'SIGTERM');
    await eventually(() => processesOf(ends.containerId).length === 0, {
      what: 'the end of the container',
    });
    await stack.runtime.start();
    const recovered = await events.waitFor('RuntimeRecovered', (event) => event.node === node, {
      timeoutMs: 60_000,
    });
    expect(recovered.data).toMatchObject({
      endpoint: stack.runtime.endpoint,
      unavailableSince: (unavailable.data as { unavailableSince: string }).unavailableSince,
      runtime: { name: stack.runtime.name },
    });
    const exited = await publishedOf('ContainerStopped', ends.containerId);
    expect(exited.data).toMatchObject({ requested: false, observedBy: 'listing' });
    expect(exited.sequence).toBeGreaterThan(recovered.sequence);
    await gateway.client.whenAvailable();
    // containerd 2 has no exit code of a container that ended while it was away, and says 255.
    const { status } = await gateway.client.containerStatus({ containerId: ends.containerId });
    expect([7, 255]).toContain(status?.exitCode);
    expect(exited.data).toMatchObject({ exitCode: status?.exitCode });
    await caughtUp();
    expect(published(stays.containerId)).toHaveLength(2);
    expect(published(ends.containerId)).toHaveLength(3);
    expect(events.named('RuntimeUnavailable').filter((event) => event.node === node)).toHaveLength(
      1,
    );
    for (const { podSandboxId } of [ends, stays]) {
      await gateway.client.stopPodSandbox({ podSandboxId });
      await gateway.client.removePodSandbox({ podSandboxId });
    }
  });

  it('publishes after a restart what it missed, and nothing twice', async () => {
    const stays = await runPod(waits);
    const ends = await runPod(waits);
    await eventuallyPasses(() => {
      expect(about(stays.containerId, ends.containerId)).toHaveLength(4);
    });
    expect(await gateway.stop()).toBe(0);
    const direct = connectRuntimeService({ endpoint: stack.runtime.endpoint });
    await direct.stopContainer({ containerId: ends.containerId, timeout: 5n });
    const meanwhile = await runPod(waits, direct);
    direct.close();
    await gateway.start();
    await publishedOf('ContainerStarted', meanwhile.containerId);
    await caughtUp();
    expect(published(stays.podSandboxId, stays.containerId)).toHaveLength(3);
    const [, , stopped] = about(ends.containerId);
    expect(published(ends.containerId)).toHaveLength(3);
    // A runtime that keeps its events hands them on while the first listing runs.
    const afterwards: unknown = expect.stringMatching(/^(listing|runtime-event)$/);
    expect(stopped?.data).toMatchObject({ exitCode: 0, observedBy: afterwards });
    // It ended while nobody watched: whether somebody asked for it is not known.
    expect(stopped?.data).not.toHaveProperty('requested');
    expect(about(meanwhile.podSandboxId, meanwhile.containerId)).toMatchObject([
      { name: 'PodSandboxStarted', data: { observedBy: afterwards } },
      { name: 'ContainerCreated', data: { observedBy: afterwards } },
      { name: 'ContainerStarted', data: { observedBy: afterwards } },
    ]);

    await gateway.kill();
    await gateway.start();
    await caughtUp();
    expect(published(stays.podSandboxId, stays.containerId)).toHaveLength(3);
    expect(published(ends.containerId)).toHaveLength(3);
    const ofNode = events.all.filter((event) => event.node === node);
    expect(ofNode.map(({ sequence }) => sequence)).toEqual(ofNode.map((_, index) => index + 1));
    for (const { podSandboxId } of [stays, ends, meanwhile]) {
      await gateway.client.stopPodSandbox({ podSandboxId });
      await gateway.client.removePodSandbox({ podSandboxId });
    }
  });

  it('says nothing of what was there before its first start, and follows it from then on', async () => {
    const { podSandboxId, containerId } = await runPod(waits);
    const first = newGateway('first-start');
    await first.start();
    await caughtUp(first);
    const ofNode = () => eventsAbout(events, 'first-start', podSandboxId, containerId).map(brief);
    expect(ofNode()).toEqual([]);
    await first.client.stopPodSandbox({ podSandboxId });
    await eventuallyPasses(() => {
      expect(ofNode()).toEqual([
        `ContainerStopped ${short(containerId)} call`,
        `PodSandboxStopped ${short(podSandboxId)} call`,
      ]);
    });
    expect(eventsAbout(events, 'first-start', containerId)[0]?.data).toMatchObject({
      name: 'main',
      pod: { namespace: 'shop' },
      ...endWithSandbox(),
      requested: true,
    });
    expect(await first.stop()).toBe(0);
    await gateway.client.removePodSandbox({ podSandboxId });
  });

  it('starts with neither runtime nor NATS, and serves and delivers when they come', async () => {
    await stack.runtime.stop();
    await stack.nats.stop();
    const alone = newGateway('alone');
    try {
      await alone.start({ ready: 'healthz' });
      await eventuallyPasses(async () => {
        const { status, text } = await alone.app.readiness();
        expect(status).toBe(503);
        expect(text).toMatch(
          /^(?!starting).*runtime down since \S+: unix:\/\/\S+: connect E\w+ \S+/,
        );
        expect(text).toMatch(/nats degraded since /);
      });
      await expect(
        callPath(alone.socket, runtimePath('Version'), VersionRequest, VersionResponse, {
          version: '',
        }),
      ).rejects.toMatchObject({
        code: 14,
        details: expect.stringMatching(/^container runtime at \S+ is unavailable since /) as string,
      });
      await stack.runtime.start();
      await alone.client.whenAvailable({ signal: AbortSignal.timeout(60_000) });
      const { podSandboxId, containerId } = await runPod(waits, alone.client);
      await alone.client.stopPodSandbox({ podSandboxId });
      await alone.client.removePodSandbox({ podSandboxId });
      await stack.nats.start();
      await eventuallyPasses(
        () => {
          const names = events.all.filter(({ node }) => node === 'alone').map(({ name }) => name);
          // Clients can be back before the gateway's own client is.
          expect(names.filter((name) => name !== 'RuntimeRecovered')).toEqual([
            'RuntimeUnavailable',
            'PodSandboxStarted',
            'ContainerCreationStarted',
            'ContainerCreated',
            'ContainerStarted',
            'ContainerStopped',
            'PodSandboxStopped',
            'ContainerRemoved',
            'PodSandboxRemoved',
          ]);
          expect(names.filter((name) => name === 'RuntimeRecovered')).toHaveLength(1);
          expect(eventsAbout(events, 'alone', containerId)).toHaveLength(4);
        },
        { timeoutMs: 60_000 },
      );
      await eventuallyPasses(async () => {
        expect(await alone.app.readiness()).toEqual({ status: 200, text: '' });
      });
    } finally {
      if (!stack.runtime.running) await stack.runtime.start();
      if (!stack.nats.running) await stack.nats.start();
      expect(await alone.stop()).toBe(0);
    }
  });

  it('refuses a second instance on the same socket, and leaves the first alone', async () => {
    const second = newGateway('second');
    await expect(second.start({ env: { STOWAGE_LISTEN: gateway.socket } })).rejects.toThrow(
      `socket ${gateway.socket} is in use`,
    );
    await gateway.client.version({});
  });
});

/** Processes of a container, found by their cgroup. */
function processesOf(containerId: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      // One that ended and was not waited for has no command line.
      return (
        readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '' &&
        readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(containerId)
      );
    } catch {
      return false;
    }
  });
}
