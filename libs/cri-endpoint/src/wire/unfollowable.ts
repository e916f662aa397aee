import type { LetGoReason } from '../types';

/**
 * Thrown inside the reader of a connection when it meets what it cannot follow; caught where the reader is
 * entered, never seen outside.
 */
export class Unfollowable extends Error {
  override readonly name = 'Unfollowable';
  constructor(
    readonly reason: LetGoReason,
    detail: string,
  ) {
    super(`${reason}: ${detail}`);
  }
}
