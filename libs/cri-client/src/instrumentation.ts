import type { Registry } from 'prom-client';
import { criCallLog, type CriCallLog } from './call-log';
import { criMetrics } from './metrics';
import { combineObservers } from './observers';
import { criTracing } from './tracing';
import type { CriCallObserver } from './types';

/**
 * The observer of every app's clients: metrics in the registry, failures in the log, spans. Create
 * one for the process and pass it to all clients.
 */
export const criInstrumentation = (registry: Registry, log: CriCallLog): CriCallObserver =>
  combineObservers(criMetrics(registry), criCallLog(log), criTracing());
