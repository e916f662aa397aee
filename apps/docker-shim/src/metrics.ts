import { ImageServiceDefinition, RuntimeServiceDefinition } from '@stowage/cri-proto';
import { methodLabels } from '@stowage/cri-proto/paths';
import type { CallListener } from '@stowage/cri-endpoint';
import { grpcCodeName } from '@stowage/errors';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { EndedEngineCall } from './engine/engine-client';
import type { EngineAvailability } from './engine/engine-connection';
import type { EngineEventsListener } from './events/engine-events';
import type { ChangeKind, ContainerCounts } from './events/known-containers';
import type { StreamingSessionListener } from '@stowage/cri-streaming';
import type { ExecListener } from './exec/running-things';
import type { PullListener } from './image/pull-image';
import type { LogListener } from './log/container-logs';
import type { ConflictResult } from './pod/name-conflict';
import type { StatsListener } from './stats/types';
import type { EndedPluginCall } from './network/cni-plugins';

/** From a ping to a slow df; pulls are among them. */
const engineBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60, 300];
/** From a layer with few files to one that takes minutes to go through. */
const layerBuckets = [0.01, 0.1, 0.5, 1, 5, 30, 120];
/** From a local answer to a large list; pulls take longer than any. */
const callBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60];
/** From a plugin that only prints something to one that waits for its daemon until the limit. */
const cniBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 220];

/** Changes that a comparison with the engine's list can show. */
const comparedChanges: readonly ChangeKind[] = ['create', 'start', 'die', 'destroy'];
const conflictResults: readonly ConflictResult[] = ['removed', 'renamed', 'exists'];

const methodLabel = methodLabels(RuntimeServiceDefinition, ImageServiceDefinition);

/** What the gauges show. */
export interface ShimNumbers {
  availability(): EngineAvailability;
  /** Version of the engine and of the API in use, as last known. */
  engine(): { readonly version: string; readonly api: string } | undefined;
  pullsInFlight(): number;
}

export type ShimMetrics = ReturnType<typeof shimMetrics>;

/**
 * The metrics of this app. Each is registered once, in the registry of the process; the gauges show
 * numbers once they are given.
 */
export function shimMetrics(registry: Registry) {
  const registers = [registry];
  let numbers: ShimNumbers | undefined;
  let counts: () => ContainerCounts | undefined = () => undefined;
  const engineCalls = new Counter({
    name: 'stowage_docker_engine_calls_total',
    help: 'Calls to Docker Engine, by operation and result: ok, refused (status below 500), failed (500 and above), no-answer (not reachable, given up, or over the limit).',
    labelNames: ['operation', 'result'],
    registers,
  });
  const engineDuration = new Histogram({
    name: 'stowage_docker_engine_call_duration_seconds',
    help: 'Time from a call to Docker Engine to the end of its answer, by operation.',
    labelNames: ['operation'],
    buckets: engineBuckets,
    registers,
  });
  const calls = new Counter({
    name: 'stowage_shim_calls_total',
    help: 'CRI calls that ended, by method and code (a gRPC status, or none where the client was gone).',
    labelNames: ['method', 'code'],
    registers,
  });
  const duration = new Histogram({
    name: 'stowage_shim_call_duration_seconds',
    help: 'Time from the arrival of a CRI call to its end, by method.',
    labelNames: ['method'],
    buckets: callBuckets,
    registers,
  });
  const pulledBytes = new Counter({
    name: 'stowage_shim_pulled_bytes_total',
    help: 'Bytes that pulls have downloaded, as the engine reports them. Layers that were there already are not counted.',
    registers,
  });
  const stalledPulls = new Counter({
    name: 'stowage_shim_pulls_stalled_total',
    help: 'Pulls that were cancelled because no layer changed within imagePullProgressDeadline.',
    registers,
  });
  new Gauge({
    name: 'stowage_docker_engine_up',
    help: '1 while Docker Engine answers and speaks a version of the API that is known, else 0.',
    registers,
    collect() {
      this.set(numbers?.availability().available === true ? 1 : 0);
    },
  });
  new Gauge({
    name: 'stowage_docker_engine_connections',
    help: 'Connections made to Docker Engine since the start; more than one means that it was away in between.',
    registers,
    collect() {
      this.set(numbers?.availability().connections ?? 0);
    },
  });
  new Gauge({
    name: 'stowage_docker_engine_info',
    help: '1, with the version of Docker Engine and of the API in use, as last known.',
    labelNames: ['version', 'api'],
    registers,
    collect() {
      this.reset();
      const engine = numbers?.engine();
      if (engine !== undefined) this.set({ version: engine.version, api: engine.api }, 1);
    },
  });
  new Gauge({
    name: 'stowage_shim_pulls_in_flight',
    help: 'Pulls that Docker Engine works on.',
    registers,
    collect() {
      this.set(numbers?.pullsInFlight() ?? 0);
    },
  });
  const logBytes = new Counter({
    name: 'stowage_shim_log_bytes_total',
    help: 'Bytes written into log files of containers. Links to files of the engine are not counted.',
    registers,
  });
  const logReopens = new Counter({
    name: 'stowage_shim_log_reopens_total',
    help: 'Log files that were opened again because the caller had rotated them.',
    registers,
  });
  const logErrors = new Counter({
    name: 'stowage_shim_log_errors_total',
    help: "Failures of copying logs: source (the engine's file cannot be read) and target (the log file cannot be written), each tried again every second; malformed (what is no entry, left out), gap (the engine removed a file before it was copied), thread (the copying ended and was started again).",
    labelNames: ['kind'],
    registers,
  });
  logErrors.inc({ kind: 'thread' }, 0);
  const logLag = new Gauge({
    name: 'stowage_shim_log_lag_bytes',
    help: "Bytes in the engine's logs that are not copied yet, as of a second ago. Of each container only the file that is read is counted.",
    registers,
  });
  const logsBlocked = new Gauge({
    name: 'stowage_shim_logs_blocked',
    help: 'Containers whose log cannot be copied at present.',
    registers,
  });
  const logs: LogListener = {
    copied: ({ bytes, gaps, malformed, sourceErrors, targetErrors, lagBytes, blocked }) => {
      logBytes.inc(bytes);
      logErrors.inc({ kind: 'gap' }, gaps);
      logErrors.inc({ kind: 'malformed' }, malformed);
      logErrors.inc({ kind: 'source' }, sourceErrors);
      logErrors.inc({ kind: 'target' }, targetErrors);
      logLag.set(lagBytes);
      logsBlocked.set(blocked);
    },
    reopened: () => logReopens.inc(),
    threadFailed: () => logErrors.inc({ kind: 'thread' }),
  };
  const queueWait = new Histogram({
    name: 'stowage_shim_pod_queue_wait_seconds',
    help: 'Time that a call which changes a pod waited for those of the same pod before it. Calls that were given up meanwhile are not counted.',
    buckets: callBuckets,
    registers,
  });
  const conflicts = new Counter({
    name: 'stowage_shim_name_conflicts_total',
    help: 'Names that were taken when a container was to be created, by result: removed (a leftover), renamed (the new one, since others have the name), exists (the very container runs).',
    labelNames: ['result'],
    registers,
  });
  for (const result of conflictResults) conflicts.inc({ result }, 0);
  const corruptCheckpoints = new Counter({
    name: 'stowage_shim_corrupt_checkpoints_total',
    help: 'Checkpoints of pod sandboxes that could not be read and were renamed.',
    registers,
  });
  const unreadableStats = new Counter({
    name: 'stowage_shim_stats_unreadable_total',
    help: 'Running containers whose files in cgroup and proc could not be read, so that the engine was asked for their numbers; each counts again every five minutes.',
    registers,
  });
  const layerMeasurements = new Histogram({
    name: 'stowage_shim_layer_measurement_duration_seconds',
    help: 'Time that the engine took to measure the writable layer of a container, by result: ok or failed.',
    labelNames: ['result'],
    buckets: layerBuckets,
    registers,
  });
  for (const result of ['ok', 'failed']) layerMeasurements.zero({ result });
  const engineEvents = new Counter({
    name: 'stowage_shim_engine_events_total',
    help: 'Events about containers that Docker Engine sent, by action.',
    labelNames: ['action'],
    registers,
  });
  const eventDifferences = new Counter({
    name: 'stowage_shim_event_differences_total',
    help: "Changes of containers that no event had shown and a comparison with the engine's list did, by action. A restart of the engine makes some.",
    labelNames: ['action'],
    registers,
  });
  for (const action of comparedChanges) eventDifferences.inc({ action }, 0);
  const droppedSubscribers = new Counter({
    name: 'stowage_shim_event_subscribers_dropped_total',
    help: 'Calls of GetContainerEvents that ended with RESOURCE_EXHAUSTED because their client read too slowly.',
    registers,
  });
  const stats: StatsListener = {
    unreadable: () => unreadableStats.inc(),
    layerMeasured: (isMeasured, durationMs) =>
      layerMeasurements.observe({ result: isMeasured ? 'ok' : 'failed' }, durationMs / 1000),
  };
  const events: EngineEventsListener & { subscriberDropped(): void } = {
    received: (action) => engineEvents.inc({ action }),
    differed: (action) => eventDifferences.inc({ action }),
    subscriberDropped: () => droppedSubscribers.inc(),
  };
  const cniCalls = new Counter({
    name: 'stowage_shim_cni_calls_total',
    help: 'CNI plugins that ran, by command and result: ok, failed, cancelled (over the limit, or nobody waited any more). A network of several plugins counts each.',
    labelNames: ['command', 'result'],
    registers,
  });
  const cniDuration = new Histogram({
    name: 'stowage_shim_cni_call_duration_seconds',
    help: 'Time that a CNI plugin ran, by command.',
    labelNames: ['command'],
    buckets: cniBuckets,
    registers,
  });
  const sessions = new Counter({
    name: 'stowage_shim_streaming_sessions_total',
    help: 'Sessions of exec, attach and port-forward that have begun, by kind and by what carries them: spdy, websocket, or spdy-in-websocket.',
    labelNames: ['kind', 'protocol'],
    registers,
  });
  const openSessions = new Gauge({
    name: 'stowage_shim_streaming_sessions_open',
    help: 'Sessions of exec, attach and port-forward that run, by kind and protocol.',
    labelNames: ['kind', 'protocol'],
    registers,
  });
  const execKills = new Counter({
    name: 'stowage_shim_exec_kills_total',
    help: 'Commands that were killed with all they had started: at their time-limit, because the call was cancelled, or because the client of the session was gone (client-gone).',
    labelNames: ['reason'],
    registers,
  });
  const execLeft = new Counter({
    name: 'stowage_shim_exec_processes_left_total',
    help: 'Processes of such commands that were still there two seconds later.',
    registers,
  });
  const streaming: StreamingSessionListener = {
    started: ({ kind, protocol }) => {
      sessions.inc({ kind, protocol });
      openSessions.inc({ kind, protocol });
    },
    ended: ({ kind, protocol }) => openSessions.dec({ kind, protocol }),
  };
  const exec: ExecListener = {
    killed: (reason, left) => {
      execKills.inc({ reason });
      execLeft.inc(left);
    },
  };
  new Gauge({
    name: 'stowage_shim_sandboxes',
    help: "Pod sandboxes, by the state of their container in the engine. From the engine's events; absent before the first list.",
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(counts()?.sandboxes ?? {})) {
        this.set({ state }, count);
      }
    },
  });
  new Gauge({
    name: 'stowage_shim_containers',
    help: "Containers in pods, sandboxes not among them, by their state in the engine. From the engine's events; absent before the first list.",
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(counts()?.containers ?? {})) {
        this.set({ state }, count);
      }
    },
  });
  const listener: CallListener = {
    ended: ({ method, grpcStatus, durationMs }) => {
      const label = methodLabel(method);
      calls.inc({ method: label, code: codeOf(grpcStatus) });
      duration.observe({ method: label }, durationMs / 1000);
    },
  };
  const pulls: Omit<PullListener, 'pulled'> = {
    downloaded: (bytes) => pulledBytes.inc(bytes),
    stalled: () => stalledPulls.inc(),
  };
  return {
    calls: listener,
    pulls,
    logs,
    pods: {
      waited: (ms: number) => queueWait.observe(ms / 1000),
      conflict: (result: ConflictResult) => conflicts.inc({ result }),
      corruptCheckpoint: () => corruptCheckpoints.inc(),
    },
    stats,
    events,
    streaming,
    exec,
    engineCalled: ({ operation, status, durationMs }: EndedEngineCall) => {
      engineCalls.inc({ operation, result: resultOf(status) });
      engineDuration.observe({ operation }, durationMs / 1000);
    },
    cniCalled: ({ command, result, durationMs }: EndedPluginCall) => {
      cniCalls.inc({ command, result });
      cniDuration.observe({ command }, durationMs / 1000);
    },
    show: (given: ShimNumbers) => (numbers = given),
    showContainers: (given: () => ContainerCounts | undefined) => (counts = given),
  };
}

function codeOf(grpcStatus: number | undefined): string {
  if (grpcStatus === undefined) return 'none';
  return grpcCodeName(grpcStatus);
}

function resultOf(status: number | undefined): string {
  if (status === undefined) return 'no-answer';
  if (status < 400) return 'ok';
  return status < 500 ? 'refused' : 'failed';
}
