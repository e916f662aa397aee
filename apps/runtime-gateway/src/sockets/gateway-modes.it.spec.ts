import path from 'node:path';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { createTerminatingEndpoint } from '@stowage/cri-endpoint';
import {
  ListImagesRequest,
  ListImagesResponse,
  PullImageResponse,
  VersionRequest,
  VersionResponse,
} from '@stowage/cri-proto';
import { commandSubject } from '@stowage/events';
import {
  eventuallyPasses,
  ServiceFixture,
  type EventCollection,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import { connect } from 'nats';
import { eventsAbout, GatewayProcess } from '../testing/gateway-process';
import { runtimeSpeaking } from '../testing/runtime-speaking';
import { callPath } from '../testing/plain-client';

const versionPath = (version: string) => `/runtime.${version}.RuntimeService/Version`;

describe('runtime-gateway where calls have to be changed', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let events: EventCollection;
  let image: PushedImage;
  const ends: (() => Promise<unknown>)[] = [];

  const startGateway = async (
    node: string,
    runtimeEndpoint: string,
    env: Record<string, string> = {},
  ) => {
    const gateway = new GatewayProcess(stack, { node, runtimeEndpoint });
    ends.unshift(() => gateway.end());
    await gateway.start({ env });
    return gateway;
  };
  const version = (socket: string, name: string) =>
    callPath(socket, versionPath(name), VersionRequest, VersionResponse, { version: '' });
  const images = (socket: string, name: string) =>
    callPath(
      socket,
      `/runtime.${name}.ImageService/ListImages`,
      ListImagesRequest,
      ListImagesResponse,
      ListImagesRequest.fromPartial({}),
    );

  /** A pod's life through a gateway, and that its events are published. */
  const livesThrough = async (gateway: GatewayProcess, node: string) => {
    const { client } = gateway;
    const config = {
      metadata: { name: node, namespace: 'shop', uid: node, attempt: 0 },
      hostname: node,
      linux: {},
    };
    const { podSandboxId } = await client.runPodSandbox({ config });
    const { containerId } = await client.createContainer({
      podSandboxId,
      config: {
        metadata: { name: 'main', attempt: 0 },
        image: { image: image.imageId },
        command: ['/bin/sh', '-c', 'trap "exit 0" TERM; sleep 3600 & wait'],
        linux: {},
      },
      sandboxConfig: config,
    });
    await client.startContainer({ containerId });
    await client.stopContainer({ containerId, timeout: 5n });
    await client.stopPodSandbox({ podSandboxId });
    await client.removePodSandbox({ podSandboxId });
    await eventuallyPasses(() => {
      expect(eventsAbout(events, node, podSandboxId, containerId).map(({ name }) => name)).toEqual([
        'PodSandboxStarted',
        'ContainerCreated',
        'ContainerStarted',
        'ContainerStopped',
        'PodSandboxStopped',
        'ContainerRemoved',
        'PodSandboxRemoved',
      ]);
    });
    for (const { data } of eventsAbout(events, node, podSandboxId, containerId)) {
      expect(data).toMatchObject({ observedBy: 'call' });
    }
  };

  beforeAll(async () => {
    fixture = await ServiceFixture.start();
    ({ stack, events } = fixture);
    image = await stack.pushImage({ name: 'team/app', tag: '1' });
    await stack.pullImage(image.reference);
  });

  afterAll(async () => {
    for (const end of ends) await end();
    await fixture.down();
  });

  it.each(['v1alpha2', 'v1'] as const)(
    'serves both criVersions on both sockets over a runtime that speaks only %s',
    async (spoken) => {
      const socket = path.join(stack.dir, `${spoken}.sock`);
      const runtime = await runtimeSpeaking([spoken], socket, stack.runtime.socket);
      ends.push(() => runtime.close());
      const node = `only-${spoken}`;
      const gateway = await startGateway(node, `unix://${socket}`);
      for (const own of [gateway.socket, gateway.readonlySocket]) {
        for (const name of ['v1', 'v1alpha2']) {
          expect(await version(own, name)).toMatchObject({ runtimeName: stack.runtime.name });
          expect((await images(own, name)).images).not.toHaveLength(0);
        }
      }
      await livesThrough(gateway, node);
      const services = runtime.asked.filter((asked) => asked.endsWith('/RunPodSandbox'));
      expect(services).toEqual([`/runtime.${spoken}.RuntimeService/RunPodSandbox`]);
      expect(await gateway.stop()).toBe(0);
    },
  );

  it('asks the runtime for v1alpha2 only once a client uses it', async () => {
    const socket = path.join(stack.dir, 'asked.sock');
    const runtime = await runtimeSpeaking(['v1'], socket, stack.runtime.socket);
    ends.push(() => runtime.close());
    const gateway = await startGateway('asked', `unix://${socket}`);
    await livesThrough(gateway, 'asked');
    await version(gateway.readonlySocket, 'v1');
    const old = () => runtime.asked.filter((asked) => asked.startsWith('/runtime.v1alpha2.'));
    expect(old()).toEqual([]);
    await version(gateway.socket, 'v1alpha2');
    await eventuallyPasses(() => {
      expect(old()).toEqual([versionPath('v1alpha2')]);
    });
    expect(await gateway.stop()).toBe(0);
  });

  it('leaves calls alone over a runtime that speaks both', async () => {
    const socket = path.join(stack.dir, 'both.sock');
    const runtime = await runtimeSpeaking(['v1', 'v1alpha2'], socket, stack.runtime.socket);
    ends.push(() => runtime.close());
    const gateway = await startGateway('both', `unix://${socket}`);
    const listings = (name: string) =>
      runtime.asked.filter((asked) => asked === `/runtime.${name}.ImageService/ListImages`).length;
    // Until the runtime has said that it speaks v1alpha2, calls are sent in v1.
    await eventuallyPasses(async () => {
      const before = listings('v1alpha2');
      await images(gateway.socket, 'v1alpha2');
      expect(listings('v1alpha2')).toBe(before + 1);
    });
    const before = listings('v1');
    await images(gateway.socket, 'v1');
    expect(listings('v1')).toBe(before + 1);
    expect(await gateway.stop()).toBe(0);
  });

  it('runs commands for NATS only where that is configured', async () => {
    const { containerId, remove } = await stack.runPod({ image: image.reference });
    const nats = await connect({ servers: stack.nats.url });
    const exec = async (node: string, input: object): Promise<unknown> =>
      (
        await nats.request(commandSubject(node, 'runtime-gateway', 'exec'), JSON.stringify(input), {
          timeout: 20_000,
        })
      ).json();
    const shell = (script: string) => ({ containerId, command: ['/bin/sh', '-c', script] });
    const closed = await startGateway('exec-off', stack.runtime.endpoint);
    await eventuallyPasses(async () => {
      expect(await exec('exec-off', shell('id'))).toMatchObject({
        ok: false,
        error: { code: 'PERMISSION_DENIED' },
      });
    });
    expect(await closed.stop()).toBe(0);
    const open = await startGateway('exec-on', stack.runtime.endpoint, {
      STOWAGE_COMMANDS: 'pods,exec',
    });
    await eventuallyPasses(async () => {
      expect(await exec('exec-on', shell('echo out; echo err >&2; exit 3'))).toEqual({
        ok: true,
        result: { exitCode: 3, stdout: 'out\n', stderr: 'err\n', truncated: false },
      });
    });
    expect(await exec('exec-on', shell('yes | head -c 300000'))).toMatchObject({
      ok: true,
      result: { exitCode: 0, truncated: true },
    });
    expect(await exec('exec-on', { ...shell('sleep 30'), timeoutSeconds: 1 })).toMatchObject({
      ok: false,
      error: { code: 'DEADLINE_EXCEEDED' },
    });
    expect(await exec('exec-on', { containerId: 'nobody', command: ['id'] })).toMatchObject({
      ok: false,
      error: { code: 'NOT_FOUND' },
    });
    expect(await exec('exec-on', { containerId })).toMatchObject({
      ok: false,
      error: { code: 'INVALID_ARGUMENT' },
    });
    await nats.close();
    expect(await open.stop()).toBe(0);
    expect(open.app.stdout).not.toContain('sleep 30');
    await remove();
  });

  it('sees a runtime that changed the package it speaks', async () => {
    const socket = path.join(stack.dir, 'changing.sock');
    const before = await runtimeSpeaking(['v1alpha2'], socket, stack.runtime.socket);
    const gateway = await startGateway('changing', `unix://${socket}`);
    expect(await version(gateway.socket, 'v1')).toMatchObject({ runtimeName: stack.runtime.name });
    await before.close();
    const after = await runtimeSpeaking(['v1'], socket, stack.runtime.socket);
    ends.push(() => after.close());
    await eventuallyPasses(async () => {
      for (const name of ['v1', 'v1alpha2']) {
        expect(await version(gateway.socket, name)).toMatchObject({
          runtimeName: stack.runtime.name,
        });
      }
    });
    expect(await gateway.stop()).toBe(0);
  });

  describe('with imageRouting', () => {
    const pulled: string[] = [];
    let gateway: GatewayProcess;

    beforeAll(async () => {
      const imageServicePath = path.join(stack.dir, 'image.sock');
      const imageService = await createTerminatingEndpoint({
        socketPath: imageServicePath,
        upstream: { address: () => stack.runtime.socket },
        handlers: {
          '/runtime.v1.ImageService/PullImage': (_request, { method }) => {
            pulled.push(method);
            return Promise.resolve(
              PullImageResponse.encode({ imageRef: 'from-image-service' }).finish(),
            );
          },
        },
        unavailableReason: () => undefined,
      });
      ends.push(() => imageService.close());
      gateway = await startGateway('routing', stack.runtime.endpoint, {
        STOWAGE_IMAGE_ROUTING: 'true',
        STOWAGE_IMAGE_SERVICE_ENDPOINT: `unix://${imageServicePath}`,
      });
      ends.unshift(() => imageService.close());
    });

    it('sends image calls of one connection to image-service, and all others to the runtime', async () => {
      const client = connectImageService({ endpoint: `unix://${gateway.socket}` });
      try {
        const { imageRef } = await client.pullImage({ image: { image: 'registry.example/a' } });
        expect(imageRef).toBe('from-image-service');
        expect((await client.listImages({})).images).not.toHaveLength(0);
      } finally {
        client.close();
      }
      expect(pulled).toEqual(['/runtime.v1.ImageService/PullImage']);
      for (const name of ['v1', 'v1alpha2']) {
        expect(await version(gateway.socket, name)).toMatchObject({
          runtimeName: stack.runtime.name,
        });
      }
    });

    it('observes as on a piped connection', async () => {
      await livesThrough(gateway, 'routing');
      expect(
        await gateway.app.metric('stowage_gateway_calls_total{method="RunPodSandbox",code="OK"}'),
      ).toBe(1);
    });

    it('says which of the two is missing', async () => {
      await ends.shift()?.();
      await expect(images(gateway.socket, 'v1')).rejects.toMatchObject({
        code: 14,
        details: `image-service at ${path.join(stack.dir, 'image.sock')} does not answer`,
      });
      const runtime = connectRuntimeService({ endpoint: `unix://${gateway.socket}` });
      await runtime.version({});
      runtime.close();
    });
  });

  it('with imageRouting pulls through image-service itself, which publishes it', async () => {
    const node = 'routing-real';
    const { username, password } = stack.registry.auth;
    const secret = await stack.pushImage({ name: 'team/secret', tag: '1', to: 'auth' });
    const imageSocket = path.join(stack.dir, 'real-image.sock');
    const imageService = await fixture.start('image-service', {
      STOWAGE_NODE_NAME: node,
      STOWAGE_LISTEN: imageSocket,
    });
    const gateway = await startGateway(node, stack.runtime.endpoint, {
      STOWAGE_IMAGE_ROUTING: 'true',
      STOWAGE_IMAGE_SERVICE_ENDPOINT: `unix://${imageSocket}`,
    });
    const client = connectImageService({ endpoint: `unix://${gateway.socket}` });
    ends.push(() => {
      client.close();
      return Promise.resolve();
    });
    const ofPull = { image: { image: secret.reference } };

    await expect(client.pullImage(ofPull)).rejects.toThrow(
      /401 Unauthorized|authorization failed|authentication required/,
    );
    const failed = await events.waitFor('ImagePullFailed', (event) => event.node === node);
    expect(failed.data).toMatchObject({
      reference: secret.reference,
      error: { code: 'unauthorized' },
    });

    const auth = { username, password };
    const { imageRef } = await client.pullImage({ ...ofPull, auth });
    expect(imageRef).toBe(secret.imageId);
    const pulled = await events.waitFor('ImagePulled', (event) => event.node === node);
    expect(pulled).toMatchObject({
      source: `/nodes/${node}/image-service`,
      subject: secret.imageId,
      data: { reference: secret.reference, attempts: 1, credential: { source: 'request' } },
    });
    expect(pulled.wire).not.toContain(password);
    const { images: listed } = await client.listImages({});
    expect(listed.map(({ id }) => id)).toContain(secret.imageId);

    await client.removeImage(ofPull);
    const removed = await events.waitFor('ImageRemoved', (event) => event.node === node);
    expect(removed).toMatchObject({ subject: secret.imageId, data: { reason: 'request' } });
    const counted = (method: string, code: string) =>
      gateway.app.metric(`stowage_gateway_calls_total{method="${method}",code="${code}"}`);
    expect(await counted('PullImage', 'OK')).toBe(1);
    expect(await counted('RemoveImage', 'OK')).toBe(1);
    expect(await gateway.stop()).toBe(0);
    expect(await imageService.stop()).toBe(0);
  });
});
