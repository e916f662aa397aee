import type { UnaryCall } from '@stowage/cri-endpoint';
import { toGrpcStatus } from '@stowage/errors';
import { inSpan, type TraceContext } from '@stowage/tracing';

/**
 * A span of each call, named as OpenTelemetry's conventions for RPC say, below the trace of the
 * client.
 */
export function inServerSpan<T>(
  call: Pick<UnaryCall, 'method' | 'metadata'>,
  work: (trace: TraceContext) => Promise<T>,
): Promise<T> {
  const name = call.method.slice(1);
  const [service, method] = name.split('/');
  const { traceparent, tracestate } = call.metadata;
  const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method };
  const settings = { kind: 'server', parent: { traceparent, tracestate }, attributes } as const;
  return inSpan(name, settings, async ({ trace, set }) => {
    try {
      const result = await work(trace);
      set({ 'rpc.grpc.status_code': 0 });
      return result;
    } catch (error) {
      set({ 'rpc.grpc.status_code': toGrpcStatus(error).code });
      throw error;
    }
  });
}
