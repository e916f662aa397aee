import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  eventuallyPasses,
  startStack,
  subscribeEvents,
  type EventCollection,
  type Stack,
} from '@stowage/testing';
import { GatewayProcess } from './testing/gateway-process';

/** The gateway's state on a file system of its own, which is full while NATS is away. */
describe('runtime-gateway without a byte for its outbox', () => {
  const node = 'node-1.example';
  let stack: Stack;
  let events: EventCollection;
  let gateway: GatewayProcess;

  beforeAll(async () => {
    stack = await startStack();
    events = await subscribeEvents(stack.nats.url);
    gateway = new GatewayProcess(stack, { node });
  });

  afterAll(async () => {
    await gateway.end();
    await events.close();
    await stack.down(); // unmounts what is below its folder
  });

  it('fails no call, says so, and publishes everything when there is room and NATS is back', async () => {
    const state = path.join(gateway.dir, 'state');
    const file = path.join(stack.dir, 'small.img');
    writeFileSync(file, '');
    truncateSync(file, 8 * 1024 * 1024);
    mkdirSync(state);
    execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-m', '0', file]);
    execFileSync('mount', ['-o', 'loop', file, state]);
    const image = await stack.pushImage({ name: 'team/app', tag: '1' });
    await stack.pullImage(image.reference);
    await gateway.start();
    await stack.nats.stop();
    const filler = path.join(state, 'filler');
    execFileSync('sh', ['-c', `cat /dev/zero > ${filler} 2>/dev/null || true; sync`]);

    const { client } = gateway;
    const pods: string[] = [];
    // A write-ahead log has some room of its own at first.
    await eventuallyPasses(
      async () => {
        const index = pods.length;
        const metadata = { name: `p-${index}`, namespace: 'shop', uid: `u-${index}`, attempt: 0 };
        const config = { metadata, linux: {} };
        const { podSandboxId } = await client.runPodSandbox({ config });
        const { containerId } = await client.createContainer({
          podSandboxId,
          config: {
            metadata: { name: 'main', attempt: 0 },
            image: { image: image.reference },
            command: ['sleep', '3600'],
            labels: { filler: 'x'.repeat(1000) },
            linux: {},
          },
          sandboxConfig: config,
        });
        await client.startContainer({ containerId });
        await client.removePodSandbox({ podSandboxId });
        pods.push(podSandboxId);
        const { status, text } = await gateway.app.readiness();
        expect([status, text]).toEqual([
          200,
          expect.stringContaining('outbox file cannot be written'),
        ]);
      },
      { timeoutMs: 90_000 },
    );
    expect(await gateway.app.metric('stowage_events_pending')).toBeGreaterThan(pods.length);

    rmSync(filler);
    await stack.nats.start();
    for (const podSandboxId of pods) {
      await events.waitFor('PodSandboxRemoved', ({ subject }) => subject === podSandboxId, {
        timeoutMs: 60_000,
      });
    }
    await eventuallyPasses(async () => {
      expect(await gateway.app.readiness()).toEqual({ status: 200, text: '' });
    });
    const sequences = events.all.map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    expect(events.named('EventsDropped')).toEqual([]);
    expect(await gateway.stop()).toBe(0);
  }, 240_000);
});
