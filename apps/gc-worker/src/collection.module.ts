import { Module } from '@nestjs/common';
import { Mutex } from '@stowage/async';
import { eventSource } from '@stowage/events';
import { provider, token } from '@stowage/service-kit';
import { CollectionHealth } from './collect/collection-health';
import { CollectionPlanner } from './collect/collection-planner';
import { CollectionRunner } from './collect/collection-runner';
import { Detections } from './collect/detections';
import { defaultUsageWaitMs } from './collect/find-leak';
import { RemovalPauses } from './collect/removal-pauses';
import { RemovalReports } from './collect/removal-reports';
import { CONTEXT } from './config';
import { CollectionPause } from './control/collection-pause';
import { collectingHealth } from './control/collecting-health';
import { ImageHolds } from './control/image-holds';
import { ShadowPlans } from './control/shadow-plans';
import { defaultMeterLimits } from './disk/measure-freed';
import { planningParts } from './planning-parts';
import { RuntimeModule } from './runtime.module';
import { reportProblem, StateModule } from './state.module';
import {
  BREAKDOWNS,
  COLLECTION_HEALTH,
  DETECTIONS,
  DETECTOR,
  DISKS,
  EVENTS,
  GC_RUNTIME,
  HINTS,
  HOLDS,
  METRICS,
  CONTROL_FILE,
  PAUSE,
  PAUSES,
  PLANNER,
  POLICY,
  RECORDS,
  REPORTS,
  RUNNER,
} from './tokens';

const PLANNING = token<ReturnType<typeof planningParts>>('PlanningParts');
/** Held by detections and batches of removals. */
const RECORDS_LOCK = token<Mutex>('RecordsLock');

const now = (): number => Date.now();

const providers = [
  provider(
    PLANNING,
    [CONTEXT, POLICY, GC_RUNTIME, RECORDS, HINTS, HOLDS, CONTROL_FILE, EVENTS, METRICS],
    ({ config, log, health }, policy, runtime, store, hints, holds, began, events, metrics) =>
      planningParts({
        ...{ config, policy, runtime, store, hints, holds, began, events, metrics, log, now },
        report: (component, problem) => {
          reportProblem(health, component, problem);
        },
      }),
  ),
  provider(DISKS, [PLANNING], ({ disks }) => disks),
  provider(BREAKDOWNS, [PLANNING], ({ breakdowns }) => breakdowns),
  provider(
    COLLECTION_HEALTH,
    [CONTEXT, RECORDS],
    ({ health }, store) =>
      new CollectionHealth({
        exceeded: () => store.exceeded(),
        report: (problem) => reportProblem(health, 'collection', problem),
      }),
  ),
  provider(DETECTOR, [PLANNING], ({ detector }) => detector),
  provider(PAUSES, [], () => new RemovalPauses()),
  provider(
    PAUSE,
    [CONTEXT, CONTROL_FILE, POLICY, RECORDS, EVENTS, METRICS],
    ({ app, config, health, log }, file, policy, store, { publish }, { control: metrics }) => {
      const report = () => {
        const { collect } = policy.current;
        metrics.mode(collect);
        health.report('collecting', collectingHealth(collect, file.pause, store.exceeded()));
      };
      const subject = eventSource(config.nodeName, app);
      const pause = new CollectionPause({
        ...{ file, subject, publish, metrics, log, now },
        changed: report,
      });
      policy.onChange(report);
      report();
      return pause;
    },
    { close: (pause) => pause.close() },
  ),
  provider(
    HOLDS,
    [CONTEXT, CONTROL_FILE, RECORDS, EVENTS, METRICS],
    ({ config, log }, file, store, { publish }, { control: metrics }) =>
      new ImageHolds({
        ...{ file, publish, metrics, log, now },
        images: () => store.images(),
        maxHoldMs: config.maxHoldMs,
      }),
    { close: (holds) => holds.close() },
  ),
  provider(RECORDS_LOCK, [], () => new Mutex()),
  provider(
    REPORTS,
    [CONTEXT, POLICY, GC_RUNTIME, RECORDS, EVENTS, METRICS],
    ({ log }, policy, runtime, store, events, { collection: metrics }) =>
      new RemovalReports({ policy, runtime, store, ...events, metrics, log }),
    // A collection that a command began may still wait for a removal; those before it are reported.
    { close: (reports) => reports.settle() },
  ),
  provider(
    DETECTIONS,
    [DETECTOR, REPORTS, RECORDS_LOCK],
    (detector, reports, lock) => new Detections(detector, reports, lock),
  ),
  provider(
    PLANNER,
    [CONTEXT, POLICY, DETECTIONS, DISKS, PAUSES, CONTROL_FILE, METRICS],
    ({ log }, policy, detections, disks, pauses, records, { collection: metrics }) =>
      new CollectionPlanner({ policy, detections, disks, pauses, records, metrics, log, now }),
  ),
  provider(
    RUNNER,
    [
      CONTEXT,
      POLICY,
      PLANNER,
      GC_RUNTIME,
      DETECTOR,
      DISKS,
      BREAKDOWNS,
      COLLECTION_HEALTH,
      RECORDS,
      REPORTS,
      PAUSES,
      PAUSE,
      CONTROL_FILE,
      RECORDS_LOCK,
      EVENTS,
      METRICS,
    ],
    (
      { config, log },
      policy,
      planner,
      runtime,
      detector,
      disks,
      breakdowns,
      health,
      store,
      reports,
      pauses,
      pause,
      controlFile,
      recordsLock,
      { publish },
      { collection: metrics, control: controlMetrics },
    ) =>
      new CollectionRunner({
        ...{ policy, planner, runtime, detector, disks, breakdowns, health, store, reports },
        ...{ pause, controlMetrics, shadowPlans: new ShadowPlans(controlFile) },
        ...{ pauses, recordsLock, publish, metrics, log, now },
        meter: { ...defaultMeterLimits, finalWaitMs: config.freeingWaitMs },
        usageWaitMs: defaultUsageWaitMs,
        removalTimeoutMs: config.removalTimeoutMs,
      }),
  ),
];

/** From images and disks to plans, and from plans to removals. */
@Module({ imports: [StateModule, RuntimeModule], providers, exports: providers })
export class CollectionModule {}
