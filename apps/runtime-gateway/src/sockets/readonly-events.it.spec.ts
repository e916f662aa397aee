import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import { connectRuntimeService, type RuntimeServiceClient } from '@stowage/cri-client';
import { eventually, startStack, type Stack } from '@stowage/testing';
import { FakeRuntime } from '../testing/fake-runtime';
import { absentNats, GatewayProcess } from '../testing/gateway-process';

describe('GetContainerEvents on the read-only socket', () => {
  let stack: Stack;
  let runtime: FakeRuntime;
  let gateway: GatewayProcess;
  let client: RuntimeServiceClient;
  let runtimes = 0;

  const start = async (runtimeVersion: string, env: Record<string, string> = {}) => {
    runtimes += 1;
    const socket = path.join(stack.dir, `fake-${runtimes}.sock`);
    runtime = await FakeRuntime.start(socket, { runtimeName: 'containerd', runtimeVersion });
    gateway = new GatewayProcess(stack, {
      node: 'node-1',
      runtimeEndpoint: `unix://${socket}`,
      natsUrl: absentNats,
    });
    await gateway.start({ env: { STOWAGE_RUNTIME_EVENTS: 'never', ...env } });
    client = connectRuntimeService({ endpoint: `unix://${gateway.readonlySocket}` });
  };

  /** The first event that a reader on the read-only socket gets. */
  const firstEvent = async (): Promise<string> => {
    for await (const event of client.getContainerEvents({}))
      return event.podSandboxStatus?.id ?? '';
    return 'none';
  };

  beforeAll(async () => {
    stack = await startStack({ containerd: false, registries: false, nats: false });
  });

  afterEach(async () => {
    client.close();
    await gateway.end();
    runtime.stop();
  });

  afterAll(() => stack.down());

  it('is refused where the runtime gives each event to one reader, before the runtime hears of it', async () => {
    await start('1.7.27');
    await expect(firstEvent()).rejects.toMatchObject({
      grpcStatus: 'PERMISSION_DENIED',
      details: expect.stringMatching(
        /containerd 1\.7\.27 gives each event to one reader only.*readonlyEvents: always allows it$/,
      ) as string,
    });
    expect(runtime.readers).toBe(0);
    await expect(client.version({})).resolves.toMatchObject({ runtimeVersion: '1.7.27' });
  });

  it.each([
    ['where the configuration allows it', '1.7.27', { STOWAGE_READONLY_EVENTS: 'always' }],
    ['where each reader gets every event', 'v2.1.4', {}],
  ])('passes %s', async (_what, version, env: Record<string, string>) => {
    await start(version, env);
    const first = firstEvent();
    await eventually(() => runtime.readers === 1, { what: 'the reader' });
    const config = { metadata: { name: 'cart-0', namespace: 'shop', uid: 'u1' } };
    const { podSandboxId } = await gateway.client.runPodSandbox({ config });
    expect(await first).toBe(podSandboxId);
  });

  it('lets go of a reader that stands still, for which the runtime would hold back all others', async () => {
    await start('v2.1.4');
    const session = http2.connect('http://localhost', {
      createConnection: () => net.connect(gateway.readonlySocket),
    });
    const reader = session.request({
      ':method': 'POST',
      ':path': '/runtime.v1.RuntimeService/GetContainerEvents',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    reader.on('error', () => undefined);
    reader.end(Buffer.alloc(5));
    await eventually(() => runtime.readers === 1, { what: 'the reader' });
    const metadata = { name: 'x'.repeat(200_000), namespace: 'shop', uid: 'u1' };
    for (let i = 0; i < 20; i++) await gateway.client.runPodSandbox({ config: { metadata } });
    await eventually(() => runtime.readers === 0, { what: 'the reader to be let go' });
    session.destroy();
  });

  it('is UNAVAILABLE while nobody knows what the runtime is', async () => {
    await start('1.7.27');
    runtime.stop();
    await eventually(async () => (await gateway.app.readiness()).status === 503, {
      what: 'the loss',
    });
    await expect(firstEvent()).rejects.toMatchObject({ grpcStatus: 'UNAVAILABLE' });
  });
});
