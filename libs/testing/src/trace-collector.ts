import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { eventually } from './eventually';

/** A span as it came over the wire. */
export interface CollectedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
  /** `internal`, `server`, `client`, `producer` or `consumer`. */
  readonly kind: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Ids of the spans that it is linked to. */
  readonly links: readonly string[];
  /** Absent while nothing went wrong. */
  readonly error?: string;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** An OTLP/HTTP receiver in this process, on a loopback port. */
export interface TraceCollector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly endpoint: string;
  readonly spans: readonly CollectedSpan[];
  /** Headers of each request. */
  readonly requests: readonly IncomingHttpHeaders[];
  /** What it answers: 200 at first; `hang` takes requests and never answers. */
  answer: number | 'hang';
  /** The first span of that name (or that the test picks), also one that comes later. */
  waitFor(
    name: string,
    pick?: (span: CollectedSpan) => boolean,
    options?: { timeoutMs?: number },
  ): Promise<CollectedSpan>;
  /** The spans from the first of a trace down to this one. */
  pathTo(span: CollectedSpan): CollectedSpan[];
  close(): Promise<void>;
}

/** Starts a receiver of traces. */
export async function startTraceCollector(): Promise<TraceCollector> {
  const spans: CollectedSpan[] = [];
  const requests: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    requests.push(request.headers);
    const { answer } = collector;
    void bodyOf(request).then((body) => {
      if (answer === 'hang') return;
      if (answer === 200) spans.push(...decode(body));
      response.writeHead(answer, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const collector: TraceCollector = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    answer: 200,
    waitFor: async (name, pick = () => true, options = {}) => {
      const find = () => spans.find((span) => span.name === name && pick(span));
      await eventually(() => find() !== undefined, { what: `a span ${name}`, ...options });
      return find() as CollectedSpan;
    },
    pathTo: (span) => {
      const path = [span];
      for (;;) {
        const parent = spans.find(({ spanId }) => spanId === path[0]?.parentSpanId);
        if (parent === undefined) return path;
        path.unshift(parent);
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return collector;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  return (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly attributes?: readonly OtlpAttribute[];
  readonly links?: readonly { readonly spanId: string }[];
  readonly status?: { readonly code?: number; readonly message?: string };
}

/** An ExportTraceServiceRequest in OTLP's JSON. */
interface OtlpTraces {
  readonly resourceSpans: readonly {
    readonly resource?: { readonly attributes?: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];

function decode(body: string): CollectedSpan[] {
  const { resourceSpans } = JSON.parse(body) as OtlpTraces;
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        name: span.name,
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        kind: kinds[span.kind] ?? String(span.kind),
        attributes: valuesOf(span.attributes),
        links: (span.links ?? []).map(({ spanId }) => spanId),
        // 2 is STATUS_CODE_ERROR.
        ...(span.status?.code === 2 ? { error: span.status.message ?? '' } : {}),
        resource: valuesOf(resource?.attributes),
      })),
    ),
  );
}

/** 64-bit numbers come as text in OTLP's JSON, or as numbers. */
const valuesOf = (attributes: readonly OtlpAttribute[] = []) =>
  Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [[kind, inner] = ['', undefined]] = Object.entries(value);
      return [key, kind === 'intValue' ? Number(inner) : inner];
    }),
  );
