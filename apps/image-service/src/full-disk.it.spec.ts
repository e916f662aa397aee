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
import { ServiceProcess } from './testing/service-process';

/** image-service's state on a file system of its own, which is full while NATS is away. */
describe('image-service without a byte for its outbox', () => {
  let stack: Stack;
  let events: EventCollection;
  let service: ServiceProcess;

  beforeAll(async () => {
    stack = await startStack();
    events = await subscribeEvents(stack.nats.url);
    service = new ServiceProcess(stack, 'full');
  });

  afterAll(async () => {
    await service.app.kill();
    service.client.close();
    await events.close();
    await stack.down(); // unmounts what is below its folder
  });

  it('pulls and removes, says so, and publishes everything when there is room and NATS is back', async () => {
    const state = path.join(service.dir, 'state');
    const file = path.join(stack.dir, 'small.img');
    writeFileSync(file, '');
    truncateSync(file, 8 * 1024 * 1024);
    mkdirSync(state);
    execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-m', '0', file]);
    execFileSync('mount', ['-o', 'loop', file, state]);
    const { reference, imageId } = await stack.pushImage({ name: 'team/app', tag: '1' });
    await service.start();
    await stack.nats.stop();
    const filler = path.join(state, 'filler');
    execFileSync('sh', ['-c', `cat /dev/zero > ${filler} 2>/dev/null || true; sync`]);

    let pulls = 0;
    // A write-ahead log has some room of its own at first.
    await eventuallyPasses(
      async () => {
        await service.client.pullImage({ image: { image: reference } });
        await service.client.removeImage({ image: { image: imageId } });
        pulls += 1;
        const { status, text } = await service.app.readiness();
        expect([status, text]).toEqual([
          200,
          expect.stringContaining('outbox file cannot be written'),
        ]);
      },
      { timeoutMs: 90_000 },
    );

    rmSync(filler);
    await stack.nats.start();
    await eventuallyPasses(
      () => {
        expect(events.named('ImageRemoved')).toHaveLength(pulls);
      },
      { timeoutMs: 60_000 },
    );
    expect(events.named('ImagePulled')).toHaveLength(pulls);
    const sequences = events.all.map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    await eventuallyPasses(async () => {
      expect((await service.app.readiness()).text).toBe('');
    });
  }, 240_000);
});
