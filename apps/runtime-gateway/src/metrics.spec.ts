import { Registry } from 'prom-client';
import type { CallSummary } from '@stowage/cri-endpoint';
import {
  callMetrics,
  connectionMetrics,
  countPublished,
  knownObjectMetrics,
  methodLabel,
  observerMetrics,
} from './metrics';

it.each([
  ['/runtime.v1.RuntimeService/RunPodSandbox', 'RunPodSandbox'],
  ['/runtime.v1alpha2.RuntimeService/Status', 'Status'],
  ['/runtime.v1.ImageService/PullImage', 'PullImage'],
  ['/runtime.v1.RuntimeService/NoSuchMethod', 'other'],
  ['/runtime.v2.RuntimeService/Version', 'other'],
  ['/grpc.health.v1.Health/Check', 'other'],
  ['', 'other'],
])('label of %s is %s', (path, label) => {
  expect(methodLabel(path)).toBe(label);
});

const call = (more: Partial<CallSummary>): CallSummary => ({
  method: '/runtime.v1.RuntimeService/Version',
  outcome: 'completed',
  servedBy: 'runtime',
  grpcStatus: 0,
  requestBytes: 5,
  responseBytes: 40,
  startedAt: 0,
  durationMs: 4,
  ownMs: 0.03,
  ...more,
});

it('counts calls by method and code, bytes, times, and connections', async () => {
  const registry = new Registry();
  const main = {
    acceptedConnections: 7,
    openConnections: 2,
    callsInFlight: 0,
    detached: { hpack: 1 },
  };
  connectionMetrics(registry, { stats: (socket) => (socket === 'main' ? main : undefined) });
  knownObjectMetrics(registry, { counts: { sandbox: 3, container: 4 }, turnedAway: 1 });
  const calls = callMetrics(registry);
  const observer = observerMetrics(registry);
  calls.started?.('/runtime.v1.RuntimeService/Version');
  calls.started?.('/runtime.v1.RuntimeService/Version');
  calls.ended?.(call({}));
  calls.ended?.(call({ method: '/x.Y/Z', grpcStatus: 12 }));
  calls.ended?.(call({ method: '/x.Y/Z', grpcStatus: undefined, outcome: 'cancelled' }));
  observer.failed('lookup');
  observer.listed({ sandboxes: 1, containers: 1, differences: 2, left: 0 }, 10);
  observer.listed(undefined, 10);
  observer.streaming(true);
  const publish = countPublished(registry, () => undefined);
  publish('ContainerStopped', {
    subject: 'c',
    data: { containerId: 'c', observedBy: 'listing' },
  });
  const text = await registry.metrics();
  for (const line of [
    'stowage_gateway_calls_total{method="Version",code="OK"} 1',
    'stowage_gateway_calls_total{method="other",code="UNIMPLEMENTED"} 1',
    'stowage_gateway_calls_total{method="other",code="NONE"} 1',
    'stowage_gateway_calls_in_flight{method="Version"} 1',
    'stowage_gateway_call_bytes_total{method="Version",direction="request"} 5',
    'stowage_gateway_call_bytes_total{method="Version",direction="response"} 40',
    'stowage_gateway_call_duration_seconds_bucket{le="0.005",method="Version"} 1',
    'stowage_gateway_call_duration_seconds_bucket{le="0.0025",method="Version"} 0',
    'stowage_gateway_call_own_seconds_bucket{le="0.00005",method="Version"} 1',
    'stowage_gateway_connections_open{socket="main"} 2',
    'stowage_gateway_connections_total{socket="main"} 7',
    'stowage_gateway_connections_let_go_total{socket="main",reason="hpack"} 1',
    'stowage_gateway_connections_let_go_total{socket="main",reason="stalled"} 0',
    'stowage_gateway_observer_failures_total{source="lookup"} 1',
    'stowage_gateway_listings_total{result="success"} 1',
    'stowage_gateway_listings_total{result="error"} 1',
    'stowage_gateway_listing_differences_total 2',
    'stowage_gateway_runtime_event_stream 1',
    'stowage_gateway_known_objects{kind="container"} 4',
    'stowage_gateway_known_objects_turned_away_total 1',
    'stowage_gateway_events_total{event="ContainerStopped",observed_by="listing"} 1',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
  // Read again, totals that the endpoint counts are not added up.
  expect(await registry.metrics()).toContain(
    'stowage_gateway_connections_total{socket="main"} 7\n',
  );
});
