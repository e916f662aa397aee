import { context, SpanKind, SpanStatusCode, trace, type Tracer } from '@opentelemetry/api';
import { toGrpcStatus } from '@stowage/errors';
import { traceOf } from '@stowage/tracing';
import type { CriCallObserver } from './types';

/** The part of a tracer that {@link criTracing} needs; those of the OpenTelemetry API fit. */
export type CriTracer = Pick<Tracer, 'startSpan'>;

/**
 * A client span for every call, a child of the active one, with the attributes of OpenTelemetry's
 * conventions for RPC; its W3C context (`traceparent`, `tracestate`) goes to the runtime with the
 * call. Only the API is used: without an SDK in the process no span is made and no header is sent.
 */
export function criTracing(
  tracer: CriTracer = trace.getTracer('@stowage/cri-client'),
): CriCallObserver {
  return {
    callStarted({ service, method, objectId, endpoint }) {
      const rpcService = service === 'runtime' ? 'RuntimeService' : 'ImageService';
      const span = tracer.startSpan(
        `${rpcService}/${method}`,
        {
          kind: SpanKind.CLIENT,
          attributes: {
            'rpc.system': 'grpc',
            'rpc.service': rpcService,
            'rpc.method': method,
            'network.transport': 'unix',
            'server.address': endpoint,
            ...(objectId === undefined ? {} : { 'cri.object_id': objectId }),
          },
        },
        context.active(),
      );
      return {
        headers: { ...traceOf(span.spanContext()) },
        ended({ error }) {
          if (error === undefined) {
            span.setAttribute('rpc.grpc.status_code', 0);
          } else {
            // Only the name: texts can contain command lines and their output.
            const { code, name } = toGrpcStatus(error);
            span.setAttribute('rpc.grpc.status_code', code);
            span.setStatus({ code: SpanStatusCode.ERROR, message: name });
          }
          span.end();
        },
      };
    },
  };
}
