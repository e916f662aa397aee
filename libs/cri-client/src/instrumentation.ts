import type { Registry } from 'prom-client';
import { criCallLog, type CriCallLog } from './call-log';
import { criMetrics } from './metrics';
import { combineObservers } from './observers';
import { criTracing } from './tracing';
import type { CriCallObserver } from './types';

/**
 * What every app gives its clients: metrics in the registry, failures in the log, spans. Make one for a process and give it
 * to all clients.
 */
export const criInstrumentation = (registry: Registry, log: CriCallLog): CriCallObserver =>
  combineObservers(criMetrics(registry), criCallLog(log), criTracing());
