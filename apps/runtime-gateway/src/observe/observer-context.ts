import type { KnownObjects } from '../objects/known-objects';
import type { KeyedQueue } from '@stowage/async';
import type { Lifecycle } from './lifecycle';
import type { Lookups } from './runtime-lookups';

/** What the handlers of observed calls work with. */
export interface ObserverContext {
  readonly objects: KnownObjects;
  readonly lifecycle: Lifecycle;
  readonly lookUp: Lookups;
  /** By the id of a container or sandbox: what is done about one of them is done in order. */
  readonly queue: KeyedQueue;
  readonly log: { debug(fields: object, message: string): void };
  /**
   * Something could not be found out: compares with the runtime's lists soon. `error` is counted
   * and logged.
   */
  scheduleRelist(error: unknown): void;
}

/** A call that ended with status OK, with both messages. */
export interface EndedCall {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly durationMs: number;
}

/**
 * Turns one ended call into what it changed. Decodes in this call and keeps no message; the rest
 * may follow later.
 */
export type OnCall = (call: EndedCall, context: ObserverContext) => Promise<void> | void;
