import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Context, Span } from '@opentelemetry/api';
import { StowageError, toGrpcStatus } from '@stowage/errors';
import { parseTrace, traceOf } from './trace-context';
import type { TraceContext } from './trace-context';

/** What a span tells of its work. Never a secret, an environment variable or a command line. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** How a span is begun. */
export interface SpanSettings {
  readonly attributes?: SpanAttributes;
  /**
   * The trace that came with the work. `server`: the span is a child of it and of nothing else; `internal` (the default): only where
   * no span is active.
   */
  readonly parent?: TraceContext;
  readonly kind?: 'internal' | 'server';
}

/** The span of work that is being done. */
export interface WorkSpan {
  /** The span itself in W3C headers. Without an SDK in the process: the trace that came with the work. */
  readonly trace: TraceContext;
  readonly set: (attributes: SpanAttributes) => void;
  /** The work did not come to what it should, though it throws nothing; `status` is the name of a gRPC status. */
  readonly failed: (status: string) => void;
}

const kinds = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER } as const;

/** Image references reach 4 KiB. */
const maxTextLength = 1024;

/**
 * Runs `work` in a span of its own, active for all that `work` calls. What `work` throws is the status of the span (the name of its gRPC
 * status and its code, never its text: texts can quote what a caller sent) and is thrown on. Without an SDK in the process no span is made.
 */
export async function inSpan<T>(
  name: string,
  { attributes = {}, parent = {}, kind = 'internal' }: SpanSettings,
  work: (span: WorkSpan) => Promise<T>,
): Promise<T> {
  const from = startOf(parent, kind);
  const span = trace.getTracer('stowage').startSpan(name, { kind: kinds[kind] }, from);
  describe(span, attributes);
  try {
    return await context.with(trace.setSpan(from, span), () => work(workSpan(span)));
  } catch (error) {
    const code = error instanceof StowageError ? error.code : undefined;
    if (code !== undefined) span.setAttribute('error.type', code);
    span.setStatus({ code: SpanStatusCode.ERROR, message: toGrpcStatus(error).name });
    throw error;
  } finally {
    span.end();
  }
}

/**
 * The active span in W3C headers. Where there is none, so always without an SDK: `cameWith`, the
 * trace that came with the work, if it is a valid one.
 */
export function currentTrace(cameWith: TraceContext = {}): TraceContext {
  return traceOf(trace.getSpanContext(context.active()) ?? parseTrace(cameWith));
}

/** Adds attributes to the active span, where there is one. */
export function describeSpan(attributes: SpanAttributes): void {
  const span = trace.getActiveSpan();
  if (span !== undefined) describe(span, attributes);
}

/** Links the active span, where there is one, to work in another place that it was waiting for. */
export function linkTo(other: TraceContext): void {
  const linked = parseTrace(other);
  if (linked !== undefined) trace.getActiveSpan()?.addLink({ context: linked });
}

function startOf(parent: TraceContext, kind: keyof typeof kinds): Context {
  const active = kind === 'server' ? ROOT_CONTEXT : context.active();
  if (trace.getSpanContext(active) !== undefined) return active;
  const remote = parseTrace(parent);
  return remote === undefined ? active : trace.setSpanContext(active, remote);
}

function workSpan(span: Span): WorkSpan {
  return {
    trace: traceOf(span.spanContext()),
    set: (attributes) => describe(span, attributes),
    failed: (status) => void span.setStatus({ code: SpanStatusCode.ERROR, message: status }),
  };
}

function describe(span: Span, attributes: SpanAttributes): void {
  if (!span.isRecording()) return;
  for (const [name, value] of Object.entries(attributes)) {
    const bounded = typeof value === 'string' ? value.slice(0, maxTextLength) : value;
    if (bounded !== undefined) span.setAttribute(name, bounded);
  }
}
