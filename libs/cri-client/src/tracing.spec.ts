import {
  context,
  trace,
  type Attributes,
  type Context,
  type Span,
  type SpanContext,
  type SpanOptions,
  type SpanStatus,
} from '@opentelemetry/api';
import { NotFoundError } from '@stowage/errors';
import { CommandExitError } from './errors';
import { criTracing } from './tracing';
import type { CriCall } from './types';

const call: CriCall = {
  service: 'runtime',
  method: 'ContainerStatus',
  operation: 'container_status',
  objectId: 'abc',
  endpoint: 'unix:///run/rt.sock',
};

/** A tracer whose spans are in `made`. */
function recordingTracer(identity: Partial<SpanContext> = {}) {
  const made: {
    name: string;
    options: SpanOptions;
    parent: Context | undefined;
    attributes: Attributes;
    status?: SpanStatus;
    isEnded: boolean;
  }[] = [];
  const startSpan = (name: string, options: SpanOptions = {}, parent?: Context): Span => {
    const entry: (typeof made)[number] = {
      name,
      options,
      parent,
      attributes: { ...options.attributes },
      isEnded: false,
    };
    made.push(entry);
    const none = trace.wrapSpanContext({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags: 1,
      ...identity,
    });
    return Object.assign(Object.create(none) as Span, {
      setAttribute: (key: string, value: string | number) => (entry.attributes[key] = value),
      setStatus: (status: SpanStatus) => (entry.status = status),
      end: () => (entry.isEnded = true),
    });
  };
  return { made, startSpan };
}

const traceState: NonNullable<SpanContext['traceState']> = {
  serialize: () => 'vendor=1',
  get: () => '1',
  set: () => traceState,
  unset: () => traceState,
};

it('a call is a client span whose W3C context goes along', () => {
  const tracer = recordingTracer({ traceState });
  const span = criTracing(tracer).callStarted(call);
  expect(span?.headers).toEqual({
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    tracestate: 'vendor=1',
  });
  expect(tracer.made[0]).toMatchObject({
    name: 'RuntimeService/ContainerStatus',
    options: { kind: 2 },
    parent: context.active(),
    isEnded: false,
  });
  span?.ended?.({ durationMs: 1 });
  expect(tracer.made[0]).toMatchObject({
    isEnded: true,
    attributes: {
      'rpc.system': 'grpc',
      'rpc.service': 'RuntimeService',
      'rpc.method': 'ContainerStatus',
      'rpc.grpc.status_code': 0,
      'cri.object_id': 'abc',
      'server.address': 'unix:///run/rt.sock',
    },
  });
  expect(tracer.made[0]?.status).toBeUndefined();
});

it.each([
  ['an error of the runtime', new NotFoundError('container', 'abc'), 5, 'NOT_FOUND'],
  [
    'an exit code, of which only the status is recorded',
    new CommandExitError(['login', '--password=secret'], 1, Buffer.from(''), Buffer.from('secret')),
    2,
    'UNKNOWN',
  ],
])('%s is the status of the span', (_what, error, code, name) => {
  const tracer = recordingTracer();
  criTracing(tracer)
    .callStarted({ ...call, service: 'image', objectId: undefined })
    ?.ended?.({
      durationMs: 1,
      error,
    });
  expect(tracer.made[0]).toMatchObject({
    name: 'ImageService/ContainerStatus',
    isEnded: true,
    status: { code: 2, message: name },
    attributes: { 'rpc.grpc.status_code': code },
  });
  expect(JSON.stringify(tracer.made[0]?.attributes)).not.toContain('secret');
  expect(tracer.made[0]?.attributes).not.toHaveProperty('cri.object_id');
});

it('without an SDK no header is sent', () => {
  const span = criTracing().callStarted(call);
  expect(span?.headers).toEqual({});
  span?.ended?.({ durationMs: 1 });
});
