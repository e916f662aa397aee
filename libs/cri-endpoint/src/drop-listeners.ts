import type http2 from 'node:http2';

/**
 * Removes all listeners from a closed stream, and with them everything of the call that they
 * reference. V8 keeps the stream itself until the next full collection of the heap, however
 * short-lived it was, because its native part refers to it.
 */
export function dropListeners(stream: http2.Http2Stream): void {
  // One by node:http2 itself: without it the others go at once, not one after the other with an
  // event for each.
  stream.removeAllListeners('removeListener');
  stream.removeAllListeners();
  stream.on('error', ignore);
}

/** For 'error' events: what a call came to shows when its stream closes. */
export function ignore(): void {
  // Nothing to add.
}
