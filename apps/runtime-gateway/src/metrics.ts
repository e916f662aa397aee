import type { CallListener, CallSummary, DetachReason } from '@stowage/cri-endpoint';
import { ImageServiceDefinition, RuntimeServiceDefinition } from '@stowage/cri-proto';
import { methodLabels } from '@stowage/cri-proto/paths';
import { grpcCodeName } from '@stowage/errors';
import { MethodHistogram } from '@stowage/service-kit';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { KnownObjects } from './objects/known-objects';
import type { Publish } from './observe/lifecycle';
import type { ObserverListener } from './observe/runtime-observer';
import type { GatewaySockets } from './sockets/gateway-sockets';

/** From a local answer to a long stop or a pull. */
const callSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60, 300];

/**
 * The gateway's own part: microseconds when idle, milliseconds when the machine is short of
 * processors.
 */
const ownSeconds = [0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1];

const listingSeconds = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60];

/** Name of a CRI method; `other` for what no proto here knows. */
export const methodLabel = methodLabels(RuntimeServiceDefinition, ImageServiceDefinition);

/** The same `publish`, with what it writes counted. */
export function countPublished(registry: Registry, publish: Publish): Publish {
  const events = new Counter({
    name: 'stowage_gateway_events_total',
    help: 'Events written to the outbox, by name and by how the change became known (for those of the runtime itself: client).',
    labelNames: ['event', 'observed_by'],
    registers: [registry],
  });
  return (name, event) => {
    publish(name, event);
    const { observedBy = 'client' } = event.data as { observedBy?: string };
    events.inc({ event: name, observed_by: observedBy });
  };
}

/**
 * What is counted of one method. It goes to prom-client when somebody asks for the metrics: looking
 * up labels for each call would cost more than forwarding it.
 */
interface MethodCounts {
  inFlight: number;
  requestBytes: number;
  responseBytes: number;
  readonly endedByCode: Map<string, number>;
}

/** Counts the calls on both sockets. */
export function callMetrics(registry: Registry): CallListener {
  const registers = [registry];
  const methods = new Map<string, MethodCounts>();
  const countsOf = (method: string): MethodCounts => {
    const known = methods.get(method);
    if (known !== undefined) return known;
    const counts = { inFlight: 0, requestBytes: 0, responseBytes: 0, endedByCode: new Map() };
    methods.set(method, counts);
    return counts;
  };
  new Counter({
    name: 'stowage_gateway_calls_total',
    help: 'Calls on both sockets that ended, by CRI method (other: not one of the CRI known here) and gRPC status (NONE when the stream ended without one). Calls on connections that are not followed any more are not counted.',
    labelNames: ['method', 'code'],
    registers,
    collect() {
      this.reset();
      for (const [method, { endedByCode }] of methods) {
        for (const [code, ended] of endedByCode) this.inc({ method, code }, ended);
      }
    },
  });
  new Gauge({
    name: 'stowage_gateway_calls_in_flight',
    help: 'Calls that have begun and not ended, by method. Streams count as long as they are open.',
    labelNames: ['method'],
    registers,
    collect() {
      for (const [method, { inFlight }] of methods) this.set({ method }, inFlight);
    },
  });
  new Counter({
    name: 'stowage_gateway_call_bytes_total',
    help: 'Message bytes of ended calls with their gRPC framing, by method and direction: request is from the client. Headers and HTTP/2 framing are not counted.',
    labelNames: ['method', 'direction'],
    registers,
    collect() {
      this.reset();
      for (const [method, { requestBytes, responseBytes }] of methods) {
        this.inc({ method, direction: 'request' }, requestBytes);
        this.inc({ method, direction: 'response' }, responseBytes);
      }
    },
  });
  const total = new MethodHistogram(registry, {
    name: 'stowage_gateway_call_duration_seconds',
    help: 'Time of calls from the request headers to the end of the stream, the runtime included.',
    labelNames: ['method'],
    buckets: callSeconds,
  });
  const own = new MethodHistogram(registry, {
    name: 'stowage_gateway_call_own_seconds',
    help: 'The part of the time of calls that the gateway took to pass on the request and the end of the reply. Waiting for the runtime, and reading along after passing on, are not counted.',
    labelNames: ['method'],
    buckets: ownSeconds,
  });
  return {
    started: (path) => {
      countsOf(methodLabel(path)).inFlight++;
    },
    ended: (call) => {
      const method = methodLabel(call.method);
      const counts = countsOf(method);
      const code = codeLabel(call);
      counts.inFlight--;
      counts.requestBytes += call.requestBytes;
      counts.responseBytes += call.responseBytes;
      counts.endedByCode.set(code, (counts.endedByCode.get(code) ?? 0) + 1);
      total.observe(method, call.durationMs / 1000);
      own.observe(method, call.ownMs / 1000);
    },
  };
}

function codeLabel({ grpcStatus }: CallSummary): string {
  if (grpcStatus === undefined) return 'NONE';
  return grpcCodeName(grpcStatus);
}

/** Counts what the observer does. */
export function observerMetrics(registry: Registry): ObserverListener {
  const registers = [registry];
  const failures = new Counter({
    name: 'stowage_gateway_observer_failures_total',
    help: 'What the observer could not read, look up or publish, by the call or source it came from. The calls themselves are not affected.',
    labelNames: ['source'],
    registers,
  });
  for (const source of ['publish', 'lookup', 'listing', 'runtime-event'] as const) {
    failures.inc({ source }, 0);
  }
  const listings = new Counter({
    name: 'stowage_gateway_listings_total',
    help: 'Comparisons of what is known with the lists of the runtime, by result.',
    labelNames: ['result'],
    registers,
  });
  const listing = new Histogram({
    name: 'stowage_gateway_listing_duration_seconds',
    help: 'Time of such a comparison, the wait for calls in flight that explain a difference included.',
    buckets: listingSeconds,
    registers,
  });
  const differences = new Counter({
    name: 'stowage_gateway_listing_differences_total',
    help: 'Changes that only a listing showed, those of the first listing included.',
    registers,
  });
  const streaming = new Gauge({
    name: 'stowage_gateway_runtime_event_stream',
    help: '1 while the event stream of the runtime is read, 0 while changes are found by listing alone.',
    registers,
  });
  return {
    failed: (source) => failures.inc({ source }),
    listed: (result, durationMs) => {
      listings.inc({ result: result === undefined ? 'error' : 'success' });
      if (result === undefined) return;
      listing.observe(durationMs / 1000);
      differences.inc(result.differences);
    },
    streaming: (isStreaming) => streaming.set(isStreaming ? 1 : 0),
  };
}

const detachReasons = Object.keys({
  'not-http2': true,
  frame: true,
  hpack: true,
  'header-size': true,
  streams: true,
  observer: true,
  protocol: true,
  stalled: true,
} satisfies Record<DetachReason, true>) as DetachReason[];

/** The numbers of each socket that is open, read when somebody asks for the metrics. */
export function connectionMetrics(
  registry: Registry,
  sockets: Pick<GatewaySockets, 'stats'>,
): void {
  const statsOfEach = () =>
    (['main', 'readonly'] as const).map((socket) => [socket, sockets.stats(socket)] as const);
  const registers = [registry];
  new Gauge({
    name: 'stowage_gateway_connections_open',
    help: 'Client connections open, by socket.',
    labelNames: ['socket'],
    registers,
    collect() {
      for (const [socket, stats] of statsOfEach()) {
        if (stats !== undefined) this.set({ socket }, stats.openConnections);
      }
    },
  });
  new Counter({
    name: 'stowage_gateway_connections_total',
    help: 'Client connections accepted, by socket.',
    labelNames: ['socket'],
    registers,
    collect() {
      this.reset();
      for (const [socket, stats] of statsOfEach()) {
        if (stats !== undefined) this.inc({ socket }, stats.acceptedConnections);
      }
    },
  });
  new Counter({
    name: 'stowage_gateway_connections_let_go_total',
    help: 'Connections that are no longer followed because the reader met something it does not understand, by socket and reason. On a piped connection the bytes flow on, neither counted nor observed; one that breaks the protocol on a terminating endpoint is closed.',
    labelNames: ['socket', 'reason'],
    registers,
    collect() {
      this.reset();
      for (const [socket, stats] of statsOfEach()) {
        if (stats === undefined) continue;
        // All of them, so that the first of a reason is an increase.
        for (const reason of detachReasons)
          this.inc({ socket, reason }, stats.detached[reason] ?? 0);
      }
    },
  });
}

/** How many objects are known, read when somebody asks for the metrics. */
export function knownObjectMetrics(
  registry: Registry,
  objects: Pick<KnownObjects, 'counts' | 'turnedAway'>,
): void {
  const registers = [registry];
  new Gauge({
    name: 'stowage_gateway_known_objects',
    help: 'Sandboxes and containers that are remembered.',
    labelNames: ['kind'],
    registers,
    collect() {
      const { sandbox, container } = objects.counts;
      this.set({ kind: 'sandbox' }, sandbox);
      this.set({ kind: 'container' }, container);
    },
  });
  new Counter({
    name: 'stowage_gateway_known_objects_turned_away_total',
    help: 'Times that a sandbox or container was not remembered because there was no room.',
    registers,
    collect() {
      this.reset();
      this.inc(objects.turnedAway);
    },
  });
}
