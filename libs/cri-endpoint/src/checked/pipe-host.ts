import type { PipeClient } from './pipe-client';
import type { VerdictRules } from './verdicts';
import type { ClientShares } from '../client-share';
import type { CallSummary, DetachReason, ObservedCall } from '../types';

/** How often clients are looked at, in milliseconds. */
export const lookMs = 500;

/** What the connections of an endpoint have in common. Nothing that it notifies may throw. */
export interface PipeHost extends VerdictRules {
  readonly shares: ClientShares;
  /** Socket and path for a call that goes to the runtime; what they throw is its status. */
  address(method: string): string;
  path(method: string): string;
  unreadLimitMs(method: string): number | undefined;
  unavailableReason(method: string): string | undefined;
  /** Largest message that is copied for the observer. */
  readonly maxObservedBytes: number;
  observes(method: string): boolean;
  requested(method: string, request: Uint8Array): void;
  observed(call: ObservedCall): void;
  callStarted(method: string): void;
  callEnded(call: CallSummary): void;
  detached(reason: DetachReason): void;
  givenUp(address: string, reason: string): void;
  /** The connection is closed. */
  gone(client: PipeClient): void;
}
