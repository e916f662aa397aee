import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { commandSubject } from '@stowage/events';
import {
  eventually,
  eventuallyPasses,
  freePort,
  ServiceFixture,
  startTraceCollector,
  type CollectedSpan,
  type EventCollection,
  type PushedImage,
  type Stack,
  type TraceCollector,
} from '@stowage/testing';
import { headers } from 'nats';
import { seePulls, type SeenPulls } from './testing/seen-pulls';
import { ServiceProcess, serviceNode } from './testing/service-process';

const token = 'tok-Xy12-never-printed';
let traces = 0;

/** A trace that a client has begun. */
function clientTrace() {
  const traceId = (++traces).toString(16).padStart(32, 'a');
  return { traceId, traceparent: `00-${traceId}-b7ad6b7169203331-01` };
}

describe('traces of image-service', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let collector: TraceCollector;
  let events: EventCollection;
  let service: ServiceProcess;
  let image: PushedImage;
  let runtime: SeenPulls;
  /** W3C headers of the pulls that reached the runtime. */
  const pulls: { image: string; traceparent: string; tracestate?: string }[] = [];

  const ensure = async (input: object, traceparent?: string, name = 'traceparent') => {
    const with_ = headers();
    if (traceparent !== undefined) with_.set(name, traceparent);
    const subject = commandSubject(serviceNode, 'image-service', 'ensure');
    const options = { timeout: 30_000, headers: with_ };
    const reply = await fixture.nats.request(subject, JSON.stringify(input), options);
    return reply.json<{ ok: boolean }>();
  };

  const remove = () => runtime.direct.removeImage({ image: { image: image.imageId } });
  const env = (more: Record<string, string> = {}) => ({
    STOWAGE_IMAGE_ENDPOINT: runtime.endpoint,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer ${token}`,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    ...more,
  });

  beforeAll(async () => {
    fixture = await ServiceFixture.start();
    ({ stack, events } = fixture);
    image = await stack.pushImage({ name: 'team/app', tag: '1', to: 'auth' });
    collector = await startTraceCollector();
    runtime = await seePulls(stack, (request, { traceparent = '', tracestate }) => {
      pulls.push({ image: request.image?.image ?? '', traceparent, tracestate });
    });
    service = new ServiceProcess(stack, 'traced');
    const { host, username, password } = stack.registry.auth;
    const basic = (value: string) => Buffer.from(`${username}:${value}`).toString('base64');
    writeFileSync(
      path.join(service.dockerDir, 'config.json'),
      JSON.stringify({
        auths: {
          [`${host}/team`]: { auth: basic('wrong-password') },
          [host]: { auth: basic(password) },
        },
      }),
    );
    await service.start({ env: env() });
  });

  afterAll(async () => {
    await service.stop();
    await runtime.close();
    await collector.close();
    await fixture.down();
  });

  beforeEach(() => pulls.splice(0));

  const spanOf = (name: string, traceId: string, pick?: (span: CollectedSpan) => boolean) =>
    collector.waitFor(name, (span) => span.traceId === traceId && (pick?.(span) ?? true));
  const names = (span: CollectedSpan) => collector.pathTo(span).map(({ name }) => name);

  it('are one from the command over every attempt to the runtime, and into the events', async () => {
    const { traceId, traceparent } = clientTrace();
    expect(await ensure({ image: image.reference }, traceparent)).toMatchObject({ ok: true });

    const server = await spanOf('image-service.ensure', traceId);
    expect(server).toMatchObject({
      kind: 'server',
      parentSpanId: 'b7ad6b7169203331',
      resource: { 'service.name': 'image-service', 'service.instance.id': serviceNode },
    });
    const calls = await Promise.all(
      pulls.map(({ traceparent: sent }) =>
        spanOf('ImageService/PullImage', traceId, ({ spanId }) => sent.includes(spanId)),
      ),
    );
    expect(calls.map(({ kind }) => kind)).toEqual(['client', 'client']);
    expect(pulls.map(({ traceparent: sent }) => sent)).toEqual(
      calls.map(({ spanId }) => `00-${traceId}-${spanId}-01`),
    );
    const whole = [
      'image-service.ensure',
      'image.ensure',
      'image.pull',
      'image.pull.attempt',
      'ImageService/PullImage',
    ];
    expect(calls.map(names)).toEqual([whole, whole]);

    const attempts = calls.map((call) => collector.pathTo(call)[3]);
    expect(attempts.map((span) => span?.attributes)).toMatchObject([
      { 'stowage.credential.source': 'docker-config', 'stowage.pull.result': 'unauthorized' },
      {
        'stowage.credential.source': 'docker-config',
        'stowage.pull.result': 'success',
        'stowage.image.reference': image.reference,
      },
    ]);
    expect(attempts.map((span) => span?.error)).toEqual(['UNKNOWN', undefined]);

    const pull = await spanOf('image.pull', traceId);
    expect(pull.attributes).toMatchObject({ 'stowage.pull.attempts': 2 });
    const ofPull = `00-${traceId}-${pull.spanId}-01`;
    const { wire } = await events.waitFor(
      'ImagePulled',
      (event) => event.data.pullId === pull.attributes['stowage.pull.id'],
    );
    expect(JSON.parse(wire)).toMatchObject({ traceparent: ofPull });
    expect(JSON.parse(events.named('ImagePullStarted').at(-1)!.wire)).toMatchObject({
      traceparent: ofPull,
    });
  });

  it('begin at the image that is there already, and of the command without a trace', async () => {
    const { traceId, traceparent } = clientTrace();
    // As Go libraries write it, which take headers for those of HTTP.
    await ensure({ image: image.reference }, traceparent, 'Traceparent');
    const span = await spanOf('image.ensure', traceId);
    expect(span.attributes).toMatchObject({ 'stowage.ensure.result': 'present' });
    const { wire } = await events.waitFor('ImageEnsured');
    expect(JSON.parse(wire)).toMatchObject({ traceparent: `00-${traceId}-${span.spanId}-01` });
    const before = collector.spans.length;
    await ensure({ image: image.reference });
    const own = await collector.waitFor(
      'image-service.ensure',
      ({ parentSpanId }) => parentSpanId === '',
    );
    expect(collector.spans.indexOf(own)).toBeGreaterThanOrEqual(before);
    expect(own.traceId).toMatch(/^[0-9a-f]{32}$/);
  });

  it("go on from a CRI client's call, and of callers that share a pull each has its own", async () => {
    await remove();
    const callers = [clientTrace(), clientTrace(), clientTrace()];
    await Promise.all(
      callers.map(({ traceparent }) =>
        service.client.pullImage(
          { image: { image: image.reference } },
          { headers: { traceparent, tracestate: 'vendor=1' } },
        ),
      ),
    );
    const servers = await Promise.all(
      callers.map(({ traceId }) => spanOf('runtime.v1.ImageService/PullImage', traceId)),
    );
    expect(servers[0]).toMatchObject({
      kind: 'server',
      parentSpanId: 'b7ad6b7169203331',
      attributes: { 'rpc.service': 'runtime.v1.ImageService', 'rpc.grpc.status_code': 0 },
    });
    expect(pulls.map(({ tracestate }) => tracestate)).toEqual(pulls.map(() => 'vendor=1'));
    // Whoever did not begin a pull is linked to it.
    const linked = servers.filter(({ links }) => links.length > 0);
    // A pull ends after the call that began it was answered.
    await eventuallyPasses(() => {
      const own = collector.spans.filter(
        ({ name, traceId }) => name === 'image.pull' && callers.some((c) => c.traceId === traceId),
      );
      expect(own.length + linked.length).toBe(3);
      for (const { links } of linked) expect(own.map(({ spanId }) => spanId)).toContain(links[0]);
    });
  });

  it('show why a call failed, and removals', async () => {
    const failed = clientTrace();
    const none = `${stack.registry.open.host}/team/none:1`;
    const [error, code] = stack.runtime.name === 'containerd' ? ['NOT_FOUND', 5] : ['UNKNOWN', 2];
    await expect(
      service.client.pullImage({ image: { image: none } }, { headers: failed }),
    ).rejects.toMatchObject({ grpcStatus: error });
    const span = await spanOf('runtime.v1.ImageService/PullImage', failed.traceId);
    expect(span).toMatchObject({ error, attributes: { 'rpc.grpc.status_code': code } });
    expect(await spanOf('image.pull.attempt', failed.traceId)).toMatchObject({
      attributes: { 'stowage.pull.result': 'not-found' },
    });

    const { traceId, traceparent } = clientTrace();
    await service.client.removeImage(
      { image: { image: image.imageId } },
      { headers: { traceparent } },
    );
    const server = await spanOf('runtime.v1.ImageService/RemoveImage', traceId);
    expect(names(await spanOf('ImageService/RemoveImage', traceId))).toEqual([
      server.name,
      'ImageService/RemoveImage',
    ]);
    const { wire } = await events.waitFor('ImageRemoved');
    expect(JSON.parse(wire)).toMatchObject({ traceparent: `00-${traceId}-${server.spanId}-01` });
  });

  it('hold no secret, and none of the collector stands in the log', async () => {
    const { password } = stack.registry.auth;
    const outputs = await service.outputs();
    expect(collector.requests[0]?.authorization).toBe(`Bearer ${token}`);
    expect(outputs.includes(token)).toBe(false);
    const spans = JSON.stringify(collector.spans);
    for (const secret of [password, 'wrong-password', token]) {
      expect(spans.includes(secret)).toBe(false);
      expect(outputs.includes(secret)).toBe(false);
    }
    expect(events.invalid).toEqual([]);
  });

  it.each([
    ['that hangs', () => Promise.resolve(collector.endpoint), 'hang' as const],
    ['that is not there', async () => `http://127.0.0.1:${await freePort()}`, 200],
  ])(
    'of a collector %s are nothing that a pull or the stop waits for',
    async (_what, at, answer) => {
      await service.stop();
      collector.answer = answer;
      const before = collector.requests.length;
      await service.start({ env: env({ OTEL_EXPORTER_OTLP_ENDPOINT: await at() }) });
      try {
        await remove();
        const { traceId, traceparent } = clientTrace();
        expect(await ensure({ image: image.reference }, traceparent)).toMatchObject({
          ok: true,
          result: { pulled: true },
        });
        expect(pulls[0]?.traceparent).toContain(traceId);
        if (answer === 'hang') await eventually(() => collector.requests.length > before);
        expect(await service.stop()).toBe(0);
        expect(service.app.logLines().at(-1)).toMatchObject({ msg: 'stopped' });
      } finally {
        collector.answer = 200;
        await service.start({ env: env() });
      }
    },
  );

  it('without a collector hand on what came, unchanged', async () => {
    await service.stop();
    await service.start({ env: { STOWAGE_IMAGE_ENDPOINT: runtime.endpoint } });
    await remove();
    const { traceparent } = clientTrace();
    expect(await ensure({ image: image.reference }, traceparent)).toMatchObject({ ok: true });
    expect(pulls.map((pull) => pull.traceparent)).toEqual([traceparent, traceparent]);
    const isOurs = ({ wire }: { wire: string }) => wire.includes(traceparent);
    await eventually(() => events.named('ImagePulled').some(isOurs));
  });
});
