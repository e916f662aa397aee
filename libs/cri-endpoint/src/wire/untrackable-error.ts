import type { DetachReason } from '../types';

/**
 * Thrown inside the reader of a connection when it meets what it cannot follow; caught where the
 * reader is entered, never seen outside.
 */
export class UntrackableError extends Error {
  override readonly name = 'UntrackableError';
  constructor(
    readonly reason: DetachReason,
    detail: string,
  ) {
    super(`${reason}: ${detail}`);
  }
}
