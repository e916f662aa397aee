import http2 from 'node:http2';

const { NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;

/**
 * Resets a call (RESOURCE_EXHAUSTED for gRPC clients) whose client has read nothing of what waits
 * for it, for at least half of `limitMs` and at most `limitMs`. The other end of the call then
 * learns that nobody reads.
 */
export function cutUnread(stream: http2.ServerHttp2Stream, limitMs: number): void {
  let waits = false;
  const timer = setInterval(() => {
    if (waits) stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
    waits = stream.writableNeedDrain || (stream.writableEnded && !stream.writableFinished);
  }, limitMs / 2);
  timer.unref();
  stream.on('drain', () => (waits = false));
  stream.once('close', () => clearInterval(timer));
}
