import { connectRuntimeService, type RuntimeServiceClient } from '@stowage/cri-client';
import {
  eventually,
  eventuallyPasses,
  freePort,
  ServiceFixture,
  type AppProcess,
  type EventCollection,
  type PushedImage,
} from '@stowage/testing';
import { eventsAbout, GatewayProcess } from '../testing/gateway-process';

const node = 'take-over';
const isReady = (app: AppProcess) => app.logLines().some(({ msg }) => msg === 'ready');

describe('a take-over of runtime-gateway over the real runtime', () => {
  let fixture: ServiceFixture;
  let events: EventCollection;
  let image: PushedImage;
  let env: Record<string, string>;
  const clients: RuntimeServiceClient[] = [];

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ node });
    const { stack } = fixture;
    ({ events } = fixture);
    image = await stack.pushImage({ name: 'team/app', tag: '1' });
    await stack.pullImage(image.reference);
    env = {
      ...new GatewayProcess(stack, { node }).environment,
      STOWAGE_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      STOWAGE_RELIST_INTERVAL: '300ms',
    };
  });

  afterAll(async () => {
    for (const client of clients) client.close();
    await fixture.down();
  });

  const start = (takeOver: boolean): Promise<AppProcess> => {
    // That of the old one, which must not end its calls.
    const limit = takeOver ? undefined : { STOWAGE_STOP_TIMEOUT: '2s' };
    const values = { ...env, STOWAGE_TAKE_OVER: String(takeOver), ...limit };
    return fixture.start('runtime-gateway', values, { ready: isReady });
  };
  /** As kubelet's: a connection that it keeps, and makes anew when it is sent away. */
  const client = (): RuntimeServiceClient => {
    const made = connectRuntimeService({
      endpoint: `unix://${env.STOWAGE_LISTEN}`,
      versions: 'v1',
      timeoutMs: 60_000,
    });
    clients.push(made);
    return made;
  };
  const startContainer = async (runtime: RuntimeServiceClient, name: string, script: string) => {
    const config = {
      metadata: { name, namespace: 'shop', uid: name, attempt: 0 },
      hostname: name,
      linux: {},
    };
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      config: {
        metadata: { name: 'main', attempt: 0 },
        image: { image: image.imageId },
        command: ['/bin/sh', '-c', script],
        linux: {},
      },
      sandboxConfig: config,
    });
    await runtime.startContainer({ containerId });
    return { podSandboxId, containerId };
  };
  const about = (...ids: string[]) =>
    eventsAbout(events, node, ...ids).map(({ name, data }) => ({ name, data }));

  it('ends containers in order through the old one, and publishes once what its calls did', async () => {
    const old = await start(false);
    const kubelet = client();
    // Ends some seconds after SIGTERM, longer than all of the old one's stopTimeout.
    const slow = await startContainer(
      kubelet,
      'slow',
      'trap "sleep 8; exit 7" TERM; while true; do sleep 0.1; done',
    );
    const stopped = kubelet.stopContainer({ containerId: slow.containerId, timeout: 30n });
    const done = kubelet.execSync({
      containerId: slow.containerId,
      cmd: ['/bin/sh', '-c', 'sleep 6; echo done'],
      timeout: 30n,
    });
    const isStopping = Promise.all([stopped, done]);
    isStopping.catch(() => undefined);
    for (const method of ['StopContainer', 'ExecSync']) {
      const line = `stowage_gateway_calls_in_flight{method="${method}"} 1`;
      await eventually(async () => (await old.get('/metrics')).body.includes(line), { what: line });
    }

    const next = await start(true);
    // The new one observes while the old one's calls go on.
    const other = client();
    const quick = await startContainer(other, 'quick', 'exec sleep 3600');
    await eventuallyPasses(() => {
      expect(about(quick.podSandboxId, quick.containerId).map(({ name }) => name)).toEqual([
        'PodSandboxStarted',
        'ContainerCreated',
        'ContainerStarted',
      ]);
    });
    expect(about(quick.containerId)).toMatchObject([
      { data: { observedBy: 'call' } },
      { data: { observedBy: 'call' } },
    ]);

    await stopped;
    expect(Buffer.from((await done).stdout).toString()).toBe('done\n');
    expect(await old.exited).toEqual({ code: 0, signal: null });

    await eventuallyPasses(() => {
      expect(about(slow.containerId).map(({ name }) => name)).toContain('ContainerStopped');
    });
    for (const { podSandboxId } of [slow, quick]) {
      await kubelet.removePodSandbox({ podSandboxId });
    }
    await eventually(() => events.named('PodSandboxRemoved').length === 2, {
      what: 'the removals',
    });
    expect(about(slow.containerId)).toMatchObject([
      { name: 'ContainerCreated' },
      { name: 'ContainerStarted' },
      { name: 'ContainerStopped', data: { exitCode: 7, requested: true } },
      { name: 'ContainerRemoved' },
    ]);
    const own = events.all.filter((event) => event.node === node);
    expect(own.map(({ sequence }) => sequence)).toEqual(own.map((_event, i) => i + 1));
    expect(await next.stop()).toBe(0);
  });
});
