import { gcWorker } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import {
  eventually,
  ServiceFixture,
  startTraceCollector,
  type AppProcess,
  type EventCollection,
  type TraceCollector,
} from '@stowage/testing';

const traceId = '0af7651916cd43dd8448eb211c80319c';

describe('traces of gc-worker', () => {
  let fixture: ServiceFixture;
  let events: EventCollection;
  let collector: TraceCollector;
  let worker: AppProcess;
  let imageId: string;

  beforeAll(async () => {
    fixture = await ServiceFixture.start();
    const { stack } = fixture;
    ({ events } = fixture);
    collector = await startTraceCollector();
    const image = await stack.pushImage({ name: 'team/unused', tag: '1' });
    imageId = await stack.pullImage(image.reference);
    worker = await fixture.start('gc-worker', {
      STOWAGE_COMMANDS: 'plan,run',
      STOWAGE_IMAGE_MINIMUM_GC_AGE: '0s',
      // The images lie on the file system of this machine, which may be full beyond any mark.
      STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '100',
      // It checks all the same.
      STOWAGE_IMAGE_MAXIMUM_GC_AGE: '24h',
      STOWAGE_DETECTION_INTERVAL: '300ms',
      STOWAGE_EXEMPT_IMAGES: stack.sandboxImage,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '100',
    });
  });

  afterAll(async () => {
    expect(await worker.stop()).toBe(0);
    await collector.close();
    await fixture.down();
  });

  it('are one from the command over the plan to each removal, and into the events', async () => {
    await events.waitFor('ImageDetected', ({ subject }) => subject === imageId);
    const parent = `00-${traceId}-b7ad6b7169203331-01`;
    const options = { timeoutMs: 20_000, traceparent: parent, strict: true };
    const { nats, node } = fixture;
    const outcome = await eventually(() =>
      sendCommand(nats, node, gcWorker.run, { bytes: 1 }, options),
    );
    expect(outcome).toMatchObject({ removedCount: 1 });

    // The command's span ends last.
    await collector.waitFor('gc-worker.run', (span) => span.traceId === traceId);
    const call = await collector.waitFor(
      'ImageService/RemoveImage',
      (span) => span.traceId === traceId,
    );
    const path = collector.pathTo(call);
    expect(path.map(({ name }) => name)).toEqual([
      'gc-worker.run',
      'gc.collection',
      'gc.image_removal',
      'ImageService/RemoveImage',
    ]);
    const [server, collection, removal] = path;
    expect(server).toMatchObject({ kind: 'server', parentSpanId: 'b7ad6b7169203331' });
    expect(collection).toMatchObject({
      attributes: { 'stowage.gc.trigger': 'request', 'stowage.gc.removed': 1 },
      resource: { 'service.name': 'gc-worker', 'service.instance.id': fixture.node },
    });
    expect(removal?.attributes).toMatchObject({ 'stowage.image.id': imageId });
    const lists = collector.spans.filter(
      ({ name, ...span }) => name === 'ImageService/ListImages' && span.traceId === traceId,
    );
    expect(lists.map((span) => collector.pathTo(span).map(({ name }) => name))).toEqual([
      ['gc-worker.run', 'gc.plan', 'ImageService/ListImages'],
      // Whether the image is gone.
      ['gc-worker.run', 'gc.collection', 'ImageService/ListImages'],
    ]);

    const traceparent = `00-${traceId}-${collection?.spanId ?? ''}-01`;
    for (const name of ['ImageRemoved', 'GarbageCollected'] as const) {
      const { wire } = await events.waitFor(name);
      expect(JSON.parse(wire)).toMatchObject({ traceparent });
    }
  });

  it('of what it does on its own begin with it', async () => {
    const detection = await collector.waitFor('gc.detection');
    expect(detection).toMatchObject({ parentSpanId: '', kind: 'internal' });
    const check = await collector.waitFor('gc.check');
    expect(check.attributes).toEqual({ 'stowage.gc.cause': 'period' });
  });
});
