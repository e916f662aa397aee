import { createTraceState, isSpanContextValid, type SpanContext } from '@opentelemetry/api';

/**
 * Where in a trace something belongs, as W3C writes it in headers; empty for what belongs to none.
 */
export interface TraceContext {
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** Version, trace id, parent id, flags; later versions may say more behind these. */
const traceparentPattern = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/** W3C allows vendors 512 characters; what is longer is left out rather than cut. */
const maxTracestateLength = 512;

/**
 * Reads W3C headers. Undefined for a traceparent that is absent or not right: such a call begins a
 * trace of its own.
 */
export function parseTrace({ traceparent, tracestate }: TraceContext): SpanContext | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] =
    traceparentPattern.exec(traceparent?.trim() ?? '') ?? [];
  if (version === undefined || version === 'ff') return undefined;
  if (version === '00' && more !== undefined) return undefined;
  const parsed: SpanContext = {
    traceId,
    spanId,
    // Flags of later versions have no meaning here, and those that are sent on are of version 00.
    traceFlags: Number.parseInt(flags, 16) & 0x01,
    isRemote: true,
  };
  if (!isSpanContextValid(parsed)) return undefined;
  const state = tracestate?.trim() ?? '';
  if (state === '' || state.length > maxTracestateLength) return parsed;
  return { ...parsed, traceState: createTraceState(state) };
}

/** Writes W3C headers; empty for a span that stands for no trace. */
export function traceOf(span: SpanContext | undefined): TraceContext {
  if (span === undefined || !isSpanContextValid(span)) return {};
  const flags = (span.traceFlags & 0xff).toString(16).padStart(2, '0');
  const state = span.traceState?.serialize() ?? '';
  return {
    traceparent: `00-${span.traceId}-${span.spanId}-${flags}`,
    ...(state === '' ? {} : { tracestate: state }),
  };
}
