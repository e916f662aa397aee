/*
 * The OpenTelemetry SDK. Loaded only where traces are wanted: tools/build.mjs makes a file of its
 * own of it (tracing.js), so that a process without traces neither reads nor keeps it. It registers
 * nothing: the API that the rest of the process has is another copy.
 */
import type { ContextManager, TracerProvider } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';

/** What became of spans. */
export interface SpanFate {
  readonly result: 'exported' | 'failed' | 'dropped';
  readonly count: number;
  /** Why spans failed, in one line. */
  readonly reason?: string;
}

/** An SDK that runs. */
export interface OtlpSdk {
  readonly provider: TracerProvider;
  readonly contextManager: ContextManager;
  /** Sends what waits and ends. Takes as long as the collector does. */
  shutdown(): Promise<void>;
}

/** OpenTelemetry's default for OTEL_BSP_MAX_QUEUE_SIZE. */
const defaultQueueSize = 2048;

/**
 * Makes the SDK as the OTEL_ variables of the environment say: exporter and its headers, time
 * limits, TLS files, sampler, limits of the batches, resource attributes. What those leave open
 * about the resource is `resource`.
 */
export function openOtlpSdk(
  resource: Readonly<Record<string, string>>,
  onSpans: (fate: SpanFate) => void,
): OtlpSdk {
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes(resource))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new CountingProcessor(new CountingExporter(onSpans), onSpans)],
  });
  return {
    provider,
    contextManager: new AsyncLocalStorageContextManager().enable(),
    shutdown: () => provider.shutdown(),
  };
}

/** The OTLP exporter, with an account of what it sent. */
class CountingExporter implements SpanExporter {
  readonly #otlp = new OTLPTraceExporter();
  /** Spans handed over so far. */
  taken = 0;

  constructor(private readonly onSpans: (fate: SpanFate) => void) {}

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    const count = spans.length;
    this.taken += count;
    this.#otlp.export(spans, (result) => {
      if (result.error === undefined) this.onSpans({ result: 'exported', count });
      else this.onSpans({ result: 'failed', count, reason: reasonOf(result.error) });
      done(result);
    });
  }

  forceFlush(): Promise<void> {
    return this.#otlp.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#otlp.shutdown();
  }
}

/** The batch processor drops what exceeds its queue without a word; this one counts it. */
class CountingProcessor extends BatchSpanProcessor {
  readonly #maxWaiting = Number(process.env.OTEL_BSP_MAX_QUEUE_SIZE) || defaultQueueSize;
  #queued = 0;

  constructor(
    private readonly exporter: CountingExporter,
    private readonly onSpans: (fate: SpanFate) => void,
  ) {
    super(exporter);
  }

  override onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & 1) === 1) {
      if (this.#queued - this.exporter.taken < this.#maxWaiting) this.#queued += 1;
      else this.onSpans({ result: 'dropped', count: 1 });
    }
    super.onEnd(span);
  }
}

/** One line without what the collector's answer holds beyond its status, and without headers. */
function reasonOf(error: Error): string {
  const { code } = error as { code?: unknown };
  const isStatus = typeof code === 'number';
  const prefix = isStatus ? `HTTP ${code}` : typeof code === 'string' ? code : '';
  return `${prefix} ${error.message}`.trim().replaceAll(/\s+/g, ' ').slice(0, 200);
}
