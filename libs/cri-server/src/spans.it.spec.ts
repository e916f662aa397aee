import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { context, SpanKind, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { connectRuntimeService } from '@stowage/cri-client';
import {
  ContainerEventResponse,
  RuntimeServiceDefinition,
  VersionResponse,
} from '@stowage/cri-proto';
import { NotFoundError } from '@stowage/errors';
import { eventuallyPasses } from '@stowage/testing';
import { currentTrace } from '@stowage/tracing';
import { serveCri, type CriCall } from './index';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };

describe('spans of calls that are answered here', () => {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  beforeAll(() => {
    trace.setGlobalTracerProvider(provider);
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  });
  afterAll(async () => {
    trace.disable();
    context.disable();
    await provider.shutdown();
  });

  it('are below the trace of the client, active in the implementation, and end with the call', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'stowage-spans-'));
    const seen: { call: CriCall; active: unknown }[] = [];
    const note = (call: CriCall) => void seen.push({ call, active: currentTrace() });
    const endpoint = await serveCri(
      RuntimeServiceDefinition,
      {
        version: (_request, call) => {
          note(call);
          return Promise.resolve(
            VersionResponse.fromPartial({
              version: '0.1.0',
              runtimeName: 'docker',
              runtimeVersion: '28',
              runtimeApiVersion: '1.51.0',
            }),
          );
        },
        startContainer: () => Promise.reject(new NotFoundError('container', 'hunter2')),
        async *getContainerEvents(_request, call) {
          for (const containerId of ['a', 'b']) {
            await new Promise((resolve) => setImmediate(resolve));
            note(call);
            yield ContainerEventResponse.fromPartial({ containerId });
          }
        },
      },
      { socketPath: path.join(folder, 'shim.sock') },
    );
    const runtime = connectRuntimeService({ endpoint: `unix://${endpoint.socketPath}` });
    await runtime.whenAvailable();
    exporter.reset();
    seen.splice(0);

    await runtime.version({}, { headers });
    for await (const { containerId } of runtime.getContainerEvents({}, { headers })) {
      expect(containerId).toMatch(/a|b/);
    }
    await runtime.startContainer({ containerId: 'hunter2' }, { headers }).catch(() => undefined);

    const spans = () => exporter.getFinishedSpans().filter(({ kind }) => kind === SpanKind.SERVER);
    await eventuallyPasses(() => expect(spans()).toHaveLength(3));
    const [version, events, start] = spans();
    for (const [span, method, code] of [
      [version, 'Version', 0],
      [events, 'GetContainerEvents', 0],
      [start, 'StartContainer', 5],
    ] as const) {
      expect(span).toMatchObject({
        name: `runtime.v1.RuntimeService/${method}`,
        parentSpanContext: { traceId, spanId: 'b7ad6b7169203331' },
        attributes: {
          'rpc.system': 'grpc',
          'rpc.service': 'runtime.v1.RuntimeService',
          'rpc.method': method,
          'rpc.grpc.status_code': code,
        },
      });
    }
    expect(
      JSON.stringify(spans().map(({ attributes, status }) => [attributes, status])),
    ).not.toContain('hunter2');
    const idOf = ({ active }: (typeof seen)[number]) =>
      (active as { traceparent: string }).traceparent.split('-')[2];
    expect(seen.map(idOf)).toEqual([
      version?.spanContext().spanId,
      events?.spanContext().spanId,
      events?.spanContext().spanId,
    ]);
    expect(seen.map(({ call }) => call.trace)).toEqual(seen.map(({ active }) => active));
    runtime.close();
    await endpoint.close();
    rmSync(folder, { recursive: true, force: true });
  });
});
