import { runtimeGateway } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import {
  eventually,
  ServiceFixture,
  startTraceCollector,
  type TraceCollector,
} from '@stowage/testing';
import { GatewayProcess } from './testing/gateway-process';

const node = 'node-t';
const [ofCommand, ofClient] = ['a', 'b'].map((digit) => digit.repeat(32)) as [string, string];

describe('traces of runtime-gateway', () => {
  let fixture: ServiceFixture;
  let collector: TraceCollector;
  let gateway: GatewayProcess;

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ node });
    collector = await startTraceCollector();
    gateway = new GatewayProcess(fixture.stack, { node });
    await gateway.start({
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' },
    });
  });

  afterAll(async () => {
    await gateway.end();
    await collector.close();
    await fixture.down();
  });

  it('go from a query to the runtime', async () => {
    const traceparent = `00-${ofCommand}-b7ad6b7169203331-01`;
    const options = { timeoutMs: 20_000, traceparent, strict: true };
    await eventually(() => sendCommand(fixture.nats, node, runtimeGateway.version, {}, options));
    const server = await collector.waitFor(
      'runtime-gateway.version',
      (span) => span.traceId === ofCommand,
    );
    expect(server).toMatchObject({
      kind: 'server',
      parentSpanId: 'b7ad6b7169203331',
      resource: { 'service.name': 'runtime-gateway', 'service.instance.id': node },
    });
    const call = await collector.waitFor(
      'RuntimeService/Version',
      (span) => span.traceId === ofCommand,
    );
    expect(call).toMatchObject({ kind: 'client', parentSpanId: server.spanId });
  });

  it('are made of listings and look-ups of its own, and not of the calls it passes on', async () => {
    const { stack, events } = fixture;
    const image = await stack.pushImage({ name: 'team/app', tag: '1' });
    const pod = await stack.runPod({ image: image.reference });
    const listing = await collector.waitFor('gateway.listing');
    expect(listing.parentSpanId).toBe('');
    expect(
      collector.spans
        .filter(({ parentSpanId }) => parentSpanId === listing.spanId)
        .map(({ name }) => name),
    ).toEqual(
      expect.arrayContaining(['RuntimeService/ListContainers', 'RuntimeService/ListPodSandbox']),
    );

    // A stop through the gateway: it looks up the exit code, the client's call stays what it was.
    await gateway.client.stopContainer(
      { containerId: pod.containerId, timeout: 0n },
      { headers: { traceparent: `00-${ofClient}-b7ad6b7169203331-01` } },
    );
    await events.waitFor('ContainerStopped', ({ subject }) => subject === pod.containerId);
    const lookup = await collector.waitFor(
      'gateway.lookup',
      ({ attributes }) => attributes['cri.object_id'] === pod.containerId,
    );
    // Of its exit, or, where an event of the runtime comes first, of what it is.
    expect(['container_status', 'container']).toContain(lookup.attributes['stowage.lookup']);
    expect(collector.spans.some(({ traceId }) => traceId === ofClient)).toBe(false);
    expect(await gateway.stop()).toBe(0);
  });
});
