import type http2 from 'node:http2';

/**
 * Takes all listeners off a stream that has closed, and with them what they hold of the call. V8 keeps the stream itself until the next
 * collection of the whole heap, however short-lived it was, because its native part refers to it.
 */
export function dropListeners(stream: http2.Http2Stream): void {
  // One by node:http2 itself: without it the others go at once, not one after the other with an event for each.
  stream.removeAllListeners('removeListener');
  stream.removeAllListeners();
  stream.on('error', ignore);
}

/** For 'error' events: what a call came to shows when its stream closes. */
export function ignore(): void {
  // Nothing to add.
}
