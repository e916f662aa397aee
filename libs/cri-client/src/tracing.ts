import {
  context,
  isSpanContextValid,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import type { SpanContext, Tracer } from '@opentelemetry/api';
import { toGrpcStatus } from '@stowage/errors';
import type { CriCallObserver } from './types';

/** What {@link criTracing} needs of a tracer; those of the OpenTelemetry API fit. */
export type CriTracer = Pick<Tracer, 'startSpan'>;

/**
 * A client span for every call, a child of the active one, with the attributes of OpenTelemetry's conventions for RPC; its
 * W3C context (`traceparent`, `tracestate`, and baggage where there is some) goes to the runtime with the call. Only the
 * API is used: without an SDK in the process no span is made and no header is sent.
 */
export function criTracing(
  tracer: CriTracer = trace.getTracer('@stowage/cri-client'),
): CriCallObserver {
  return {
    callStarted({ service, method, objectId, endpoint }) {
      const rpcService = service === 'runtime' ? 'RuntimeService' : 'ImageService';
      const parent = context.active();
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
        parent,
      );
      const baggage: Record<string, string> = {};
      propagation.inject(trace.setSpan(parent, span), baggage);
      return {
        headers: { ...baggage, ...traceHeaders(span.spanContext()) },
        ended({ error }) {
          if (error === undefined) {
            span.setAttribute('rpc.grpc.status_code', 0);
          } else {
            // The name alone: texts can hold command lines and their output.
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

/** W3C trace context of a span; none for a span that stands for no trace. */
function traceHeaders(span: SpanContext): Record<string, string> {
  if (!isSpanContextValid(span)) return {};
  const flags = (span.traceFlags & 0xff).toString(16).padStart(2, '0');
  const state = span.traceState?.serialize() ?? '';
  return {
    traceparent: `00-${span.traceId}-${span.spanId}-${flags}`,
    ...(state === '' ? {} : { tracestate: state }),
  };
}
