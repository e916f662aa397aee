import { context, trace } from '@opentelemetry/api';
import { inTime } from '@stowage/async';
import { errorMessage } from '@stowage/errors';
import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Logger } from '../log';
import type { OtlpSdk, SpanFate } from './otlp-sdk';
import { tracingSettings } from './settings';

/** What {@link startTracing} is told of the process. */
export interface TracingOptions {
  readonly app: string;
  readonly version: string;
  readonly nodeName: string;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Traces of a process. */
export interface Tracing {
  /** Hands over the spans that wait, for at most `limitMs`; the rest is lost. Never rejects. */
  stop(limitMs: number): Promise<void>;
}

/** Longest wait at the stop for a collector that did not take the spans before it, milliseconds. */
const failingStopMs = 250;

/**
 * Sends the spans of this process to a collector where the environment names one (OTEL_EXPORTER_OTLP_ENDPOINT), and loads what is needed for it
 * only then. Never throws and never waits for the collector: without it the service works as it does without traces.
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { app, version, nodeName, log, metrics, env } = options;
  const spans = new Counter({
    name: 'stowage_trace_spans_total',
    help: 'Spans that ended and are sampled, by what became of them: exported, failed (the collector did not take them), dropped (too many waited).',
    labelNames: ['result'],
    registers: [metrics],
  });
  const { endpoint, notes } = tracingSettings(env);
  for (const note of notes) log.warn(note);
  if (endpoint === undefined) return { stop: () => Promise.resolve() };
  let failing = false;
  const onSpans = ({ result, count, reason }: SpanFate) => {
    spans.inc({ result }, count);
    if (result === 'dropped' || failing === (result === 'failed')) return;
    failing = result === 'failed';
    if (failing) log.warn({ endpoint, reason }, 'spans do not reach the collector');
    else log.info({ endpoint }, 'spans reach the collector again');
  };
  let sdk: OtlpSdk;
  try {
    const { openOtlpSdk } = await import('./otlp-sdk');
    sdk = openOtlpSdk(
      {
        'service.name': app,
        'service.namespace': 'stowage',
        'service.version': version,
        'service.instance.id': nodeName,
      },
      onSpans,
    );
  } catch (error) {
    log.warn({ reason: errorMessage(error) }, 'no traces: the SDK cannot be started');
    return { stop: () => Promise.resolve() };
  }
  context.setGlobalContextManager(sdk.contextManager);
  trace.setGlobalTracerProvider(sdk.provider);
  log.info({ endpoint }, 'sending spans');
  return {
    stop: async (limitMs) => {
      // What could not be sent is told by onSpans.
      const sent = sdk
        .shutdown()
        .catch(() => undefined)
        .then(() => true);
      const isSent = await inTime(sent, failing ? Math.min(limitMs, failingStopMs) : limitMs);
      if (!isSent) log.warn({ endpoint }, 'the last spans are lost: the collector was too slow');
    },
  };
}
