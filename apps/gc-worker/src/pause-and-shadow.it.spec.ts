import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { gcWorker, type CommandDefinition, type CommandInput } from '@stowage/commands';
import { askLocalService, sendLocalCommand } from '@stowage/commands/local';
import { eventually, eventuallyPasses, ServiceFixture, type AppProcess } from '@stowage/testing';

/** A node without NATS whose operator tries the worker first, and stops it for a while later. */

let fixture: ServiceFixture;
let worker: AppProcess;
let configFile: string;
let socketPath: string;

function send<C extends CommandDefinition>(command: C, input: CommandInput<C>) {
  return sendLocalCommand(socketPath, command, input, { timeoutMs: 60_000, strict: true });
}
const configure = (collect: string) =>
  writeFileSync(configFile, `gc-worker: { collect: ${collect}, imageMinimumGCAge: 0s }\n`);
const startWorker = async () => {
  worker = await fixture.start(
    'gc-worker',
    {
      STOWAGE_NATS_SERVERS: 'none',
      STOWAGE_COMMAND_SOCKET: socketPath,
      STOWAGE_DETECTION_INTERVAL: '300ms',
      STOWAGE_DISK_CHECK_INTERVAL: '200ms',
    },
    { args: ['--config', configFile] },
  );
};
const images = async () => {
  const reply = await send(gcWorker.images, {});
  return 'total' in reply ? reply.images.map(({ imageId }) => imageId) : [];
};
const events = async (...types: string[]) => (await send(gcWorker.events, { types })).events;
const collecting = async () => {
  const { health } = await askLocalService(socketPath, 'gc-worker', { timeoutMs: 10_000 });
  return health.components.find(({ name }) => name === 'collecting');
};

beforeAll(async () => {
  fixture = await ServiceFixture.start({ filesystemMb: 400 });
  configFile = path.join(fixture.stack.dir, 'config.yaml');
  socketPath = path.join(fixture.stack.dir, 'gc-worker.cmd.sock');
});
afterEach(() => fixture.stopServices());
afterAll(() => fixture.down());

it('20 images in shadow stay, and the same plan removes just these once collect is on', async () => {
  configure('shadow');
  await startWorker();
  const shadowed: string[] = [];
  for (let n = 0; n < 20; n += 1) {
    // One has a layer of its own; what all share stays with the image that is held.
    const image = { name: `team/app-${n}`, tag: '1', ...(n === 0 && { sizeMb: 3 }) };
    const { reference } = await fixture.stack.pushImage(image);
    shadowed.push(await fixture.stack.pullImage(reference));
  }
  await eventually(async () => {
    const known = await images();
    return shadowed.every((imageId) => known.includes(imageId));
  });

  // One that is none of the plan's business.
  const other = await fixture.stack.pushImage({ name: 'team/other', tag: '1' });
  const otherId = await fixture.stack.pullImage(other.reference);
  await send(gcWorker.hold, { image: other.reference, minutes: 60, reason: 'not of the plan' });

  const outcome = await send(gcWorker.run, { bytes: 2 ** 40 });
  expect(outcome).toMatchObject({ removedCount: 0, expectedBytes: 0, measured: [] });
  expect(outcome.shadow?.wouldRemoveCount).toBe(20);
  expect(outcome.shadow?.expectedBytes).toBeGreaterThan(0);
  const wouldGo = outcome.images
    .filter(({ result }) => result === 'would-remove')
    .map(({ imageId }) => imageId);
  expect(wouldGo.sort()).toEqual([...shadowed].sort());
  expect(await images()).toEqual(expect.arrayContaining(shadowed));
  const { planId } = outcome;
  const [event] = await events('GarbageCollectionShadowed');
  expect(event).toMatchObject({ subject: planId, data: { planId, wouldRemoveCount: 20 } });
  expect(await events('GarbageCollected', 'GarbageCollectionFailed', 'ImageRemoved')).toEqual([]);
  expect(await worker.metric('stowage_gc_shadow_images')).toBe(20);
  expect(await worker.metric('stowage_gc_collect_mode{mode="shadow"}')).toBe(1);
  expect(await collecting()).toMatchObject({ state: 'ok', note: expect.stringMatching(/^shadow/) });
  expect((await send(gcWorker.status, {})).policy.collect).toBe('shadow');

  // A restart in between.
  await worker.kill();
  await startWorker();
  configure('on');
  await eventually(async () => (await send(gcWorker.status, {})).policy.collect === 'on');
  expect(await send(gcWorker.run, { planId })).toMatchObject({ planId, removedCount: 20 });
  await eventuallyPasses(async () => {
    const left = await images();
    expect(left.filter((imageId) => shadowed.includes(imageId))).toEqual([]);
    expect(left).toContain(otherId);
  });
  expect((await events('ImageRemoved')).map(({ subject }) => subject).sort()).toEqual(
    [...shadowed].sort(),
  );
  expect(await collecting()).toMatchObject({ state: 'ok' });
});

it('a pause keeps images over a restart, is in status, health and metrics, and ends by a command', async () => {
  configure('on');
  await startWorker();
  const reason = 'looking into a disk';
  const pause = await send(gcWorker.pause, { minutes: 30, reason });
  const { reference } = await fixture.stack.pushImage({ name: 'team/paused', tag: '1' });
  const imageId = await fixture.stack.pullImage(reference);
  await eventually(async () => (await images()).includes(imageId));

  await worker.kill();
  await startWorker();
  expect((await send(gcWorker.status, {})).paused).toEqual(pause);
  expect(await collecting()).toMatchObject({
    state: 'ok',
    note: `collection is paused until ${pause.until}: ${reason}`,
  });
  expect((await worker.get('/readyz')).body).toContain(`paused until ${pause.until}`);
  expect(await worker.metric('stowage_gc_paused')).toBe(1);
  await expect(send(gcWorker.run, { bytes: 2 ** 40 })).rejects.toMatchObject({
    grpcStatus: 'FAILED_PRECONDITION',
    reason: expect.stringMatching(/is paused until .*gc-worker\.resume/),
  });

  expect(await send(gcWorker.resume, {})).toEqual({ ended: pause });
  expect(await worker.metric('stowage_gc_paused')).toBe(0);
  await eventually(async () => {
    await send(gcWorker.run, { bytes: 2 ** 40 });
    return !(await images()).includes(imageId);
  });
  expect(await events('CollectionPaused', 'CollectionResumed')).toMatchObject([
    { type: 'io.stowage.node.v1.CollectionPaused', data: { until: pause.until, reason } },
    { type: 'io.stowage.node.v1.CollectionResumed', data: { cause: 'command', reason } },
  ]);
});

it('a hold keeps an image over a restart, is in plan, images, status and metrics, and is released', async () => {
  configure('on');
  await startWorker();
  const { reference, imageId } = await fixture.stack.pushImage({ name: 'team/held', tag: '1' });
  await fixture.stack.pullImage(reference);
  const reason = 'looking into a crash';
  const [hold] = (await send(gcWorker.hold, { image: reference, minutes: 30, reason })).held;
  const planned = async () => {
    const { images: all } = await send(gcWorker.plan, { bytes: 2 ** 40 });
    return all.find((image) => image.imageId === imageId);
  };
  await send(gcWorker.run, { bytes: 2 ** 40 });
  expect(await images()).toContain(imageId);

  await worker.kill();
  await startWorker();
  expect(await planned()).toMatchObject({
    rule: 'held',
    why: `held until ${hold?.until}: ${reason}`,
  });
  expect((await send(gcWorker.status, {})).holds).toContainEqual(hold);
  const reply = await send(gcWorker.images, {});
  const record = 'total' in reply && reply.images.find((image) => image.imageId === imageId);
  expect(record).toMatchObject({ held: { until: hold?.until, reason } });
  expect(await worker.metric('stowage_gc_held_images')).toBeGreaterThan(0);

  expect((await send(gcWorker.release, { image: imageId })).released).toEqual([hold]);
  await eventually(async () => {
    await send(gcWorker.run, { bytes: 2 ** 40 });
    return !(await images()).includes(imageId);
  });
  expect((await events('ImageHeld')).at(-1)).toMatchObject({ subject: imageId, data: { reason } });
  expect((await events('ImageReleased')).at(-1)).toMatchObject({ data: { cause: 'command' } });
});

it('off: no collection, asked for or not', async () => {
  configure('off');
  await startWorker();
  expect(await send(gcWorker.status, {})).toMatchObject({ collects: false });
  await expect(send(gcWorker.run, {})).rejects.toMatchObject({
    reason: expect.stringMatching(/collection is off: .*STOWAGE_COLLECT/),
  });
  expect(await collecting()).toMatchObject({ note: 'off: there are no collections' });
});
