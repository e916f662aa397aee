import type { Lanes } from './keyed-queue';
import type { Lifecycle } from './lifecycle';
import type { KnownObjects } from '../objects/known-objects';
import type { RuntimeLookups } from './runtime-lookups';

/** What the handlers of observed calls work with. */
export interface Observing {
  readonly objects: KnownObjects;
  readonly lifecycle: Lifecycle;
  readonly lookUp: Pick<
    RuntimeLookups,
    'containerStatus' | 'stoppedStatus' | 'container' | 'sandbox'
  >;
  /** One lane a container or sandbox. */
  readonly lanes: Lanes;
  readonly log: { debug(fields: object, message: string): void };
  /** Something could not be found out: compare with the runtime's lists soon. `error` is counted and logged. */
  leaveToListing(error: unknown): void;
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

/** Turns one ended call into what it changed. Decodes in this call and keeps no message; the rest may follow later. */
export type OnCall = (call: EndedCall, to: Observing) => Promise<void> | void;
