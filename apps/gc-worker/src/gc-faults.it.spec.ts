import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { gcWorker, type CommandDefinition, type CommandInput } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { createTerminatingEndpoint } from '@stowage/cri-endpoint';
import {
  ListContainersResponse,
  ListPodSandboxResponse,
  RemoveImageRequest,
} from '@stowage/cri-proto';
import {
  eventually,
  eventuallyPasses,
  ServiceFixture,
  type AppProcess,
  type EventCollection,
  type Stack,
} from '@stowage/testing';
import { keepUnderMark } from './testing/keep-under-mark';
import { killWorkerAtRandom } from './testing/kill-worker';

/** The short form; `npm run soak -- kill-worker` kills a hundred times. */
it('killed at random points of collections, records and events agree with the runtime after each restart', async () => {
  const report = await killWorkerAtRandom({ kills: 5, seed: 7 });
  expect(report.removedBefore).toBeGreaterThan(0);
}, 300_000);

/** The short form; `npm run soak -- keep-under-mark` goes on for five minutes. */
it('600 MB are kept under their mark while an image is pulled every second, and no used image goes', async () => {
  const report = await keepUnderMark({ seconds: 25, seed: 11 });
  expect(report.removals).toBeGreaterThan(0);
}, 300_000);

describe('faults on a real node', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let events: EventCollection;
  let worker: AppProcess;

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ filesystemMb: 300 });
    ({ stack, events } = fixture);
  });
  afterEach(async () => {
    await fixture.stopServices();
    if (!stack.runtime.running) await stack.runtime.start();
  });
  afterAll(() => fixture.down());

  const start = async (values: Record<string, string> = {}) => {
    worker = await fixture.start('gc-worker', {
      STOWAGE_COMMANDS: 'plan,run,images,status',
      STOWAGE_IMAGE_MINIMUM_GC_AGE: '0',
      STOWAGE_DETECTION_INTERVAL: '200ms',
      ...values,
    });
  };

  /**
   * Pulls unused images of 3 MB; resolves to their references and ids in the order of their
   * detection.
   */
  const pull = async (...names: string[]) => {
    const pulled: { reference: string; imageId: string }[] = [];
    for (const name of names) {
      const { reference } = await stack.pushImage({ name: `team/${name}`, sizeMb: 3, tag: '1' });
      const imageId = await stack.pullImage(reference);
      await events.waitFor('ImageDetected', ({ data }) => data.imageId === imageId);
      pulled.push({ reference, imageId });
    }
    return pulled;
  };

  const send = <C extends CommandDefinition>(command: C, input: CommandInput<C>) =>
    sendCommand(fixture.nats, fixture.node, command, input, { timeoutMs: 60_000, strict: true });
  const run = () => send(gcWorker.run, { bytes: 1 << 30 });
  /** The worker's record of an image. */
  const record = async (imageId: string) => {
    const reply = await send(gcWorker.images, {});
    if (!('total' in reply)) throw new Error('not the records');
    return reply.images.find((image) => image.imageId === imageId);
  };
  const removedIds = () => events.named('ImageRemoved').map(({ data }) => data.imageId);

  it('an image that comes into use between plan and removal stays, and detection goes on meanwhile', async () => {
    // One removal every six seconds leaves time to run a pod in between, also on a busy machine.
    await start({ STOWAGE_REMOVALS_PER_MINUTE: '10' });
    const [first, second, third] = await pull('race-1', 'race-2', 'race-3');
    const running = run();
    await events.waitFor('ImageRemoved', ({ data }) => data.imageId === first!.imageId);
    const pod = await stack.runPod({ image: third!.reference });
    await pull('while-it-runs');
    expect((await running).images).toContainEqual(
      expect.objectContaining({ imageId: third!.imageId, result: 'kept', rule: 'in-use' }),
    );
    expect(removedIds()).toEqual(expect.arrayContaining([first!.imageId, second!.imageId]));
    expect(removedIds()).not.toContain(third!.imageId);
    await pod.remove();
  });

  it('a runtime that goes in the middle of a collection ends it; the next one goes on', async () => {
    await start({ STOWAGE_REMOVALS_PER_MINUTE: '20' });
    const images = await pull('gone-1', 'gone-2', 'gone-3', 'gone-4');
    const running = run();
    await events.waitFor('ImageRemoved', ({ data }) => data.imageId === images[0]!.imageId);
    await stack.runtime.stop();
    expect((await running).failure).toMatchObject({
      code: 'runtime-unavailable',
      grpcStatus: 'UNAVAILABLE',
    });
    await events.waitFor(
      'GarbageCollectionFailed',
      ({ data }) => data.error.code === 'runtime-unavailable',
    );
    await stack.runtime.start();
    await eventually(async () => (await worker.get('/readyz')).status === 200);
    await run();
    await eventuallyPasses(() => {
      expect(removedIds()).toEqual(expect.arrayContaining(images.map(({ imageId }) => imageId)));
    });
    for (const { imageId } of images) {
      expect(removedIds().filter((removed) => removed === imageId)).toHaveLength(1);
    }
  });

  it('a removal that hangs in the runtime counts as failed, and the others go', async () => {
    const image = connectImageService({ endpoint: stack.runtime.endpoint });
    let hanging = '';
    const cancelled: string[] = [];
    const socketPath = path.join(stack.dir, 'hangs.sock');
    const endpoint = await createTerminatingEndpoint({
      socketPath,
      upstream: { address: () => stack.runtime.socket },
      handlers: {
        '/runtime.v1.ImageService/RemoveImage': async (bytes, { signal }) => {
          const request = RemoveImageRequest.decode(bytes);
          const imageId = request.image?.image ?? '';
          if (imageId === hanging) {
            await new Promise((resolve) => {
              signal.addEventListener('abort', resolve, { once: true });
            });
            cancelled.push(imageId);
          } else {
            await image.removeImage(request);
          }
          return new Uint8Array();
        },
      },
      unavailableReason: () => undefined,
    });
    try {
      await start({
        STOWAGE_IMAGE_ENDPOINT: `unix://${socketPath}`,
        STOWAGE_REMOVAL_TIMEOUT: '5s',
      });
      const [first, second, third] = await pull('hangs-1', 'hangs-2', 'hangs-3');
      hanging = second!.imageId;
      const result = await run();
      expect(result.failure).toMatchObject({ code: 'insufficient-space-freed' });
      expect(result.failures).toMatchObject([
        { imageId: hanging, grpcStatus: 'DEADLINE_EXCEEDED' },
      ]);
      // The runtime is told that nobody waits any more.
      await eventuallyPasses(() => {
        expect(cancelled).toEqual([hanging]);
      });
      await eventuallyPasses(() => {
        expect(removedIds()).toEqual(expect.arrayContaining([first!.imageId, third!.imageId]));
      });
      expect(removedIds()).not.toContain(hanging);
      hanging = '';
      await run();
      await events.waitFor('ImageRemoved', ({ data }) => data.imageId === second!.imageId);
    } finally {
      await fixture.stopServices();
      image.close();
      await endpoint.close();
    }
  });

  /** The runtime with some of its calls answered otherwise; `use` is given the endpoint. */
  async function withAnswers(
    handlers: Parameters<typeof createTerminatingEndpoint>[0]['handlers'],
    use: (endpoint: string) => Promise<void>,
  ): Promise<void> {
    const socketPath = path.join(stack.dir, 'answers.sock');
    const endpoint = await createTerminatingEndpoint({
      socketPath,
      upstream: { address: () => stack.runtime.socket },
      handlers,
      unavailableReason: () => undefined,
    });
    try {
      await use(`unix://${socketPath}`);
    } finally {
      await fixture.stopServices();
      await endpoint.close();
    }
  }

  it('a runtime that answers OK to a removal and keeps the image: nothing says that it went, its age stays, and it is left alone for a while', async () => {
    let tries = 0;
    const handlers = {
      '/runtime.v1.ImageService/RemoveImage': () => {
        tries += 1;
        return Promise.resolve(new Uint8Array());
      },
    };
    await withAnswers(handlers, async (endpoint) => {
      await start({
        STOWAGE_IMAGE_ENDPOINT: endpoint,
        // Over the mark all the time.
        STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '1',
        STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: '0',
        STOWAGE_COLLECTION_RETRY: '100ms',
        STOWAGE_DISK_CHECK_INTERVAL: '100ms',
        STOWAGE_IMAGE_MINIMUM_GC_AGE: '2s',
      });
      const [image] = await pull('stays');
      const failed = await events.waitFor('GarbageCollectionFailed', ({ data }) =>
        (data.failures ?? []).some(({ imageId }) => imageId === image!.imageId),
      );
      expect(failed.data.failures).toContainEqual({
        imageId: image!.imageId,
        grpcStatus: 'FAILED_PRECONDITION',
        message: 'the runtime answered that the image was removed, and still lists it',
      });
      const triesThen = tries;
      const detections = async () => {
        const page = (await worker.get('/metrics')).body;
        return Number(/^stowage_gc_detections_total\{result="ok"\} (\d+)$/m.exec(page)?.[1]);
      };
      const before = await detections();
      await eventuallyPasses(async () => {
        expect(await detections()).toBeGreaterThan(before + 5);
      });
      expect(tries).toBe(triesThen);
      expect(removedIds()).not.toContain(image!.imageId);
      const told = events
        .named('ImageDetected')
        .filter(({ data }) => data.imageId === image!.imageId);
      expect(told).toHaveLength(1);
    });
  });

  it('a runtime that lists no containers and no pods for a moment loses no used image, also one that the worker knows by its records alone', async () => {
    let isEmpty = false;
    const runtime = connectRuntimeService({ endpoint: stack.runtime.endpoint });
    const handlers = {
      '/runtime.v1.RuntimeService/ListContainers': async () =>
        isEmpty
          ? new Uint8Array()
          : ListContainersResponse.encode(await runtime.listContainers({})).finish(),
      '/runtime.v1.RuntimeService/ListPodSandbox': async () =>
        isEmpty
          ? new Uint8Array()
          : ListPodSandboxResponse.encode(await runtime.listPodSandbox({})).finish(),
    };
    try {
      await withAnswers(handlers, async (endpoint) => {
        const env = {
          STOWAGE_RUNTIME_ENDPOINT: endpoint,
          STOWAGE_IMAGE_ENDPOINT: stack.runtime.endpoint,
        };
        await start(env);
        const [used, unused] = await pull('stays-used', 'goes-unused');
        const pod = await stack.runPod({ image: used!.reference });
        const usedBy = async () => (await record(used!.imageId))?.usedBy.length;
        await eventuallyPasses(async () => {
          expect(await usedBy()).toBe(1);
        });
        await worker.stop();
        isEmpty = true;
        await start(env);
        await run();
        await events.waitFor('ImageRemoved', ({ data }) => data.imageId === unused!.imageId);
        const { use } = await send(gcWorker.status, {});
        // At least that of the pod: a container of an earlier test may not be given up yet.
        expect(use.lostContainers).toBeGreaterThanOrEqual(1);
        isEmpty = false;
        await run();
        expect(removedIds()).not.toContain(used!.imageId);
        await worker.stop();
        // What does not come back is believed to be gone.
        await pod.remove();
        await start({ ...env, STOWAGE_LOST_CONTAINER_WAIT: '1s' });
        await eventuallyPasses(async () => {
          await run();
          expect(removedIds()).toContain(used!.imageId);
        });
      });
    } finally {
      runtime.close();
    }
  });

  it('started on a read-only state directory after a kill it remembers, collects, says so, and catches up', async () => {
    const mount = path.join(stack.dir, 'read-only-mount');
    const stateDir = path.join(mount, 'state');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', 'stowage-test', mount]);
    try {
      await start({ STOWAGE_STATE_DIR: stateDir });
      const [image] = await pull('read-only-dir');
      await worker.kill();
      const known = events.named('ImageDetected').length;
      execFileSync('mount', ['-o', 'remount,ro', mount]);
      await start({ STOWAGE_STATE_DIR: stateDir });
      await eventuallyPasses(async () => {
        const { body } = await worker.get('/readyz');
        expect(body).toContain('records degraded');
        expect(body).toContain('read-only file system');
        const metrics = (await worker.get('/metrics')).body;
        expect(metrics).toMatch(/^stowage_gc_records_written 0$/m);
        expect(metrics).toMatch(/^stowage_events_outbox_on_disk 0$/m);
      });
      await run();
      await events.waitFor('ImageRemoved', ({ data }) => data.imageId === image!.imageId);
      // What the killed worker knew stands in the logs of its files, and was read: nothing is told
      // again.
      expect(events.named('ImageDetected')).toHaveLength(known);
      const sequences = events.all.filter(({ source }) => source.endsWith('/gc-worker'));
      execFileSync('mount', ['-o', 'remount,rw', mount]);
      await eventuallyPasses(
        async () => {
          const metrics = (await worker.get('/metrics')).body;
          expect(metrics).toMatch(/^stowage_gc_records_written 1$/m);
          expect(metrics).toMatch(/^stowage_events_outbox_on_disk 1$/m);
        },
        { timeoutMs: 60_000 },
      );
      await worker.kill();
      await start({ STOWAGE_STATE_DIR: stateDir });
      await pull('read-only-later');
      const after = events.all.filter(({ source }) => source.endsWith('/gc-worker'));
      expect(after.at(-1)!.sequence).toBeGreaterThan(sequences.at(-1)!.sequence);
      expect(removedIds().filter((id) => id === image!.imageId)).toHaveLength(1);
    } finally {
      await fixture.stopServices();
      execFileSync('umount', ['-l', mount]);
    }
  });

  it('with a records file that is read-only it remembers, collects, says so, and catches up', async () => {
    const stateDir = path.join(stack.dir, 'read-only');
    const file = path.join(stateDir, 'records.db');
    let isReadOnly = false;
    const env = { STOWAGE_STATE_DIR: stateDir };
    const firstDetected = async (imageId: string) => (await record(imageId))?.firstDetected;
    try {
      await start(env);
      const [image] = await pull('read-only');
      const before = await firstDetected(image!.imageId);
      await worker.stop();
      // Permissions do not hold root back; a read-only mount of just this file does.
      execFileSync('mount', ['--bind', file, file]);
      isReadOnly = true;
      execFileSync('mount', ['-o', 'remount,bind,ro', file]);
      await start(env);
      const readyz = async () => (await worker.get('/readyz')).body;
      await eventuallyPasses(async () => {
        expect(await readyz()).toContain('records degraded');
        expect(await firstDetected(image!.imageId)).toBe(before);
      });
      await run();
      expect(String(await stack.runtime.imageNames())).not.toContain('team/read-only');
      execFileSync('umount', [file]);
      isReadOnly = false;
      await eventuallyPasses(
        async () => {
          expect(await readyz()).not.toContain('records degraded');
          expect(removedIds()).toContain(image!.imageId);
        },
        { timeoutMs: 60_000 },
      );
    } finally {
      await fixture.stopServices();
      if (isReadOnly) execFileSync('umount', ['-l', file]);
    }
  });
});
