import { Module } from '@nestjs/common';
import {
  BUS,
  eventBusProvider,
  provider,
  type HealthRegistry,
  type ServiceContext,
} from '@stowage/service-kit';
import { CONTEXT, policyOf, type GcConfig } from './config';
import { ImageHints } from './detect/image-hints';
import { gcMetrics, type GcMetrics } from './metrics';
import { LivePolicy } from './policy/live-policy';
import { busPublisher } from './publish';
import { readPolicy } from './read-policy';
import { ImageRecordStore } from './records/record-store';
import { lockRuntime } from './runtime/node-lock';
import { ControlFile } from './control/control-file';
import { CONTROL_FILE, EVENTS, HINTS, LOCK, METRICS, POLICY, RECORDS } from './tokens';

type Context = ServiceContext<GcConfig>;

const now = (): number => Date.now();

/**
 * At most one log line in this time about hints that are refused; the metric counts them all.
 * Milliseconds.
 */
const refusalLogMs = 60_000;

/** Health of a component that is never worse than degraded. */
export const reportProblem = (health: HealthRegistry, component: string, reason?: string): void =>
  health.report(component, reason === undefined ? { state: 'ok' } : { state: 'degraded', reason });

/** The policy of the start, and of what the configuration says later. */
function openPolicy(
  { config, configReload, log, health }: Context,
  metrics: GcMetrics,
): LivePolicy {
  const policy = new LivePolicy({
    first: policyOf(config),
    log,
    metrics: metrics.policy,
    now,
    health: (problem) => {
      reportProblem(health, 'policy', problem);
    },
  });
  configReload.onRead((read, cause) => policy.take(readPolicy(read, config), cause));
  return policy;
}

/** Throws when another worker holds the state directory. */
function openRecords(
  { config, log, health }: Context,
  policy: LivePolicy,
  metrics: GcMetrics,
): ImageRecordStore {
  return ImageRecordStore.open({
    stateDir: config.stateDir,
    keep: policy.current.differences.records,
    now: () => new Date(now()),
    log,
    onSetAside: () => {
      metrics.records.wasSetAside();
    },
    onWriteError: () => {
      metrics.records.writeFailed();
    },
    onStatus: ({ state, path: file, reason = 'cannot be written' }) => {
      metrics.records.isWritten(state === 'on-disk');
      reportProblem(health, 'records', state === 'not-written' ? `${file}: ${reason}` : undefined);
    },
  });
}

/** Hints from events, with the holds of earlier processes. */
function openHints(
  { config, log }: Context,
  store: ImageRecordStore,
  metrics: GcMetrics,
): ImageHints {
  let loggedAt = -Infinity;
  const hints = new ImageHints({
    maxPullMs: config.maxPullMs,
    maxHoldMs: config.maxHoldMs,
    refused: (hint) => {
      metrics.detection.hintRefused(hint);
      if (performance.now() - loggedAt < refusalLogMs) return;
      loggedAt = performance.now();
      log.warn(hint, 'hints from events are refused');
    },
  });
  const stored = [...store.holds()];
  const held = new Map(stored.flatMap(([name, until]) => [...hints.hold([name], until, now())]));
  // Names of holds that have passed meanwhile, and those that an earlier version wrote as given.
  const others = stored.flatMap(([name]) => (held.has(name) ? [] : [name]));
  if (others.length > 0) {
    store.dropHolds(others);
    store.setHolds(held);
  }
  return hints;
}

const providers = [
  provider(METRICS, [CONTEXT], ({ metrics }) => gcMetrics(metrics)),
  provider(POLICY, [CONTEXT, METRICS], openPolicy),
  provider(RECORDS, [CONTEXT, POLICY, METRICS], openRecords, { close: (store) => store.close() }),
  provider(
    CONTROL_FILE,
    [CONTEXT],
    ({ config, log }) => new ControlFile({ stateDir: config.stateDir, now, log }),
    // First the records: their error names the state directory that another worker has.
    { after: [RECORDS], close: (file) => file.close() },
  ),
  provider(LOCK, [CONTEXT], ({ config, log }) => lockRuntime(config.imageEndpoint, log), {
    // First the records: their error names the state directory that another worker has.
    after: [RECORDS],
  }),
  eventBusProvider(CONTEXT, { after: [LOCK] }),
  provider(EVENTS, [CONTEXT, BUS, RECORDS], ({ log }, bus, store) => {
    store.reconcilePublished(bus.nextSequence());
    return busPublisher(bus, log);
  }),
  provider(HINTS, [CONTEXT, RECORDS, METRICS], openHints),
];

/** What the worker remembers and publishes, and the policy it works by. */
@Module({ providers, exports: providers })
export class StateModule {}
